#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

/* How often a wait for somebody else's unpacking looks whether it was cancelled. */
#define CANCEL_POLL_NS 200000000

static struct layer *add_layer_locked(struct image_store *store, const char *diff_id, enum layer_state state)
{
	struct layer *layer = calloc(1, sizeof(*layer));

	if (!layer)
		return NULL;
	memcpy(layer->diff_id, diff_id, sizeof(layer->diff_id));
	layer->state = state;
	layer->refs = 1;
	HASH_ADD_STR(store->layers, diff_id, layer);
	if (layer->hh.tbl)
		return layer;
	free(layer);
	return NULL;
}

static void wait_change_locked(struct image_store *store)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += CANCEL_POLL_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&store->changed, &store->lock, &until);
}

static int acquire_locked(struct image_store *store, const char *diff_id, const atomic_bool *cancelled, struct layer **ret_layer,
			  bool *ret_mine, struct error *err)
{
	struct layer *layer;

	for (;;) {
		HASH_FIND_STR(store->layers, diff_id, layer);
		if (!layer || layer->state == LAYER_READY)
			break;
		if (cancelled && atomic_load(cancelled))
			return error_set(err, ERR_CANCELLED, "cancelled");
		wait_change_locked(store);
	}
	*ret_mine = !layer;
	if (layer)
		layer->refs++;
	else
		layer = add_layer_locked(store, diff_id, LAYER_UNPACKING);
	if (!layer)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a layer");
	*ret_layer = layer;
	return 0;
}

int layer_acquire(struct image_store *store, const char *diff_id, const atomic_bool *cancelled, struct layer **ret_layer,
		  bool *ret_mine, struct error *err)
{
	int result;

	(void)pthread_mutex_lock(&store->lock);
	result = acquire_locked(store, diff_id, cancelled, ret_layer, ret_mine, err);
	(void)pthread_mutex_unlock(&store->lock);
	return result;
}

/* layers/HEX and the "fs" in it. */
struct image_fs_usage layer_usage(const struct image_store *store, const struct layer *layer)
{
	return (struct image_fs_usage){ layer->bytes + 2 * store->dir_bytes, layer->inodes + 2 };
}

static void count_usage_locked(struct image_store *store, const struct layer *layer)
{
	struct image_fs_usage usage = layer_usage(store, layer);

	store->used_bytes += usage.used_bytes;
	store->used_inodes += usage.inodes;
}

/* A directory of that name can only be left over from a record that was damaged: whatever it holds, the new one is whole. */
static int replace_leftover(struct image_store *store, const char *ingest_name, const char *hex, struct error *err)
{
	char aside[INGEST_NAME_SIZE];

	ingest_new_name(store, aside);
	if (renameat(store->layersfd, hex, store->ingestfd, aside) < 0)
		return error_sys(err, errno, "move layer %s aside", hex);
	ingest_drop(store, aside);
	if (renameat(store->ingestfd, ingest_name, store->layersfd, hex) < 0)
		return error_sys(err, errno, "rename layer %s", hex);
	return 0;
}

int layer_publish(struct image_store *store, struct layer *layer, const char *ingest_name, struct error *err)
{
	const char *hex = digest_hex(layer->diff_id);

	if (fault_here("image", "publish_layer"))
		return error_set(err, ERR_INTERNAL, "fault");
	unlisted_note(store, ingest_name, layer);
	if (renameat(store->ingestfd, ingest_name, store->layersfd, hex) < 0) {
		if (errno != EEXIST && errno != ENOTEMPTY)
			return error_sys(err, errno, "rename layer %s", hex);
		if (replace_leftover(store, ingest_name, hex, err) < 0)
			return -1;
	}
	(void)pthread_mutex_lock(&store->lock);
	layer->state = LAYER_READY;
	count_usage_locked(store, layer);
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
	return 0;
}

void layer_abandon(struct image_store *store, struct layer *layer)
{
	(void)pthread_mutex_lock(&store->lock);
	HASH_DEL(store->layers, layer);
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
	free(layer);
}

void layer_release_locked(struct layer *layer)
{
	layer->refs--;
}

