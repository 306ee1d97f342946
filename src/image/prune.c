/* Which images go is decided and done under the locks: nobody can take one into use in between. */
#include "image/prune.h"

#include <stdlib.h>

#include "base/strv.h"
#include "image/store.h"

static bool may_go(const struct image_prune *prune, const struct entry *entry)
{
	const struct image *image = entry->listed && entry->current ? &entry->current->image : NULL;

	if (!image || image->pinned || entry->versions > 1 || atomic_load(&image->refs) > 1)
		return false;
	if (!prune->all && *image->repo_tags)
		return false;
	return image->pulled_realtime_ns < prune->before_realtime_ns && !(prune->is_kept && prune->is_kept(prune->arg, image));
}

static const char *name_of(const struct image *image)
{
	if (*image->repo_tags)
		return *image->repo_tags;
	return *image->repo_digests ? *image->repo_digests : "";
}

/* Those that go, and their names. */
static int choose_locked(struct image_store *store, const struct image_prune *prune, struct entry **chosen, size_t *ret_n,
			 struct image_pruned *pruned, struct error *err)
{
	size_t n = 0;

	for (struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		if (!may_go(prune, entry))
			continue;
		if (strv_append(&pruned->ids, entry->id, err) < 0 ||
		    strv_append(&pruned->names, name_of(&entry->current->image), err) < 0)
			return -1;
		chosen[n++] = entry;
	}
	*ret_n = n;
	return 0;
}

/* A layer goes when each reference on it is one of theirs. */
static uint64_t weigh_locked(struct image_store *store, struct entry *const *chosen, size_t n)
{
	uint64_t bytes = 0;

	for (struct layer *layer = store->layers; layer; layer = layer->hh.next)
		layer->counted = 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < chosen[i]->n_layers; j++) {
			struct layer *layer = chosen[i]->layers[j];

			if (++layer->counted == layer->refs)
				bytes += layer_usage(store, layer).used_bytes;
		}
	}
	return bytes;
}

/* *ret_versions are what the store held of those that are gone; NULL-terminated. */
static int prune_locked(struct image_store *store, const struct image_prune *prune, struct image_pruned *pruned,
			struct version ***ret_versions, struct error *err)
{
	size_t max = (size_t)HASH_COUNT(store->entries) + 1, n = 0;
	struct entry **chosen = calloc(max, sizeof(struct entry *));
	struct version **versions = calloc(max, sizeof(struct version *));
	int result = chosen && versions ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for images");

	if (result == 0)
		result = choose_locked(store, prune, chosen, &n, pruned, err);
	if (result == 0)
		pruned->freed_bytes = weigh_locked(store, chosen, n);
	for (size_t i = 0; result == 0 && !prune->dry_run && i < n; i++)
		versions[i] = entry_unlist_locked(chosen[i]);
	free(chosen);
	*ret_versions = versions;
	return result;
}

int image_prune(struct image_store *store, const struct image_prune *prune, struct image_pruned *ret_pruned, struct error *err)
{
	struct image_pruned pruned = { .ids = strv_new(), .names = strv_new() };
	struct version **versions = NULL;
	int result = pruned.ids && pruned.names ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for images");

	(void)pthread_mutex_lock(&store->disk_lock);
	(void)pthread_mutex_lock(&store->lock);
	if (result == 0)
		result = prune_locked(store, prune, &pruned, &versions, err);
	(void)pthread_mutex_unlock(&store->lock);
	(void)pthread_mutex_unlock(&store->disk_lock);
	for (struct version **version = versions; version && *version; version++)
		image_unref(&(*version)->image);
	free(versions);
	if (!prune->dry_run)
		unlisted_forget(store);
	collect_now(store);
	if (result == 0)
		*ret_pruned = pruned;
	else
		image_pruned_release(&pruned);
	return result < 0 ? error_prefix(err, "prune images") : 0;
}

void image_pruned_release(struct image_pruned *pruned)
{
	strv_free(pruned->ids);
	strv_free(pruned->names);
	*pruned = (struct image_pruned){ 0 };
}
