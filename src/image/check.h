/*
 * A check of everything that the store holds, while it serves: manifests and configurations against their digests, unpacked layers
 * against what was listed when they were unpacked (listing.h), and that nothing lies there which belongs to nobody.
 */
#ifndef MONOPOD_IMAGE_CHECK_H
#define MONOPOD_IMAGE_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct image_store;

/* Findings in one object that are told one by one. */
#define IMAGE_DAMAGE_MAX_DETAILS 10

/* One damaged object. Lists are NULL-terminated; all of it is good until the callback returns. */
struct image_damage {
	const char *object;   /* "layer sha256:HEX", "configuration sha256:HEX", "record images/HEX.json" */
	char *const *details; /* "etc/passwd: 12 bytes instead of 34"; bytes of strangers in it */
	size_t n_more;        /* details that are not in the list */
	char *const *images;  /* names, or ids, of those that need it */
	const char *advice;   /* what to do about it */
	bool repaired;        /* it is gone: the next pull brings it back */
};

struct image_check {
	/* Removes the images that need a damaged object, unless somebody holds them, so that a pull or import brings back whole ones. */
	bool repair;
	const atomic_bool *cancelled;                                             /* may be NULL */
	int (*found)(void *arg, const struct image_damage *d, struct error *err); /* a failure ends the check */
	void *arg;
};

struct image_check_summary {
	size_t images, blobs, layers;
	uint64_t entries, bytes;  /* of layers */
	size_t damaged, repaired; /* objects */
};

/* Blocks, and reads the whole store. One at a time: ERR_STATE while another goes on. 0 whatever was found. */
int image_store_check(struct image_store *store, const struct image_check *check, struct image_check_summary *ret_summary,
		      struct error *err);

#endif
