/* Manifests and configurations by digest, and what is left over of anything when the store opens. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/store.h"

/* Adds what the blob takes on disk to what is used, or takes it away: with `sign` 1 or -1. */
static void count_blob(struct image_store *store, const char *hex, int sign)
{
	struct stat st;
	uint64_t bytes;

	if (fstatat(store->blobsfd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	bytes = store_blocks((uint64_t)st.st_size);
	(void)pthread_mutex_lock(&store->lock);
	store->blob_bytes += sign > 0 ? bytes : -bytes;
	store->blobs += sign > 0 ? 1 : -UINT64_C(1);
	(void)pthread_mutex_unlock(&store->lock);
}

int blob_write(struct image_store *store, const char *digest, const void *data, size_t len, struct error *err)
{
	_cleanup_buffer_ struct buffer there = BUFFER_INIT(len);
	struct error ignored;

	if (blob_read(store, digest, len, &there, &ignored) == 0)
		return 0;
	count_blob(store, digest_hex(digest), -1); /* one that is damaged */
	if (io_replace_file(store->blobsfd, digest_hex(digest), data, len, 0600, err) < 0) {
		count_blob(store, digest_hex(digest), 1);
		return error_prefix(err, "store blob %s", digest);
	}
	count_blob(store, digest_hex(digest), 1);
	return 0;
}

int blob_read(struct image_store *store, const char *digest, size_t max, struct buffer *b, struct error *err)
{
	char actual[DIGEST_TEXT_SIZE];

	buffer_init(b, max);
	if (io_read_file(store->blobsfd, digest_hex(digest), b, err) < 0) {
		if (err->code == ERR_NOT_FOUND)
			err->code = ERR_DATA_LOSS;
		return error_prefix(err, "blob %s", digest);
	}
	if (digest_of(b->data, b->len, actual, err) < 0)
		return -1;
	if (strcmp(actual, digest) != 0)
		return error_set(err, ERR_DATA_LOSS, "blob %s holds something else", digest);
	return 0;
}

void blob_delete(struct image_store *store, const char *digest)
{
	count_blob(store, digest_hex(digest), -1);
	if (unlinkat(store->blobsfd, digest_hex(digest), 0) < 0 && errno != ENOENT)
		log_warn("image", "delete blob %s: %s", digest, strerror(errno));
}

static bool blob_is_needed(const struct image_store *store, const char *name)
{
	for (struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		if (!strcmp(digest_hex(entry->id), name))
			return true;
		for (char **digest = entry->manifests; *digest; digest++) {
			if (!strcmp(digest_hex(*digest), name))
				return true;
		}
	}
	return false;
}

void blob_delete_unneeded(struct image_store *store, const char *digest)
{
	if (!blob_is_needed(store, digest_hex(digest)))
		blob_delete(store, digest);
}

static bool keep_blob(struct image_store *store, const char *name)
{
	if (!blob_is_needed(store, name))
		return false;
	count_blob(store, name, 1);
	return true;
}

static bool keep_layer(struct image_store *store, const char *name)
{
	for (struct layer *layer = store->layers; layer; layer = layer->hh.next) {
		if (!strcmp(digest_hex(layer->diff_id), name))
			return true;
	}
	return unlisted_adopt(store, name);
}

static int collect_directory(struct image_store *store, int dirfd, const char *what,
			     bool (*keep)(struct image_store *, const char *), bool spare, struct error *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		(void)error_sys(err, errno, "list %s/%s", store->root, what);
		close_fd(&fd);
		return -1;
	}
	while ((d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") || keep(store, d->d_name) || spare)
			continue;
		log_info("image", "remove %s/%s, which no image needs", what, d->d_name);
		if (io_remove_tree(dirfd, d->d_name, err) < 0)
			return -1;
	}
	return 0;
}

int collect_orphans(struct image_store *store, bool spare, struct error *err)
{
	if (collect_directory(store, store->blobsfd, "blobs/sha256", keep_blob, spare, err) < 0)
		return -1;
	return collect_directory(store, store->layersfd, "layers", keep_layer, spare, err);
}
