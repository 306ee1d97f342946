/*
 * The collector: a thread that removes what nobody refers to any more, because the last reference may be dropped on a thread that
 * must not wait for a disk.
 *
 * What can no longer be reached goes in this order: record, blobs, references on layers, layers. A layer is first renamed into
 * ingest/, under disk_lock, and removed there without any lock: its name is free again at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/store.h"

void collector_wake_locked(struct image_store *store)
{
	store->wake = true;
	(void)pthread_cond_broadcast(&store->changed);
}

void entry_to_garbage_locked(struct entry *entry)
{
	entry->is_garbage = true;
	DL_APPEND(entry->store->garbage, entry);
	collector_wake_locked(entry->store);
}

static bool manifest_is_shared(const struct entry *mine, const char *digest)
{
	for (struct entry *entry = mine->store->entries; entry; entry = entry->hh.next) {
		if (entry != mine && strv_has(entry->manifests, digest))
			return true;
	}
	return false;
}

static struct entry *next_garbage(struct image_store *store)
{
	struct entry *entry;

	(void)pthread_mutex_lock(&store->lock);
	entry = store->garbage;
	(void)pthread_mutex_unlock(&store->lock);
	return entry;
}

/* Under disk_lock: nobody can bring the entry back meanwhile. */
static void remove_garbage(struct entry *entry)
{
	struct image_store *store = entry->store;
	struct error err;

	if (record_delete(store, entry->id, &err) < 0)
		log_warn("image", "remove image %s: %s", entry->id, err.text);
	for (char **digest = entry->manifests; *digest; digest++) {
		if (!manifest_is_shared(entry, *digest))
			blob_delete(store, *digest);
	}
	blob_delete(store, entry->id);
	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < entry->n_layers; i++)
		layer_release_locked(entry->layers[i]);
	DL_DELETE(store->garbage, entry);
	HASH_DEL(store->entries, entry);
	(void)pthread_mutex_unlock(&store->lock);
	entry_free(entry);
}

static struct layer *next_unused_layer(struct image_store *store)
{
	int64_t now_us = clock_monotonic_us();
	struct layer *layer;

	(void)pthread_mutex_lock(&store->lock);
	for (layer = store->layers; layer; layer = layer->hh.next) {
		if (layer->state == LAYER_READY && layer->refs == 0 && layer->keep_until_us <= now_us) {
			layer->state = LAYER_REMOVING;
			break;
		}
	}
	(void)pthread_mutex_unlock(&store->lock);
	return layer;
}

static void forget_layer(struct image_store *store, struct layer *layer)
{
	struct image_fs_usage usage = layer_usage(store, layer);

	(void)pthread_mutex_lock(&store->lock);
	store->used_bytes -= usage.used_bytes;
	store->used_inodes -= usage.inodes;
	HASH_DEL(store->layers, layer);
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
	free(layer);
}

/* Under disk_lock. Returns whether there is something to remove at ingest/NAME. */
static bool move_unused_layer(struct image_store *store, char name[INGEST_NAME_SIZE])
{
	struct layer *layer = next_unused_layer(store);
	bool moved;

	if (!layer)
		return false;
	ingest_new_name(store, name);
	moved = renameat(store->layersfd, digest_hex(layer->diff_id), store->ingestfd, name) == 0;
	if (!moved)
		log_warn("image", "remove layer %s: %s", layer->diff_id, strerror(errno));
	forget_layer(store, layer);
	return true;
}

void collect_now(struct image_store *store)
{
	char name[INGEST_NAME_SIZE];
	struct entry *entry;
	bool moved = true;

	(void)pthread_mutex_lock(&store->collect_lock);
	while (moved) {
		(void)pthread_mutex_lock(&store->disk_lock);
		while ((entry = next_garbage(store)))
			remove_garbage(entry);
		moved = move_unused_layer(store, name);
		(void)pthread_mutex_unlock(&store->disk_lock);
		if (moved)
			ingest_drop(store, name);
	}
	(void)pthread_mutex_unlock(&store->collect_lock);
}

/* A layer that is kept for a while may be due. Returns whether it is. */
static bool wait_until_due_locked(struct image_store *store)
{
	int64_t due_us = unlisted_due_us_locked(store);
	const struct timespec until = { .tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000 };

	if (due_us == INT64_MAX)
		return pthread_cond_wait(&store->changed, &store->lock) == ETIMEDOUT;
	return pthread_cond_timedwait(&store->changed, &store->lock, &until) == ETIMEDOUT;
}

/* Returns false when the store closes. */
static bool wait_for_work(struct image_store *store)
{
	bool closing;

	(void)pthread_mutex_lock(&store->lock);
	while (!store->wake && !store->closing) {
		if (wait_until_due_locked(store))
			break;
	}
	store->wake = false;
	closing = store->closing;
	(void)pthread_mutex_unlock(&store->lock);
	return !closing;
}

static void *run_collector(void *arg)
{
	struct image_store *store = arg;

	while (wait_for_work(store))
		collect_now(store);
	return NULL;
}

int collector_start(struct image_store *store, struct error *err)
{
	int result = pthread_create(&store->collector, NULL, run_collector, store);

	if (result)
		return error_sys(err, result, "start the collector");
	store->collecting = true;
	return 0;
}

void collector_stop(struct image_store *store)
{
	if (!store->collecting)
		return;
	(void)pthread_mutex_lock(&store->lock);
	store->closing = true;
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
	(void)pthread_join(store->collector, NULL);
	store->collecting = false;
}
