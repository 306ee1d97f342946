/* Entries and versions in memory, and the functions of image.h that hand versions out. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strv.h"
#include "image/reference.h"
#include "image/store.h"

/* Shortest part of an id that is taken for one; shorter ones are names. */
#define MIN_ID_PREFIX 12

static struct version *version_of(struct image *image)
{
	return container_of(image, struct version, image);
}

/* A layer that is in an image twice counts once, where it is topmost: there it brings everything that it brings further down, and
 * overlayfs refuses the same directory twice. Below a layer that hides all others there is nothing to see. */
int entry_set_layer_dirs(struct entry *entry, struct error *err)
{
	char **dirs = strv_new();
	char path[PATH_MAX];

	if (!dirs)
		return error_set(err, ERR_EXHAUSTED, "out of memory for layers");
	for (size_t i = entry->n_layers; i-- > 0;) {
		const struct layer *layer = entry->layers[i];

		(void)snprintf(path, sizeof(path), "%s/layers/%s/fs", entry->store->root, digest_hex(layer->diff_id));
		if (strv_add(&dirs, path, err) < 0) {
			strv_free(dirs);
			return -1;
		}
		if (layer->opaque_root)
			break;
	}
	entry->layer_dirs = dirs;
	return 0;
}

void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	image_config_release(&entry->config);
	strv_free(entry->layer_dirs);
	strv_free(entry->manifests);
	free(entry->layers);
	free(entry);
}

int version_new(struct entry *entry, char **tags, char **digests, struct version **ret_version, struct error *err)
{
	struct version *version = calloc(1, sizeof(*version));

	if (!version)
		return error_set(err, ERR_EXHAUSTED, "out of memory for an image");
	version->entry = entry;
	version->image = (struct image){
		.id = entry->id,
		.repo_tags = tags,
		.repo_digests = digests,
		.size_bytes = entry->size_bytes,
		.config = entry->config,
		.layer_dirs = entry->layer_dirs,
		.n_layers = strv_count(entry->layer_dirs),
		.pulled_realtime_ns = entry->pulled_realtime_ns,
		.pinned = pins_have(&entry->store->pins, tags) || pins_have(&entry->store->pins, digests),
		.refs = 1,
	};
	*ret_version = version;
	return 0;
}

struct version *version_publish(struct version *version)
{
	struct entry *entry = version->entry;
	struct version *former = entry->current;

	entry->current = version;
	entry->versions++;
	return former;
}

struct image *image_ref(struct image *image)
{
	(void)atomic_fetch_add(&image->refs, 1);
	return image;
}

/* The last reference to the last version of an image that was removed: now its layers can go. */
static void drop_version(struct version *version)
{
	struct entry *entry = version->entry;
	struct image_store *store = entry->store;

	(void)pthread_mutex_lock(&store->lock);
	if (--entry->versions == 0 && !entry->current)
		entry_to_garbage_locked(entry);
	(void)pthread_mutex_unlock(&store->lock);
	strv_free(version->image.repo_tags);
	strv_free(version->image.repo_digests);
	free(version);
}

void image_unref(struct image *image)
{
	if (image && atomic_fetch_sub(&image->refs, 1) == 1)
		drop_version(version_of(image));
}

static bool has_name(const struct version *version, const struct reference *ref)
{
	char text[REFERENCE_TEXT_SIZE];

	if (*ref->digest) {
		reference_format_digest(ref, ref->digest, text);
		return strv_has(version->image.repo_digests, text);
	}
	reference_format_tag(ref, text);
	return strv_has(version->image.repo_tags, text);
}

static struct entry *find_by_name_locked(struct image_store *store, const struct reference *ref)
{
	for (struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		if (entry->listed && has_name(entry->current, ref))
			return entry;
	}
	return NULL;
}

/* An image that was removed while in use is found by its full id only, and only until image_store_settle(). */
static int find_by_hex_locked(struct image_store *store, const char *hex, struct entry **ret_entry, struct error *err)
{
	size_t len = strlen(hex);

	*ret_entry = NULL;
	for (struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		if (!(entry->listed || (entry->awaited && len == DIGEST_HEX_LEN)) || strncmp(digest_hex(entry->id), hex, len) != 0)
			continue;
		if (*ret_entry)
			return error_set(err, ERR_INVALID, "image id %s is ambiguous", hex);
		*ret_entry = entry;
	}
	return 0;
}

