#include "net/cni_list.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"

static const char *const version_texts[CNI_VERSION_COUNT] = {
	[CNI_0_1_0] = "0.1.0", [CNI_0_2_0] = "0.2.0", [CNI_0_3_0] = "0.3.0", [CNI_0_3_1] = "0.3.1",
	[CNI_0_4_0] = "0.4.0", [CNI_1_0_0] = "1.0.0", [CNI_1_1_0] = "1.1.0",
};

int cni_version_parse(const char *text, enum cni_version *ret_version, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(version_texts); i++) {
		if (!strcmp(version_texts[i], text)) {
			*ret_version = (enum cni_version)i;
			return 0;
		}
	}
	return error_set(err, ERR_UNIMPLEMENTED, "CNI version '%.32s' is not one of 0.1.0 to %s", text,
			 version_texts[CNI_VERSION_COUNT - 1]);
}

const char *cni_version_text(enum cni_version version)
{
	return version_texts[version];
}

bool cni_name_is_valid(const char *name)
{
	if (!isalnum((unsigned char)*name))
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
			return false;
	}
	return true;
}

/* ---- one list ---- */

/* "cniVersions" came with 1.1: whoever reads takes the highest that it knows. A file without any is of 0.1.0. */
static int read_version(struct cni_list *list, struct error *err)
{
	const char *text = json_string(list->json, "cniVersion");
	const cJSON *others = cJSON_GetObjectItemCaseSensitive(list->json, "cniVersions"), *item;
	struct error unknown = ERROR_INIT;
	bool found = cni_version_parse(text ? text : "0.1.0", &list->version, &unknown) == 0;

	cJSON_ArrayForEach(item, others)
	{
		enum cni_version version;
		struct error ignored;

		if (!cJSON_IsString(item) || cni_version_parse(item->valuestring, &version, &ignored) < 0)
			continue;
		list->version = found && list->version > version ? list->version : version;
		found = true;
	}
	list->version_text = version_texts[list->version];
	if (found)
		return 0;
	*err = unknown;
	return -1;
}

/* The type becomes the name of a file that is executed: it must not lead out of the plugins' directories. */
static int add_plugin(struct cni_list *list, const cJSON *conf, struct error *err)
{
	const char *type = json_string(conf, "type");

	if (list->n_plugins == CNI_MAX_PLUGINS)
		return error_set(err, ERR_EXHAUSTED, "more than %d plugins", CNI_MAX_PLUGINS);
	if (!cJSON_IsObject(conf) || !type || !*type)
		return error_set(err, ERR_INVALID, "plugin %zu has no type", list->n_plugins + 1);
	if (strchr(type, '/') || !strcmp(type, ".") || !strcmp(type, ".."))
		return error_set(err, ERR_INVALID, "plugin %zu: type '%.64s' is a path", list->n_plugins + 1, type);
	list->plugins[list->n_plugins].conf = conf;
	list->plugins[list->n_plugins++].type = type;
	return 0;
}

static int read_plugins(struct cni_list *list, struct error *err)
{
	const cJSON *plugins = cJSON_GetObjectItemCaseSensitive(list->json, "plugins"), *item;

	if (!plugins && json_string(list->json, "type"))
		return add_plugin(list, list->json, err);
	if (!cJSON_IsArray(plugins) || cJSON_GetArraySize(plugins) == 0)
		return error_set(err, ERR_INVALID, "has no plugins");
	cJSON_ArrayForEach(item, plugins)
	{
		if (add_plugin(list, item, err) < 0)
			return -1;
	}
	return 0;
}

/* Early files write booleans as strings. */
static bool read_flag(const cJSON *json, const char *key)
{
	const char *text = json_string(json, key);

	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, key)) || (text && !strcasecmp(text, "true"));
}

static int read_list(struct cni_list *list, struct error *err)
{
	list->name = json_string(list->json, "name");
	if (!list->name || !cni_name_is_valid(list->name))
		return error_set(err, ERR_INVALID, "name '%.64s' is not letters, digits, '_', '.' and '-'",
				 list->name ? list->name : "");
	list->disable_check = read_flag(list->json, "disableCheck");
	list->disable_gc = read_flag(list->json, "disableGC");
	return read_version(list, err) < 0 ? -1 : read_plugins(list, err);
}

static struct cni_list *new_list(const char *path)
{
	struct cni_list *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	list->refs = 1;
	list->path = list->path_memory = strdup(path);
	if (list->path)
		return list;
	free(list);
	return NULL;
}

