/*
 * Content digests: "sha256:" and 64 lower-case hexadecimal digits (OCI image-spec, descriptor.md, "Digests").
 *
 * Only sha256 is computed. The grammar is checked before a digest is used for anything, because it becomes part of file names and
 * URLs.
 */
#ifndef MONOPOD_IMAGE_DIGEST_H
#define MONOPOD_IMAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_HEX_LEN 64
#define DIGEST_TEXT_SIZE (sizeof(DIGEST_PREFIX) + DIGEST_HEX_LEN)

struct evp_md_ctx_st;

/* An incremental SHA-256. */
struct digest {
	struct evp_md_ctx_st *ctx;
};

#define DIGEST_INIT                                                                                                                \
	{                                                                                                                          \
		NULL                                                                                                               \
	}

int digest_begin(struct digest *d, struct error *err);
int digest_update(struct digest *d, const void *data, size_t len, struct error *err);
int digest_end(struct digest *d, char ret_text[DIGEST_TEXT_SIZE], struct error *err);
void digest_release(struct digest *d);

#define _cleanup_digest_ __attribute__((cleanup(digest_release)))

/* The digest of one run of bytes. */
int digest_of(const void *data, size_t len, char ret_text[DIGEST_TEXT_SIZE], struct error *err);

/* The grammar. ERR_UNIMPLEMENTED for the registered algorithms that we do not compute, ERR_INVALID for anything else. */
int digest_check(const char *text, struct error *err);

/* The hexadecimal part of a digest that passed digest_check(). */
const char *digest_hex(const char *text);

/* True for `len` characters that are all lower-case hexadecimal digits. */
bool digest_is_hex(const char *text, size_t len);

#endif
