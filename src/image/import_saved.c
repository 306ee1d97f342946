/* What `docker save` and `skopeo copy ... docker-archive:` write. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/import_impl.h"

/* The layers of such an archive have no digests of their own: the diff ids of the configuration verify them. */
static int measure_layers(struct install *in, const struct import *import, struct error *err)
{
	size_t n = strv_count(import->layer_paths);

	if (n > MANIFEST_MAX_LAYERS)
		return error_set(err, ERR_EXHAUSTED, "%zu layers, more than the limit of %d", n, MANIFEST_MAX_LAYERS);
	in->manifest.layers = calloc(n + 1, sizeof(struct descriptor));
	if (!in->manifest.layers)
		return error_set(err, ERR_EXHAUSTED, "out of memory for %zu layers", n);
	in->manifest.n_layers = n;
	for (size_t i = 0; i < n; i++) {
		uint64_t size = 0;
		_cleanup_fd_ int fd = import_open(import, import->layer_paths[i], &size, err);

		if (fd < 0)
			return -1;
		in->manifest.layers[i].size_bytes = size;
		in->size_bytes += size;
	}
	return 0;
}

static int read_config(struct install *in, const struct import *import, const char *path, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_MAX_BYTES);

	if (!path)
		return error_set(err, ERR_INVALID, "image without 'Config'");
	if (import_read(import, path, &text, err) < 0)
		return -1;
	if (text.len == 0 || digest_of(text.data, text.len, in->id, err) < 0)
		return error_set(err, ERR_INVALID, "configuration is empty");
	memcpy(in->config_text.digest, in->id, sizeof(in->id));
	in->config_text.len = text.len;
	in->config_text.data = buffer_steal(&text);
	in->size_bytes += in->config_text.len;
	return install_set_config(in, in->config_text.data, in->config_text.len, err);
}

static int add_names(const struct import *import, struct install *in, char *const *tags, struct error *err)
{
	if (import->request->name)
		return import_add_name(in, import->request->name, err);
	if (!*tags)
		return error_set(err, ERR_INVALID, "the archive does not name the image: a name has to be given");
	for (; *tags; tags++) {
		if (import_wants(import, *tags) && import_add_name(in, *tags, err) < 0)
			return -1;
	}
	return 0;
}

static int install_item(struct import *import, const cJSON *item, char *const *tags, struct error *err)
{
	_cleanup_install_ struct install in = { 0 };
	_cleanup_strv_ char **paths = NULL;
	int result = -1;

	if (json_strings(item, "Layers", &paths, err) < 0 || install_init(&in, import->store, &import->source, err) < 0)
		return -1;
	in.cancelled = import->request->cancelled;
	import->layer_paths = paths;
	if (measure_layers(&in, import, err) == 0 && read_config(&in, import, json_string(item, "Config"), err) == 0 &&
	    add_names(import, &in, tags, err) == 0)
		result = import_finish(import, &in, err);
	import->layer_paths = NULL;
	return result;
}

static bool wants_item(const struct import *import, char *const *tags)
{
	if (!*tags)
		return import_wants(import, "");
	for (; *tags; tags++) {
		if (import_wants(import, *tags))
			return true;
	}
	return false;
}

/* What tags a person would give to all images of an archive, many times over (arbitrary). */
#define MAX_NAMES 4096

static int all_names(const cJSON *list, char ***names, struct error *err)
{
	for (const cJSON *item = list->child; item; item = item->next) {
		_cleanup_strv_ char **tags = NULL;

		if (json_strings(item, "RepoTags", &tags, err) < 0)
			return -1;
		if (strv_count(tags) + strv_count(*names) > MAX_NAMES)
			return error_set(err, ERR_EXHAUSTED, "manifest.json gives more than %d names", MAX_NAMES);
		for (char **tag = tags; *tag; tag++) {
			if (strv_append(names, *tag, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int import_items(struct import *import, const cJSON *list, struct error *err)
{
	for (const cJSON *item = list->child; item; item = item->next) {
		_cleanup_strv_ char **tags = NULL;

		if (json_strings(item, "RepoTags", &tags, err) < 0)
			return -1;
		if (!wants_item(import, tags))
			continue;
		if (import->request->name && import->n_images > 0)
			return error_set(err, ERR_INVALID, "it holds several images: say which one is to be called %.200s",
					 import->request->name);
		if (install_item(import, item, tags, err) < 0)
			return *tags ? error_prefix(err, "%.200s", *tags) : -1;
	}
	return 0;
}

/* With a name for one image there may be one: found out before anything is installed. */
static int check_count(const struct import *import, const cJSON *list, struct error *err)
{
	bool asked = import->request->only && *import->request->only;

	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) < 1)
		return error_set(err, ERR_INVALID, "manifest.json does not list an image");
	if (cJSON_GetArraySize(list) > IMPORT_MAX_IMAGES)
		return error_set(err, ERR_EXHAUSTED, "manifest.json lists more than %d images", IMPORT_MAX_IMAGES);
	if (import->request->name && !asked && cJSON_GetArraySize(list) > 1)
		return error_set(err, ERR_INVALID, "it holds several images: say which one is to be called %.200s",
				 import->request->name);
	return 0;
}

int import_saved(struct import *import, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MANIFEST_MAX_BYTES);
	_cleanup_strv_ char **names = strv_new();
	_cleanup_json_ cJSON *list = NULL;

	if (!names)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (import_read(import, "manifest.json", &text, err) < 0)
		return -1;
	if (json_parse(text.data ? text.data : "", text.len, "manifest.json", &list, err) < 0)
		return -1;
	if (check_count(import, list, err) < 0 || all_names(list, &names, err) < 0 || import_check_names(import, names, err) < 0)
		return -1;
	return import_items(import, list, err);
}
