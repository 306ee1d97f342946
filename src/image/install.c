#include "image/install.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"

int install_init(struct install *in, struct image_store *store, struct blob_source *source, struct error *err)
{
	*in = (struct install){ .store = store, .source = source, .tags = strv_new(), .digests = strv_new() };
	if (in->tags && in->digests)
		return 0;
	install_release(in);
	return error_set(err, ERR_EXHAUSTED, "out of memory");
}

void install_release(struct install *in)
{
	for (size_t i = 0; in->layers && i < in->manifest.n_layers; i++) {
		if (in->layers[i])
			layer_release(in->store, in->layers[i]);
	}
	free(in->layers);
	for (size_t i = 0; i < in->n_manifests; i++)
		free(in->manifests[i].data);
	free(in->config_text.data);
	manifest_release(&in->manifest);
	config_blob_release(&in->config);
	strv_free(in->tags);
	strv_free(in->digests);
	*in = (struct install){ 0 };
}

/* Checks what came against what was promised, and keeps it. */
static int keep(struct kept_blob *blob, const struct descriptor *promised, struct buffer *b, struct error *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (digest_of(b->data, b->len, digest, err) < 0)
		return -1;
	if (*promised->digest && strcmp(digest, promised->digest) != 0)
		return error_set(err, ERR_DATA_LOSS, "%s turned out to be %s", promised->digest, digest);
	memcpy(blob->digest, digest, sizeof(digest));
	blob->len = b->len;
	blob->data = buffer_steal(b);
	return blob->data ? 0 : error_set(err, ERR_INVALID, "%s is empty", digest);
}

static int check_size(const struct descriptor *what, size_t max, struct error *err)
{
	if (what->size_bytes > max)
		return error_set(err, ERR_EXHAUSTED, "%s of %llu bytes is over the limit of %zu", what->digest,
				 (unsigned long long)what->size_bytes, max);
	return 0;
}

/* From the store when it has it: the digest says that it is the same. The first manifest is always asked for, since that is
 * where a registry says whether the caller may have the image at all. */
static int get_blob(struct install *in, enum blob_kind kind, const struct descriptor *what, bool ask, struct kept_blob *ret_blob,
		    char content_type[128], struct error *err)
{
	size_t max = kind == BLOB_CONFIG ? CONFIG_MAX_BYTES : MANIFEST_MAX_BYTES;
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(max);
	struct error ignored;

	content_type[0] = '\0';
	if (check_size(what, max, err) < 0)
		return -1;
	if (ask || blob_read(in->store, what->digest, max, &b, &ignored) < 0) {
		buffer_clear(&b);
		if (in->source->get(in->source, kind, what, &b, content_type, err) < 0)
			return -1;
	}
	return keep(ret_blob, what, &b, err);
}

int install_set_config(struct install *in, const char *text, size_t len, struct error *err)
{
	const struct platform host = platform_host();

	if (config_blob_parse(text, len, &in->config, err) < 0)
		return -1;
	if (strv_count(in->config.diff_ids) != in->manifest.n_layers)
		return error_set(err, ERR_INVALID, "configuration has %zu diff ids for %zu layers", strv_count(in->config.diff_ids),
				 in->manifest.n_layers);
	/* Builders get this wrong, and emulation exists: the exec tells. */
	if (*in->config.architecture && strcmp(in->config.architecture, host.architecture) != 0)
		log_warn("image", "image %s is for %.40s, this machine is %s", in->id, in->config.architecture, host.architecture);
	return 0;
}

static int resolve_config(struct install *in, struct error *err)
{
	char content_type[128];

	if (get_blob(in, BLOB_CONFIG, &in->manifest.config, false, &in->config_text, content_type, err) < 0)
		return error_prefix(err, "configuration");
	memcpy(in->id, in->config_text.digest, sizeof(in->id));
	in->size_bytes = in->config_text.len;
	for (size_t i = 0; i < in->manifest.n_layers; i++)
		in->size_bytes += in->manifest.layers[i].size_bytes;
	return install_set_config(in, in->config_text.data, in->config_text.len, err);
}

/* Reads the manifest in->manifests[i]; when it is an index, *ret_next is where to go on, otherwise in->manifest is filled. */
static int read_manifest(struct install *in, size_t i, const char *content_type, struct descriptor *ret_next, bool *ret_more,
			 struct error *err)
{
	_cleanup_manifest_ struct manifest manifest = { 0 };
	const struct platform host = platform_host();
	const struct manifest_entry *entry;