void layer_release(struct image_store *store, struct layer *layer)
{
	(void)pthread_mutex_lock(&store->lock);
	layer_release_locked(layer);
	if (layer->refs == 0) {
		unlisted_keep_locked(store, layer);
		collector_wake_locked(store);
	}
	(void)pthread_mutex_unlock(&store->lock);
}

static int check_layer_dir(struct image_store *store, struct layer *layer, struct error *err)
{
	char path[DIGEST_HEX_LEN + sizeof("/fs")];
	_cleanup_fd_ int fd = -1;
	char opaque;

	(void)snprintf(path, sizeof(path), "%s/fs", digest_hex(layer->diff_id));
	fd = openat(store->layersfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERR_DATA_LOSS, "layer %s is not there", layer->diff_id);
	layer->opaque_root = fgetxattr(fd, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y';
	return 0;
}

int layer_adopt(struct image_store *store, const char *diff_id, uint64_t bytes, uint64_t inodes, struct layer **ret_layer,
		struct error *err)
{
	struct layer *layer = add_layer_locked(store, diff_id, LAYER_READY);

	if (!layer)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a layer");
	if (check_layer_dir(store, layer, err) < 0) {
		HASH_DEL(store->layers, layer);
		free(layer);
		return -1;
	}
	layer->refs = 0;
	layer->bytes = bytes;
	layer->inodes = inodes;
	count_usage_locked(store, layer);
	*ret_layer = layer;
	return 0;
}

int layer_load(struct image_store *store, const char *diff_id, uint64_t bytes, uint64_t inodes, struct layer **ret_layer,
	       struct error *err)
{
	struct layer *layer;

	HASH_FIND_STR(store->layers, diff_id, layer);
	if (!layer && layer_adopt(store, diff_id, bytes, inodes, &layer, err) < 0)
		return -1;
	layer->refs++;
	layer->was_listed = true;
	*ret_layer = layer;
	return 0;
}

void layer_unload(struct image_store *store, struct layer *layer)
{
	struct image_fs_usage usage = layer_usage(store, layer);

	if (--layer->refs > 0)
		return;
	store->used_bytes -= usage.used_bytes;
	store->used_inodes -= usage.inodes;
	HASH_DEL(store->layers, layer);
	free(layer);
}

void ingest_new_name(struct image_store *store, char ret_name[INGEST_NAME_SIZE])
{
	(void)snprintf(ret_name, INGEST_NAME_SIZE, "%u", atomic_fetch_add(&store->ingest_seq, 1));
}

/* "fs" is what a container's root looks like where the layer says nothing else, hence 0755; the store's own root is 0700. */
int ingest_make(struct image_store *store, char ret_name[INGEST_NAME_SIZE], int *ret_fd, struct error *err)
{
	char path[INGEST_NAME_SIZE + 3];

	ingest_new_name(store, ret_name);
	(void)snprintf(path, sizeof(path), "%s/fs", ret_name);
	if (mkdirat(store->ingestfd, ret_name, 0700) < 0 || mkdirat(store->ingestfd, path, 0755) < 0)
		return error_sys(err, errno, "create %s/ingest/%s", store->root, path);
	*ret_fd = openat(store->ingestfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_sys(err, errno, "open %s/ingest/%s", store->root, path);
	if (fchmod(*ret_fd, 0755) < 0) { /* the umask took bits away */
		close_fd(ret_fd);
		return error_sys(err, errno, "set mode of %s/ingest/%s", store->root, path);
	}
	return 0;
}

int ingest_make_listing(struct image_store *store, const char *name, struct error *err)
{
	char path[INGEST_NAME_SIZE + sizeof("/listing")];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/listing", name);
	fd = openat(store->ingestfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? error_sys(err, errno, "create %s/ingest/%s", store->root, path) : fd;
}

void ingest_drop(struct image_store *store, const char *name)
{
	struct error err;

	if (io_remove_tree(store->ingestfd, name, &err) < 0)
		log_warn("image", "remove %s/ingest/%s: %s", store->root, name, err.text);
}
