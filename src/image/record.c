/*
 * images/HEX.json: what makes an image exist. Written last and synced, deleted first.
 *
 *     { "version": 1, "id": "sha256:HEX", "removed": false, "tags": [...], "digests": [...], "manifests": [...],
 *       "size_bytes": 1, "pulled_realtime_ns": "1700000000000000000", "changed_realtime_ns": "...",
 *       "layers": [ { "diff_id": "sha256:HEX", "bytes": 1, "inodes": 1 } ] }
 *
 * Times are texts because a JSON number is a double.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/store.h"

#define RECORD_VERSION 1

/* 127 layers of 150 bytes, and some thousand names. */
#define RECORD_MAX_BYTES ((size_t)4 << 20)

#define RECORD_SUFFIX ".json"
#define RECORD_NAME_SIZE (DIGEST_HEX_LEN + sizeof(RECORD_SUFFIX))

static bool add_time(cJSON *json, const char *key, int64_t ns)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, ns);
	return cJSON_AddStringToObject(json, key, text) != NULL;
}

static bool add_layer(cJSON *array, const struct layer *layer)
{
	cJSON *item = cJSON_CreateObject();

	if (!item || !cJSON_AddItemToArray(array, item))
		return false;
	return cJSON_AddStringToObject(item, "diff_id", layer->diff_id) &&
	       cJSON_AddNumberToObject(item, "bytes", (double)layer->bytes) &&
	       cJSON_AddNumberToObject(item, "inodes", (double)layer->inodes);
}

static bool add_scalars(cJSON *json, const struct entry *entry, bool removed)
{
	return cJSON_AddNumberToObject(json, "version", RECORD_VERSION) && cJSON_AddStringToObject(json, "id", entry->id) &&
	       cJSON_AddBoolToObject(json, "removed", removed) &&
	       cJSON_AddNumberToObject(json, "size_bytes", (double)entry->size_bytes) &&
	       add_time(json, "pulled_realtime_ns", entry->pulled_realtime_ns) &&
	       add_time(json, "changed_realtime_ns", clock_realtime_ns());
}

static char *print_record(const struct entry *entry, char *const *tags, char *const *digests, bool removed, struct error *err)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	cJSON *layers = NULL;
	char *text;
	bool ok = json && add_scalars(json, entry, removed);

	if (ok && (json_add_strings(json, "tags", tags, err) < 0 || json_add_strings(json, "digests", digests, err) < 0 ||
		   json_add_strings(json, "manifests", entry->manifests, err) < 0))
		return NULL;
	layers = ok ? cJSON_AddArrayToObject(json, "layers") : NULL;
	for (size_t i = 0; layers && ok && i < entry->n_layers; i++)
		ok = add_layer(layers, entry->layers[i]);
	text = layers && ok ? cJSON_PrintUnformatted(json) : NULL;
	if (!text)
		(void)error_set(err, ERR_EXHAUSTED, "out of memory for the record of an image");
	return text;
}

/* A rename that survives a power cut: the new content first, then the name. */
static int write_synced(int dirfd, const char *temporary, const char *name, const char *text, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_sys(err, errno, "create images/%s", temporary);
	if (io_write_all(fd, text, strlen(text), name, err) < 0)
		return -1;
	if (fsync(fd) < 0 || renameat(dirfd, temporary, dirfd, name) < 0 || fsync(dirfd) < 0)
		return error_sys(err, errno, "write images/%s", name);
	return 0;
}

static int replace_synced(int dirfd, const char *name, const char *text, struct error *err)
{
	char temporary[RECORD_NAME_SIZE + 4];

	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	if (write_synced(dirfd, temporary, name, text, err) == 0)
		return 0;
	(void)unlinkat(dirfd, temporary, 0);
	return -1;
}

static void record_name(const char *id, char name[RECORD_NAME_SIZE])
{
	(void)snprintf(name, RECORD_NAME_SIZE, "%s" RECORD_SUFFIX, digest_hex(id));
}

int record_write(struct entry *entry, char *const *tags, char *const *digests, bool removed, struct error *err)
{
	char name[RECORD_NAME_SIZE];
	char *text;
	int result;

	if (fault_here("image", "write_record"))
		return error_set(err, ERR_INTERNAL, "fault");
	text = print_record(entry, tags, digests, removed, err);
	if (!text)
		return -1;
	record_name(entry->id, name);
	result = replace_synced(entry->store->imagesfd, name, text, err);
	if (result == 0) {
		(void)pthread_mutex_lock(&entry->store->lock);
		entry->record_bytes = store_blocks(strlen(text));
		(void)pthread_mutex_unlock(&entry->store->lock);
	}
	cJSON_free(text);
	return result;
}

