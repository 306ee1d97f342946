/* Manifests and configurations by digest, and what is left over of anything when the store opens. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/store.h"
#include "base/strv.h"

int blob_write(struct image_store *store, const char *digest, const void *data, size_t len, struct error *err)
{
	_cleanup_buffer_ struct buffer there = BUFFER_INIT(len);
	struct error ignored;

	if (blob_read(store, digest, len, &there, &ignored) == 0)
		return 0;
	if (io_replace_file(store->blobsfd, digest_hex(digest), data, len, 0600, err) < 0)
		return error_prefix(err, "store blob %s", digest);
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
	if (unlinkat(store->blobsfd, digest_hex(digest), 0) < 0 && errno != ENOENT)
		log_warn("image", "delete blob %s: %s", digest, strerror(errno));
}

static bool blob_is_needed(struct image_store *store, const char *name)
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

static bool layer_is_needed(struct image_store *store, const char *name)
{
	for (struct layer *layer = store->layers; layer; layer = layer->hh.next) {
		if (!strcmp(digest_hex(layer->diff_id), name))
			return true;
	}
	return false;
}

static int collect_directory(struct image_store *store, int dirfd, const char *what,
			     bool (*is_needed)(struct image_store *, const char *), struct error *err)
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
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") || is_needed(store, d->d_name))
			continue;
		log_info("image", "remove %s/%s, which no image needs", what, d->d_name);
		if (io_remove_tree(dirfd, d->d_name, err) < 0)
			return -1;
	}
	return 0;
}

int collect_orphans(struct image_store *store, struct error *err)
{
	if (collect_directory(store, store->blobsfd, "blobs/sha256", blob_is_needed, err) < 0)
		return -1;
	return collect_directory(store, store->layersfd, "layers", layer_is_needed, err);
}
