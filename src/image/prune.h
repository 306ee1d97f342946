/* Removing images that nobody uses, all at once. */
#ifndef MONOPOD_IMAGE_PRUNE_H
#define MONOPOD_IMAGE_PRUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct image;
struct image_store;

struct image_prune {
	bool all;                   /* also those with a tag, not only what a moved tag left behind */
	int64_t before_realtime_ns; /* only those that came before; INT64_MAX: whenever */
	bool dry_run;               /* say what would go */
	/* Images that stay in any case, besides those that are pinned; called under the store's lock. May be NULL. */
	bool (*is_kept)(void *arg, const struct image *image);
	void *arg;
};

struct image_pruned {
	char **ids;           /* NULL-terminated, as the next */
	char **names;         /* of each the first tag, else the first digest, else "" */
	uint64_t freed_bytes; /* on the disk: layers that nothing else needs */
};

/* Blocks. Layers that were kept for the next try of a pull go too. An image is used when anybody holds a reference (image_ref); who comes later does not get one that goes. */
int image_prune(struct image_store *store, const struct image_prune *prune, struct image_pruned *ret_pruned, struct error *err);
void image_pruned_release(struct image_pruned *pruned);

#endif