/* Takes `json`. */
static int make_list(cJSON *json, const char *path, struct cni_list **ret_list, struct error *err)
{
	_cleanup_cni_list_ struct cni_list *list = new_list(path);

	if (!list) {
		cJSON_Delete(json);
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	list->json = json;
	if (read_list(list, err) < 0)
		return -1;
	*ret_list = steal_ptr(&list);
	return 0;
}

int cni_list_parse(const char *text, size_t len, const char *path, struct cni_list **ret_list, struct error *err)
{
	cJSON *json;

	if (json_parse_object(text, len, NULL, &json, err) < 0 || make_list(json, path, ret_list, err) < 0)
		return *path ? error_prefix(err, "%s", path) : -1;
	return 0;
}

struct cni_list *cni_list_ref(struct cni_list *list)
{
	atomic_fetch_add(&list->refs, 1);
	return list;
}

void cni_list_unref(struct cni_list *list)
{
	if (!list || atomic_fetch_sub(&list->refs, 1) > 1)
		return;
	cJSON_Delete(list->json);
	free(list->path_memory);
	free(list);
}

void cni_list_cleanup(struct cni_list **list)
{
	cni_list_unref(*list);
}

/* ---- the directory ---- */

static int has_ending(const char *name, const char *const *endings)
{
	const char *dot = strrchr(name, '.');

	for (; dot && *endings; endings++) {
		if (!strcmp(dot, *endings))
			return true;
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted by name. A directory that is not there is empty. */
static int list_files(const char *path, const char *const *endings, char ***ret_names, struct error *err)
{
	_cleanup_dir_ DIR *dir = opendir(path);
	_cleanup_strv_ char **names = strv_new();
	const struct dirent *entry;

	if (!dir && errno != ENOENT && errno != ENOTDIR)
		return error_sys(err, errno, "open %s", path);
	if (!names)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	while (dir && (entry = readdir(dir))) {
		if ((entry->d_type != DT_REG && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) ||
		    !has_ending(entry->d_name, endings))
			continue;
		if (strv_append(&names, entry->d_name, err) < 0)
			return -1;
	}
	qsort(names, strv_count(names), sizeof(*names), compare);
	*ret_names = steal_ptr(&names);
	return 0;
}

static int read_json(const char *dir, const char *name, char path[PATH_MAX], cJSON **ret_json, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CNI_LIST_MAX_BYTES);
	_cleanup_fd_ int fd = -1;

	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return error_sys(err, ENAMETOOLONG, "%.100s/%.100s", dir, name);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* who writes to the directory may have made a fifo */
	if (fd < 0)
		return error_sys(err, errno, "open %s", path);
	if (io_read_fd(fd, path, &text, err) < 0)
		return -1;
	return json_parse_object(text.data, text.len, path, ret_json, err);
}

/* A plugin's file is its network's configuration, as is each file of NAME/ beside the list (1.1; loadOnlyInlinedPlugins). */
static int add_loose_plugins(const char *dir, cJSON *json, struct error *err)
{
	static const char *const endings[] = { ".conf", NULL };
	cJSON *plugins = cJSON_GetObjectItemCaseSensitive(json, "plugins");
	const char *name = json_string(json, "name");
	_cleanup_strv_ char **files = NULL;
	char folder[PATH_MAX], path[PATH_MAX];

	if (!name || !cni_name_is_valid(name) || read_flag(json, "loadOnlyInlinedPlugins") || json_string(json, "type"))
		return 0;
	if (snprintf(folder, sizeof(folder), "%s/%s", dir, name) >= (int)sizeof(folder))
		return error_sys(err, ENAMETOOLONG, "%.100s/%.100s", dir, name);
	if (list_files(folder, endings, &files, err) < 0)
		return -1;
	if (*files && !plugins)
		plugins = cJSON_AddArrayToObject(json, "plugins");
	for (char **file = files; *file; file++) {
		cJSON *conf;

		if (read_json(folder, *file, path, &conf, err) < 0)
			return -1;
		if (!cJSON_AddItemToArray(plugins, conf)) {
			cJSON_Delete(conf);
			return error_set(err, ERR_INVALID, "%s: cannot be added to the plugins of the list", path);
		}
	}
	return 0;
}

int cni_list_load(const char *dir, struct cni_list **ret_list, struct error *err)
{
	static const char *const endings[] = { ".conf", ".conflist", ".json", NULL };
	_cleanup_strv_ char **names = NULL;
	_cleanup_json_ cJSON *json = NULL;
	char path[PATH_MAX];

	if (list_files(dir, endings, &names, err) < 0)
		return -1;
	if (!*names)
		return error_set(err, ERR_NOT_FOUND, "no network configuration (*.conflist, *.conf) in %s", dir);
	if (read_json(dir, *names, path, &json, err) < 0 || add_loose_plugins(dir, json, err) < 0) {
		/* a file that is on its way, or a link to nowhere, is a configuration none the less */
		err->code = err->code == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err->code;
		return -1;
	}
	return make_list(steal_ptr(&json), path, ret_list, err) < 0 ? error_prefix(err, "%s", path) : 0;
}
