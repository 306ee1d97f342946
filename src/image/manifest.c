#include "image/manifest.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

enum media_use { USE_NONE, USE_IMAGE, USE_INDEX, USE_CONFIG, USE_LAYER, USE_FOREIGN, USE_SCHEMA1 };

/* Every media type that we know. How a layer is compressed is found out by its first bytes, since builders mislabel it. */
static const struct {
	const char *name;
	enum media_use use;
} media_types[] = {
	{ "application/vnd.oci.image.manifest.v1+json", USE_IMAGE },
	{ "application/vnd.docker.distribution.manifest.v2+json", USE_IMAGE },
	{ "application/vnd.oci.image.index.v1+json", USE_INDEX },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", USE_INDEX },
	{ "application/vnd.docker.distribution.manifest.v1+json", USE_SCHEMA1 },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", USE_SCHEMA1 },
	{ "application/vnd.oci.image.config.v1+json", USE_CONFIG },
	{ "application/vnd.docker.container.image.v1+json", USE_CONFIG },
	{ "application/octet-stream", USE_CONFIG }, /* very old pushes */
	{ "application/vnd.oci.image.layer.v1.tar", USE_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", USE_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", USE_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar", USE_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", USE_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", USE_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", USE_FOREIGN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", USE_FOREIGN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", USE_FOREIGN },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", USE_FOREIGN },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", USE_FOREIGN },
};

static enum media_use media_use_of(const char *media_type)
{
	/* A Content-Type may carry parameters. */
	size_t len;

	if (!media_type)
		return USE_NONE;
	len = strcspn(media_type, "; ");
	for (size_t i = 0; i < ARRAY_SIZE(media_types); i++) {
		if (strlen(media_types[i].name) == len && !strncmp(media_types[i].name, media_type, len))
			return media_types[i].use;
	}
	return USE_NONE;
}

void manifest_release(struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->n_entries; i++) {
		free(manifest->entries[i].os);
		free(manifest->entries[i].architecture);
		free(manifest->entries[i].variant);
		free(manifest->entries[i].name);
	}
	free(manifest->entries);
	free(manifest->layers);
	*manifest = (struct manifest){ 0 };
}

static int read_descriptor(const cJSON *object, struct descriptor *ret, struct error *err)
{
	const char *digest = json_string(object, "digest");

	if (!cJSON_IsObject(object) || !digest)
		return error_set(err, ERR_INVALID, "descriptor without a digest");
	if (digest_check(digest, err) < 0 || json_size(object, "size", &ret->size_bytes, err) < 0)
		return -1;
	memcpy(ret->digest, digest, DIGEST_TEXT_SIZE);
	return 0;
}

static int check_layer_type(const char *media_type, struct error *err)
{
	enum media_use use = media_use_of(media_type);

	if (use == USE_LAYER)
		return 0;
	if (use == USE_FOREIGN)
		return error_set(err, ERR_UNIMPLEMENTED, "it is a foreign layer, which its registry does not serve");
	if (media_type && strstr(media_type, "encrypted"))
		return error_set(err, ERR_UNIMPLEMENTED, "it is encrypted");
	return error_set(err, ERR_UNIMPLEMENTED, "unknown media type '%.120s'", media_type ? media_type : "");
}

static int read_layer(const cJSON *item, struct descriptor *ret, struct error *err)
{
	if (read_descriptor(item, ret, err) < 0)
		return -1;
	return check_layer_type(json_string(item, "mediaType"), err);
}

static int read_layers(const cJSON *array, struct manifest *manifest, struct error *err)
{
	int n = cJSON_GetArraySize(array);

	if (!cJSON_IsArray(array))
		return error_set(err, ERR_INVALID, "'layers' is not a list");
	if (n > MANIFEST_MAX_LAYERS)
		return error_set(err, ERR_EXHAUSTED, "%d layers, more than the limit of %d", n, MANIFEST_MAX_LAYERS);
	manifest->layers = calloc((size_t)n + 1, sizeof(struct descriptor));
	if (!manifest->layers)
		return error_set(err, ERR_EXHAUSTED, "out of memory for %d layers", n);
	for (const cJSON *item = array->child; item; item = item->next) {
		if (read_layer(item, &manifest->layers[manifest->n_layers], err) < 0)
			return error_prefix(err, "layer %zu", manifest->n_layers);
		manifest->n_layers++;
	}
	return 0;
}

static int read_image(const cJSON *root, struct manifest *manifest, struct error *err)
{
	const cJSON *config = cJSON_GetObjectItemCaseSensitive(root, "config");
	const char *media_type = json_string(config, "mediaType");

	manifest->kind = MANIFEST_IMAGE;
	if (read_descriptor(config, &manifest->config, err) < 0)
		return error_prefix(err, "config");
	if (media_use_of(media_type) != USE_CONFIG)
		return error_set(err, ERR_UNIMPLEMENTED, "it is not a container image: its config is of type '%.120s'",
				 media_type ? media_type : "");
	return read_layers(cJSON_GetObjectItemCaseSensitive(root, "layers"), manifest, err);
}