int record_delete(struct image_store *store, const char *id, struct error *err)
{
	char name[RECORD_NAME_SIZE];

	record_name(id, name);
	if ((unlinkat(store->imagesfd, name, 0) < 0 && errno != ENOENT) || fsync(store->imagesfd) < 0)
		return error_sys(err, errno, "delete images/%s", name);
	return 0;
}

static int read_time(const cJSON *json, const char *key, int64_t *ret_ns, struct error *err)
{
	const char *text = json_string(json, key);
	char *end;

	errno = 0;
	if (!text || !*text)
		return error_set(err, ERR_DATA_LOSS, "no '%s'", key);
	*ret_ns = strtoll(text, &end, 10);
	return errno || *end ? error_set(err, ERR_DATA_LOSS, "bad '%s'", key) : 0;
}

static int load_layers(struct entry *entry, const cJSON *array, struct error *err)
{
	entry->layers = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(struct layer *));
	if (!entry->layers)
		return error_set(err, ERR_EXHAUSTED, "out of memory for layers");
	for (const cJSON *item = array ? array->child : NULL; item; item = item->next) {
		const char *diff_id = json_string(item, "diff_id");
		uint64_t bytes = 0, inodes = 0;

		if (!diff_id || digest_check(diff_id, err) < 0)
			return error_set(err, ERR_DATA_LOSS, "bad diff id");
		if (json_size(item, "bytes", &bytes, err) < 0 || json_size(item, "inodes", &inodes, err) < 0)
			return -1;
		if (layer_load(entry->store, diff_id, bytes, inodes, &entry->layers[entry->n_layers], err) < 0)
			return -1;
		entry->n_layers++;
	}
	return 0;
}

static int load_config(struct entry *entry, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_MAX_BYTES);
	_cleanup_config_blob_ struct config_blob blob = { 0 };

	if (blob_read(entry->store, entry->id, CONFIG_MAX_BYTES, &text, err) < 0)
		return -1;
	if (config_blob_parse(text.data, text.len, &blob, err) < 0)
		return -1;
	entry->config = blob.run;
	blob.run = (struct image_config){ 0 };
	return 0;
}

static int load_entry(struct entry *entry, const cJSON *json, struct error *err)
{
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "version");

	if (!cJSON_IsNumber(version) || version->valuedouble != RECORD_VERSION)
		return error_set(err, ERR_DATA_LOSS, "not a record of version %d", RECORD_VERSION);
	if (json_size(json, "size_bytes", &entry->size_bytes, err) < 0 ||
	    read_time(json, "pulled_realtime_ns", &entry->pulled_realtime_ns, err) < 0 ||
	    json_strings(json, "manifests", &entry->manifests, err) < 0)
		return -1;
	if (load_config(entry, err) < 0 || load_layers(entry, cJSON_GetObjectItemCaseSensitive(json, "layers"), err) < 0)
		return -1;
	return entry_set_layer_dirs(entry, err);
}

/* A crash between two records of a moving tag leaves it in both: the newer one is right. */
static void resolve_tags(struct image_store *store, char **tags)
{
	for (struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		for (char **tag = tags; entry->current && *tag; tag++)
			strv_remove(entry->current->image.repo_tags, *tag);
	}
}

static int index_entry(struct entry *entry, const cJSON *json, struct error *err)
{
	bool removed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "removed"));
	_cleanup_strv_ char **tags = NULL;
	_cleanup_strv_ char **digests = NULL;
	struct version *version;

	if (json_strings(json, "tags", &tags, err) < 0 || json_strings(json, "digests", &digests, err) < 0)
		return -1;
	if (version_new(entry, tags, digests, &version, err) < 0)
		return -1;
	HASH_ADD_STR(entry->store->entries, id, entry);
	if (!entry->hh.tbl) {
		free(version);
		return error_set(err, ERR_EXHAUSTED, "out of memory for an image");
	}
	resolve_tags(entry->store, tags);
	tags = NULL;
	digests = NULL;
	(void)version_publish(version);
	entry->listed = !removed;
	entry->awaited = removed;
	return 0;
}