	if (manifest_parse(in->manifests[i].data, in->manifests[i].len, *content_type ? content_type : NULL, &manifest, err) < 0)
		return error_prefix(err, "%s", in->manifests[i].digest);
	*ret_more = manifest.kind == MANIFEST_INDEX;
	if (!*ret_more) {
		in->manifest = manifest;
		manifest = (struct manifest){ 0 };
		return 0;
	}
	if (manifest_choose(&manifest, &host, &entry, err) < 0)
		return error_prefix(err, "%s", in->manifests[i].digest);
	*ret_next = entry->target;
	return 0;
}

int install_resolve(struct install *in, const struct descriptor *root, struct error *err)
{
	struct descriptor next = *root;
	char content_type[128];
	bool more = true;

	while (more) {
		size_t i = in->n_manifests;

		if (i == INSTALL_MAX_HOPS)
			return error_set(err, ERR_INVALID, "more than %d indexes point to each other", INSTALL_MAX_HOPS - 1);
		if (get_blob(in, BLOB_MANIFEST, &next, i == 0, &in->manifests[i], content_type, err) < 0)
			return error_prefix(err, "manifest");
		in->n_manifests++;
		if (read_manifest(in, i, content_type, &next, &more, err) < 0)
			return -1;
	}
	return resolve_config(in, err);
}

/* ---- commit ---- */

/* An image that is about to change its names. */
struct renaming {
	struct entry *entry;
	char **tags, **digests;
	struct version *version;
	struct renaming *next;
};

static void free_renamings(struct renaming *list)
{
	struct renaming *r, *next;

	LL_FOREACH_SAFE(list, r, next)
	{
		/* A version that was made owns the lists, until it is published and `version` NULL. */
		strv_free(r->tags);
		strv_free(r->digests);
		free(r->version);
		free(r);
	}
}

static int add_renaming(struct renaming **list, struct entry *entry, char **tags, char **digests, struct error *err)
{
	struct renaming *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	r->entry = entry;
	r->tags = strv_copy(tags);
	r->digests = strv_copy(digests);
	LL_APPEND(*list, r);
	return r->tags && r->digests ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

/* Other images lose the tags that this one gets. */
static int take_tags_away(struct install *in, const struct entry *mine, struct renaming **list, struct error *err)
{
	for (struct entry *entry = in->store->entries; entry; entry = entry->hh.next) {
		struct renaming *r;
		bool has = false;

		if (entry == mine || !entry->listed)
			continue;
		for (char **tag = in->tags; *tag; tag++)
			has = has || strv_has(entry->current->image.repo_tags, *tag);
		if (!has)
			continue;
		if (add_renaming(list, entry, entry->current->image.repo_tags, entry->current->image.repo_digests, err) < 0)
			return -1;
		LL_FOREACH (*list, r) {
			for (char **tag = in->tags; r->entry == entry && *tag; tag++)
				strv_remove(r->tags, *tag);
		}
	}
	return 0;
}

static int add_all(char ***list, char *const *more, struct error *err)
{
	for (; *more; more++) {
		if (strv_add(list, *more, err) < 0)
			return -1;
	}
	return 0;
}

/* The names of this image: those it has and those it gets. */
static int give_names(struct install *in, struct entry *entry, struct renaming **list, struct error *err)
{
	struct renaming *r;

	if (add_renaming(list, entry, in->tags, in->digests, err) < 0)
		return -1;
	r = *list;
	if (!entry->listed)
		return 0;
	if (add_all(&r->tags, entry->current->image.repo_tags, err) < 0)
		return -1;
	return add_all(&r->digests, entry->current->image.repo_digests, err);
}

static int write_blobs(struct install *in, struct error *err)
{
	for (size_t i = 0; i < in->n_manifests; i++) {
		if (blob_write(in->store, in->manifests[i].digest, in->manifests[i].data, in->manifests[i].len, err) < 0)
			return -1;
	}
	return blob_write(in->store, in->config_text.digest, in->config_text.data, in->config_text.len, err);
}

static int add_manifests(struct install *in, struct entry *entry, struct error *err)
{
	for (size_t i = 0; i < in->n_manifests; i++) {
		if (strv_add(&entry->manifests, in->manifests[i].digest, err) < 0)
			return -1;
	}
	return 0;
}

/* Hands configuration and layers over to a new entry. */
static struct entry *make_entry(struct install *in, struct error *err)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory for an image");
		return NULL;
	}
	entry->store = in->store;
	memcpy(entry->id, in->id, sizeof(entry->id));
	entry->layers = steal_ptr(&in->layers);
	entry->n_layers = in->manifest.n_layers;
	entry->config = in->config.run;
	in->config.run = (struct image_config){ 0 };
	entry->size_bytes = in->size_bytes;
	entry->pulled_realtime_ns = clock_realtime_ns();
	entry->manifests = strv_new();
	if (entry->manifests && entry_set_layer_dirs(entry, err) == 0)
		return entry;
	(void)error_set(err, ERR_EXHAUSTED, "out of memory for an image");
	in->layers = steal_ptr(&entry->layers);
	entry_free(entry);
	return NULL;
}

