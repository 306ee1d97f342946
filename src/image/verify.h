/*
 * An unpacked layer against its listing: every entry that should be there, and nothing else. Reads all contents.
 *
 * Not compared are times and extended attributes, and the contents of files with holes.
 */
#ifndef MONOPOD_IMAGE_VERIFY_H
#define MONOPOD_IMAGE_VERIFY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "image/listing.h"

struct verify_options {
	/* "etc/passwd" and "12 bytes instead of 34"; the path is what the tar called it, bytes; or "the root". */
	void (*found)(void *arg, const char *path, const char *what);
	void *arg;
	const atomic_bool *cancelled; /* may be NULL */
};

struct verify_usage {
	uint64_t entries, bytes; /* that were looked at and read */
};

/* 0 when all was looked at, whatever was found. ERR_CANCELLED; ERR_EXHAUSTED without memory or descriptors. `listing` is marked. */
int layer_verify(int rootfd, struct listing *listing, const struct verify_options *options, struct verify_usage *ret_usage,
		 struct error *err);

#endif
