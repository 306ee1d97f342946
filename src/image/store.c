#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/child.h"
#include "image/http.h"

static int open_directory(const struct image_store *store, const char *name, int *ret_fd, struct error *err)
{
	if (mkdirat(store->rootfd, name, 0700) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create %s/%s", store->root, name);
	*ret_fd = openat(store->rootfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? error_sys(err, errno, "open %s/%s", store->root, name) : 0;
}

/* Layers hold other people's set-user-id programs: nobody but root may come near them. The lock goes with the process. */
static int open_root(struct image_store *store, struct error *err)
{
	if (io_make_dirs(store->root, 0700, err) < 0)
		return -1;
	store->rootfd = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->rootfd < 0)
		return error_sys(err, errno, "open %s", store->root);
	if (fchmod(store->rootfd, 0700) < 0)
		return error_sys(err, errno, "set mode of %s", store->root);
	if (flock(store->rootfd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? error_set(err, ERR_STATE, "%s is in use by another process", store->root)
					    : error_sys(err, errno, "lock %s", store->root);
	return 0;
}

static int open_directories(struct image_store *store, struct error *err)
{
	int blobs = -1;

	if (open_root(store, err) < 0)
		return -1;
	if (io_remove_tree(store->rootfd, "ingest", err) < 0)
		return error_prefix(err, "empty %s/ingest", store->root);
	if (open_directory(store, "blobs", &blobs, err) < 0)
		return -1;
	close_fd(&blobs);
	if (open_directory(store, "blobs/sha256", &store->blobsfd, err) < 0 ||
	    open_directory(store, "layers", &store->layersfd, err) < 0)
		return -1;
	if (open_directory(store, "images", &store->imagesfd, err) < 0)
		return -1;
	return open_directory(store, "ingest", &store->ingestfd, err);
}

/* Zero where directories take no blocks of their own (tmpfs, small ones on XFS). */
static int measure_directory(struct image_store *store, struct error *err)
{
	struct stat st;

	if (fstat(store->ingestfd, &st) < 0)
		return error_sys(err, errno, "look at %s/ingest", store->root);
	store->dir_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

/* Without it nothing is kept over a restart. */
static void read_boot_id(struct image_store *store)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(64);
	struct error ignored;

	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, &ignored) == 0 && text.len >= STORE_BOOT_ID_SIZE - 1)
		memcpy(store->boot_id, text.data, STORE_BOOT_ID_SIZE - 1);
}

/* With a record that could not be read nobody knows what it needs: then everything stays. */
static int load(struct image_store *store, struct error *err)
{
	size_t damaged = 0;

	if (record_load_all(store, &damaged, err) < 0)
		return -1;
	return collect_orphans(store, damaged > 0, err);
}

static int copy_config(struct image_store *store, const struct image_store_config *config, struct error *err)
{
	if (config->root[0] != '/')
		return error_set(err, ERR_INVALID, "'%s' is not an absolute path", config->root);
	store->root = strdup(config->root);
	store->certs_dir = strdup(config->certs_dir ? config->certs_dir : "");
	store->insecure_registries = strdup(config->insecure_registries ? config->insecure_registries : "");
	store->max_layer_bytes = config->max_layer_bytes;
	store->progress_timeout_ms = config->progress_timeout_ms;
	store->auth_file = strdup(config->auth_file ? config->auth_file : "");
	store->keep_unlisted_ms = config->keep_unlisted_ms;
	store->max_downloads_per_image =
		config->max_downloads_per_image ? config->max_downloads_per_image : STORE_DOWNLOADS_PER_IMAGE;
	if (!store->root || !store->certs_dir || !store->insecure_registries || !store->auth_file)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (store->max_layer_bytes <= 0 || store->progress_timeout_ms <= 0)
		return error_set(err, ERR_INVALID, "limits of the image store must be positive");
	return 0;
}

/* Waits are measured on the clock that nobody sets. */
static void init_locks(struct image_store *store)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&store->disk_lock, NULL);
	(void)pthread_mutex_init(&store->collect_lock, NULL);
	(void)pthread_mutex_init(&store->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&store->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static int start(struct image_store *store, const struct image_store_config *config, struct error *err)
{
	if (copy_config(store, config, err) < 0 || pins_parse(config->pinned ? config->pinned : "", &store->pins, err) < 0 ||
	    http_init(err) < 0)
		return -1;
	read_boot_id(store);
	if (open_directories(store, err) < 0 || measure_directory(store, err) < 0 || load(store, err) < 0)
		return -1;
	return collector_start(store, err);
}

int image_store_open(const struct image_store_config *config, struct image_store **ret_store, struct error *err)
{
	struct image_store *store = calloc(1, sizeof(*store));

	if (!store)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	store->rootfd = store->blobsfd = store->layersfd = store->imagesfd = store->ingestfd = -1;
	init_locks(store);
	slots_init(&store->slots, config->max_downloads ? config->max_downloads : STORE_DOWNLOADS);
	(void)signal(SIGPIPE, SIG_IGN);
	child_find_program();
	if (start(store, config, err) < 0) {
		image_store_close(store);
		return error_prefix(err, "open image store");
	}
	*ret_store = store;
	return 0;
}

/* An entry whose version somebody still holds would be pulled from under him: closing needs all references back. */
static void free_entries(struct image_store *store)
{
	struct entry *entry, *next;
	struct layer *layer, *next_layer;

	HASH_ITER (hh, store->entries, entry, next) {
		struct version *version = entry->current;

		HASH_DEL(store->entries, entry);
		if (version) {
			strv_free(version->image.repo_tags);
			strv_free(version->image.repo_digests);
			free(version);
		}
		entry_free(entry);
	}
	HASH_ITER (hh, store->layers, layer, next_layer) {
		HASH_DEL(store->layers, layer);
		free(layer);
	}
}

void image_store_close(struct image_store *store)
{
	if (!store)
		return;
	collector_stop(store);
	free_entries(store);
	close_fd(&store->blobsfd);
	close_fd(&store->layersfd);
	close_fd(&store->imagesfd);
	close_fd(&store->ingestfd);
	close_fd(&store->rootfd);
	slots_release(&store->slots);
	pins_release(&store->pins);
	(void)pthread_cond_destroy(&store->changed);
	(void)pthread_mutex_destroy(&store->lock);
	(void)pthread_mutex_destroy(&store->collect_lock);
	(void)pthread_mutex_destroy(&store->disk_lock);
	free(store->root);
	free(store->certs_dir);
	free(store->insecure_registries);
	free(store->auth_file);
	free(store);
}

/* The store's own directories: itself, blobs, blobs/sha256, layers, images, ingest. */
#define OWN_DIRECTORIES 6

void image_store_usage(struct image_store *store, struct image_fs_usage *ret_usage)
{
	struct image_fs_usage usage;

	(void)pthread_mutex_lock(&store->lock);
	usage.used_bytes = store->used_bytes + store->blob_bytes + OWN_DIRECTORIES * store->dir_bytes;
	usage.inodes = store->used_inodes + store->blobs + OWN_DIRECTORIES;
	for (const struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		usage.used_bytes += entry->record_bytes;
		usage.inodes += entry->record_bytes > 0;
	}
	(void)pthread_mutex_unlock(&store->lock);
	*ret_usage = usage;
}