static char *copy_member(const cJSON *object, const char *key)
{
	const char *text = json_string(object, key);

	return strdup(text ? text : "");
}

/* The two annotations by which archives name an image: the second is what the OCI layout defines, often only a tag. */
static char *copy_name(const cJSON *item)
{
	const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(item, "annotations");
	const char *name = json_string(annotations, "io.containerd.image.name");

	return name ? strdup(name) : copy_member(annotations, "org.opencontainers.image.ref.name");
}

static int read_entry(const cJSON *item, struct manifest_entry *entry, struct error *err)
{
	const cJSON *platform = cJSON_GetObjectItemCaseSensitive(item, "platform");

	entry->os = copy_member(platform, "os");
	entry->architecture = copy_member(platform, "architecture");
	entry->variant = copy_member(platform, "variant");
	entry->name = copy_name(item);
	if (!entry->os || !entry->architecture || !entry->variant || !entry->name)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return read_descriptor(item, &entry->target, err);
}

static int read_index(const cJSON *root, struct manifest *manifest, struct error *err)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(root, "manifests");
	int n = cJSON_GetArraySize(array);

	manifest->kind = MANIFEST_INDEX;
	if (!cJSON_IsArray(array))
		return error_set(err, ERR_INVALID, "'manifests' is not a list");
	if (n > MANIFEST_MAX_ENTRIES)
		return error_set(err, ERR_EXHAUSTED, "%d manifests, more than the limit of %d", n, MANIFEST_MAX_ENTRIES);
	manifest->entries = calloc((size_t)n + 1, sizeof(struct manifest_entry));
	if (!manifest->entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory for %d manifests", n);
	for (const cJSON *item = array->child; item; item = item->next) {
		struct manifest_entry *entry = &manifest->entries[manifest->n_entries++];

		if (read_entry(item, entry, err) < 0)
			return error_prefix(err, "manifest %zu", manifest->n_entries - 1);
	}
	return 0;
}

/* What the document is, by what it says, by what its sender said, by its form; a document that could be read as either kind is
 * refused, since two readers of the same digest would see two images. */
static int find_use(const cJSON *root, const char *content_type, enum media_use *ret_use, struct error *err)
{
	const char *media_type = json_string(root, "mediaType");
	bool has_index = cJSON_HasObjectItem(root, "manifests");
	bool has_image = cJSON_HasObjectItem(root, "layers") || cJSON_HasObjectItem(root, "config");
	enum media_use said = media_use_of(content_type);
	enum media_use use = media_use_of(media_type);
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "schemaVersion");

	if (said == USE_SCHEMA1 || use == USE_SCHEMA1 || (cJSON_IsNumber(version) && version->valuedouble == 1))
		return error_set(err, ERR_UNIMPLEMENTED, "it is of the retired format 'schema 1'");
	if (has_index == has_image)
		return error_set(err, ERR_INVALID, "it is neither an image manifest nor an index");
	*ret_use = has_index ? USE_INDEX : USE_IMAGE;
	if (media_type && use != *ret_use)
		return error_set(err, ERR_INVALID, "media type '%.120s' does not fit its content", media_type);
	if ((said == USE_IMAGE || said == USE_INDEX) && said != *ret_use)
		return error_set(err, ERR_INVALID, "content type '%.120s' does not fit its content", content_type);
	return 0;
}

static int read_document(const cJSON *root, const char *content_type, struct manifest *manifest, struct error *err)
{
	enum media_use use = USE_NONE;

	if (!cJSON_IsObject(root))
		return error_set(err, ERR_INVALID, "it is not a JSON object");
	if (find_use(root, content_type, &use, err) < 0)
		return -1;
	return use == USE_INDEX ? read_index(root, manifest, err) : read_image(root, manifest, err);
}

int manifest_parse(const char *text, size_t len, const char *content_type, struct manifest *ret_manifest, struct error *err)
{
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_json_ cJSON *root = NULL;

	if (len > MANIFEST_MAX_BYTES)
		return error_set(err, ERR_EXHAUSTED, "manifest of %zu bytes is over the limit of %zu", len, MANIFEST_MAX_BYTES);
	if (json_parse(text, len, "manifest", &root, err) < 0)
		return -1;
	if (read_document(root, content_type, &manifest, err) < 0)
		return error_prefix(err, "manifest");
	*ret_manifest = manifest;
	manifest = (struct manifest){ 0 };
	return 0;
}