/* One record that is to be read; they are taken in the order in which they were written. */
struct candidate {
	char id[DIGEST_TEXT_SIZE];
	int64_t changed_ns;
	uint64_t len;
	cJSON *json;
};

static int load_candidate(struct image_store *store, const struct candidate *c, struct error *err)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return error_set(err, ERR_EXHAUSTED, "out of memory for an image");
	entry->store = store;
	memcpy(entry->id, c->id, sizeof(entry->id));
	entry->record_bytes = store_blocks(c->len);
	if (load_entry(entry, c->json, err) == 0 && index_entry(entry, c->json, err) == 0)
		return 0;
	for (size_t i = 0; i < entry->n_layers; i++)
		layer_unload(store, entry->layers[i]);
	entry_free(entry);
	return -1;
}

static int parse_candidate(struct image_store *store, const char *name, struct candidate *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(RECORD_MAX_BYTES);
	_cleanup_json_ cJSON *json = NULL;
	const char *id;

	if (io_read_file(store->imagesfd, name, &text, err) < 0)
		return -1;
	if (text.len == 0)
		return error_set(err, ERR_DATA_LOSS, "empty");
	if (json_parse(text.data, text.len, "record", &json, err) < 0)
		return -1;
	id = json_string(json, "id");
	if (!id || digest_check(id, err) < 0 || strncmp(digest_hex(id), name, DIGEST_HEX_LEN) != 0)
		return error_set(err, ERR_DATA_LOSS, "its id is not its name");
	memcpy(ret->id, id, sizeof(ret->id));
	if (read_time(json, "changed_realtime_ns", &ret->changed_ns, err) < 0)
		return -1;
	ret->len = text.len;
	ret->json = steal_ptr(&json);
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;

	return (left->changed_ns > right->changed_ns) - (left->changed_ns < right->changed_ns);
}

struct candidates {
	struct candidate *list;
	size_t n, cap, damaged;
};

static bool is_record_name(const char *name)
{
	return strlen(name) == RECORD_NAME_SIZE - 1 && digest_is_hex(name, DIGEST_HEX_LEN) &&
	       !strcmp(name + DIGEST_HEX_LEN, RECORD_SUFFIX);
}

static void log_damaged(const char *name, const struct error *err)
{
	log_warn("image", "record images/%.80s is damaged and left alone: %s", name, err->text);
}

static int add_candidate(struct image_store *store, const char *name, struct candidates *found, struct error *err)
{
	struct error damage;

	if (found->n == found->cap) {
		size_t cap = found->cap ? 2 * found->cap : 64;
		struct candidate *grown = reallocarray(found->list, cap, sizeof(*grown));

		if (!grown)
			return error_set(err, ERR_EXHAUSTED, "out of memory for %zu records", cap);
		found->list = grown;
		found->cap = cap;
	}
	if (parse_candidate(store, name, &found->list[found->n], &damage) == 0) {
		found->n++;
		return 0;
	}
	found->damaged++;
	log_damaged(name, &damage);
	return 0;
}

static int find_candidates(struct image_store *store, struct candidates *found, struct error *err)
{
	int fd = openat(store->imagesfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		(void)error_sys(err, errno, "list %s/images", store->root);
		close_fd(&fd);
		return -1;
	}
	while ((d = readdir(dir))) {
		/* What is half-written has the name of no record. */
		if (is_record_name(d->d_name) && add_candidate(store, d->d_name, found, err) < 0)
			return -1;
		if (strstr(d->d_name, ".tmp"))
			(void)unlinkat(store->imagesfd, d->d_name, 0);
	}
	return 0;
}

int record_load_all(struct image_store *store, size_t *ret_damaged, struct error *err)
{
	struct candidates found = { 0 };
	int result = find_candidates(store, &found, err);

	if (found.n > 0)
		qsort(found.list, found.n, sizeof(*found.list), by_age);
	for (size_t i = 0; i < found.n; i++) {
		struct error damage;

		if (result == 0 && load_candidate(store, &found.list[i], &damage) < 0) {
			found.damaged++;
			log_damaged(digest_hex(found.list[i].id), &damage);
		}
		cJSON_Delete(found.list[i].json);
	}
	free(found.list);
	*ret_damaged = found.damaged;
	return result;
}