/* Records on disk. The one that gains comes first: after a crash between them, the newer record has the tag. */
static int write_records(struct renaming *list, struct error *err)
{
	struct renaming *r;

	LL_FOREACH (list, r) {
		if (record_write(r->entry, r->tags, r->digests, false, err) < 0)
			return -1;
	}
	return 0;
}

static int make_versions(struct renaming *list, struct error *err)
{
	struct renaming *r;

	LL_FOREACH (list, r) {
		if (version_new(r->entry, r->tags, r->digests, &r->version, err) < 0)
			return -1;
	}
	return 0;
}

static void publish_locked(struct renaming *list)
{
	struct renaming *r;

	LL_FOREACH (list, r) {
		struct version *former = version_publish(r->version);

		r->entry->listed = true;
		r->entry->awaited = false;
		if (r->entry->is_garbage) {
			DL_DELETE(r->entry->store->garbage, r->entry);
			r->entry->is_garbage = false;
		}
		r->tags = r->digests = NULL;
		r->version = former; /* to be dropped without the lock */
	}
}

static void drop_formers(struct renaming *list)
{
	struct renaming *r;

	LL_FOREACH (list, r) {
		if (r->version)
			image_unref(&r->version->image);
		r->version = NULL;
	}
}

static int index_entry_locked(struct entry *entry, struct error *err)
{
	HASH_ADD_STR(entry->store->entries, id, entry);
	return entry->hh.tbl ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for an image");
}

/* Everything that the record promises is on the disk before the record is: one sync for all files of all layers costs less than
 * one for each, and reports write errors since Linux 5.8. */
static int make_durable(struct install *in, struct error *err)
{
	if (write_blobs(in, err) < 0)
		return -1;
	if (fault_here("image", "sync"))
		return error_set(err, ERR_INTERNAL, "fault");
	return syncfs(in->store->rootfd) < 0 ? error_sys(err, errno, "sync %s", in->store->root) : 0;
}

static void mark_listed_locked(struct entry *entry)
{
	for (size_t i = 0; i < entry->n_layers; i++) {
		entry->layers[i]->was_listed = true;
		entry->layers[i]->keep_until_us = 0;
	}
}

static int commit_names(struct install *in, struct entry *entry, bool is_new, struct image **ret_image, struct error *err)
{
	struct renaming *list = NULL;
	int result = -1;

	if (add_manifests(in, entry, err) == 0 && give_names(in, entry, &list, err) == 0 &&
	    take_tags_away(in, entry, &list, err) == 0 && make_versions(list, err) == 0)
		result = write_records(list, err);
	if (result == 0) {
		(void)pthread_mutex_lock(&in->store->lock);
		result = is_new ? index_entry_locked(entry, err) : 0;
		if (result == 0) {
			publish_locked(list);
			mark_listed_locked(entry);
			*ret_image = image_ref(&entry->current->image);
		}
		(void)pthread_mutex_unlock(&in->store->lock);
	}
	if (result == 0)
		drop_formers(list);
	free_renamings(list);
	return result;
}

/* Under disk_lock. */
static int commit(struct install *in, struct image **ret_image, struct error *err)
{
	struct entry *entry;
	bool is_new;

	if (make_durable(in, err) < 0)
		return -1;
	HASH_FIND_STR(in->store->entries, in->id, entry);
	is_new = !entry;
	if (is_new)
		entry = make_entry(in, err);
	if (!entry)
		return -1;
	if (commit_names(in, entry, is_new, ret_image, err) == 0)
		return 0;
	if (is_new) {
		struct error ignored;

		(void)record_delete(in->store, in->id, &ignored);
		in->layers = steal_ptr(&entry->layers);
		entry_free(entry);
	}
	return -1;
}

static void drop_blobs(struct install *in)
{
	for (size_t i = 0; i < in->n_manifests; i++)
		blob_delete_unneeded(in->store, in->manifests[i].digest);
	blob_delete_unneeded(in->store, in->config_text.digest);
}

int install_commit(struct install *in, struct image **ret_image, struct error *err)
{
	int result;

	(void)pthread_mutex_lock(&in->store->disk_lock);
	result = commit(in, ret_image, err);
	if (result < 0)
		drop_blobs(in);
	(void)pthread_mutex_unlock(&in->store->disk_lock);
	return result;
}
