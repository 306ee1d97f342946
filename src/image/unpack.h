/*
 * A layer on its way from a stream of compressed bytes to a directory.
 *
 *     caller ─write→ SHA-256 → [inflater] → SHA-256 → [unpacker] → directory
 *
 * The two in brackets are processes that can do nothing else (confine.h); the digests are computed here, between them, so that
 * neither can lie about what it was given. Both processes are monopod-unpack (unpack_main.c) or, where that is missing, this program again
 * under that name, started with posix_spawn(3): nothing runs in a fork of a process with threads.
 */
#ifndef MONOPOD_IMAGE_UNPACK_H
#define MONOPOD_IMAGE_UNPACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/digest.h"

/* argv[0] of the children. main() has to call image_unpack_main() when it is started by that name, before
 * anything else. */
#define IMAGE_UNPACK_NAME "monopod-unpack"

/* The whole life of a child; returns its exit status. Descriptors: 0 the input, 1 the output of the inflater or the listing of the
 * unpacker, 3 the directory of the unpacker, 4 the socket to the daemon. */
int image_unpack_main(void);

struct unpack;

struct unpack_options {
	int dirfd;                    /* an empty directory; stays the caller's and open until the end */
	bool is_layer;                /* false: an archive of plain files (import.c) */
	uint64_t max_bytes;           /* of the decompressed stream, and of all files together */
	bool lists;                   /* what is made is told to listing_fd, a file that is empty (listing.h) */
	int listing_fd;               /* stays the caller's and open until the end */
	const char *digest;           /* of what is going to be written; NULL: not known */
	const atomic_bool *cancelled; /* may be NULL */
};

struct unpack_result {
	char digest[DIGEST_TEXT_SIZE];  /* of what was written into it */
	char diff_id[DIGEST_TEXT_SIZE]; /* of the decompressed tar */
	uint64_t bytes, inodes;         /* on disk */
	bool opaque_root;               /* the layer hides all lower ones */
};

int unpack_begin(const struct unpack_options *options, struct unpack **ret_unpack, struct error *err);

/* Blocks while the children are busy. ERR_CANCELLED when *cancelled became true meanwhile. What the children cannot read is no error
 * yet when the digest is known: it is hashed to the end, to tell a broken transfer from a broken image. */
int unpack_write(struct unpack *unpack, const void *data, size_t len, struct error *err);

/* No more bytes: waits for the children and gives the result. ERR_DATA_LOSS when the digest is another. The caller compares the rest with
 * what it was promised. */
int unpack_finish(struct unpack *unpack, struct unpack_result *ret_result, struct error *err);

/* Ends children that still run. To be called in any case, also after unpack_finish(). NULL is fine. */
void unpack_free(struct unpack *unpack);

#endif