/* Whether `reference` may be an id or the start of one; *ret_sure when it can be nothing else. */
static const char *hex_of_reference(const char *reference, bool *ret_sure)
{
	bool prefixed = !strncmp(reference, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1);
	const char *hex = prefixed ? digest_hex(reference) : reference;
	size_t len = strlen(hex);

	*ret_sure = prefixed || len == DIGEST_HEX_LEN;
	return len >= MIN_ID_PREFIX && len <= DIGEST_HEX_LEN && digest_is_hex(hex, len) ? hex : NULL;
}

static int find_locked(struct image_store *store, const char *reference, struct entry **ret_entry, struct error *err)
{
	struct reference ref;
	bool sure = false;
	const char *hex = hex_of_reference(reference, &sure);

	*ret_entry = NULL;
	if (hex && find_by_hex_locked(store, hex, ret_entry, err) < 0)
		return -1;
	if (*ret_entry || (hex && sure))
		return 0;
	if (reference_parse(reference, &ref, err) < 0)
		return -1;
	*ret_entry = find_by_name_locked(store, &ref);
	return 0;
}

int image_find(struct image_store *store, const char *reference, struct image **ret_image, struct error *err)
{
	struct image *image = NULL;
	struct entry *entry = NULL;
	int result;

	(void)pthread_mutex_lock(&store->lock);
	result = find_locked(store, reference, &entry, err);
	if (result == 0 && entry)
		image = image_ref(&entry->current->image);
	(void)pthread_mutex_unlock(&store->lock);
	if (result == 0)
		*ret_image = image;
	return result;
}

static struct image **list_locked(struct image_store *store, size_t *ret_n)
{
	struct image **images = calloc((size_t)HASH_COUNT(store->entries) + 1, sizeof(*images));
	size_t n = 0;

	for (struct entry *entry = store->entries; images && entry; entry = entry->hh.next) {
		if (entry->listed)
			images[n++] = image_ref(&entry->current->image);
	}
	*ret_n = n;
	return images;
}

int image_list(struct image_store *store, struct image ***ret_images, size_t *ret_n, struct error *err)
{
	struct image **images;
	size_t n;

	(void)pthread_mutex_lock(&store->lock);
	images = list_locked(store, &n);
	(void)pthread_mutex_unlock(&store->lock);
	if (!images)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a list of images");
	*ret_images = images;
	*ret_n = n;
	return 0;
}

struct version *entry_unlist_locked(struct entry *entry)
{
	struct version *version = entry->current;

	entry->listed = false;
	entry->awaited = false;
	entry->current = NULL;
	return version;
}

/* Under disk_lock. Whether somebody holds it is known once nobody new can come by it. */
static int remove_entry(struct image_store *store, const char *reference, struct error *err)
{
	char *const none[] = { NULL };
	struct version *version = NULL;
	struct entry *entry = NULL;
	bool held = false;
	int result;

	(void)pthread_mutex_lock(&store->lock);
	result = find_locked(store, reference, &entry, err);
	if (result == 0 && entry) {
		version = entry_unlist_locked(entry);
		held = entry->versions > 1 || atomic_load(&version->image.refs) > 1;
	}
	(void)pthread_mutex_unlock(&store->lock);
	if (result < 0 || !entry)
		return result;
	if (held)
		result = record_write(entry, none, none, true, err);
	image_unref(&version->image);
	return result;
}

int image_remove(struct image_store *store, const char *reference, struct error *err)
{
	int result;

	(void)pthread_mutex_lock(&store->disk_lock);
	result = remove_entry(store, reference, err);
	(void)pthread_mutex_unlock(&store->disk_lock);
	collect_now(store);
	return result < 0 ? error_prefix(err, "remove image %.200s", reference) : 0;
}

void image_store_settle(struct image_store *store)
{
	struct version *unwanted = NULL;

	do {
		unwanted = NULL;
		(void)pthread_mutex_lock(&store->disk_lock);
		(void)pthread_mutex_lock(&store->lock);
		for (struct entry *entry = store->entries; entry && !unwanted; entry = entry->hh.next) {
			if (entry->awaited)
				unwanted = entry_unlist_locked(entry);
		}
		(void)pthread_mutex_unlock(&store->lock);
		(void)pthread_mutex_unlock(&store->disk_lock);
		if (unwanted)
			image_unref(&unwanted->image);
	} while (unwanted);
	collect_now(store);
}
