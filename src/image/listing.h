/*
 * What a layer has to hold: layers/HEX/listing, written by the unpacking process beside the tree that it makes, read by a check
 * (check.h). The digest of a layer is that of its tar, which is gone once it is unpacked; this is what is left to compare with.
 *
 *     LISTING_MAGIC
 *     struct listing_record, path, target     one for each entry, in the order of the tar; neither text has a NUL
 *     struct listing_record                   LISTING_END: how many there were, and the hash of all bytes before it
 *
 * Contents are hashed while they are written, with XXH3 of 128 bits: a twentieth of what SHA-256 costs without instructions for it.
 * It tells damage, not malice: who can write below layers/ is root, and could write listings too. Times and extended attributes are
 * not listed. A file with holes has no hash, since reading its holes might take days: its size must do.
 *
 * The writer may have been taken over by the tar that it reads, so the reader believes nothing: lengths are bounded, paths clean.
 */
#ifndef MONOPOD_IMAGE_LISTING_H
#define MONOPOD_IMAGE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct archive_entry;
struct XXH3_state_s;

#define LISTING_MAGIC "monopod layer 1\n"

/* Two million entries (unpack.c) with names of 80 bytes; a layer with more is not unpacked. */
#define LISTING_MAX_BYTES ((size_t)256 << 20)

enum listing_kind {
	LISTING_FILE = 'f',
	LISTING_SPARSE = 's', /* a file without a hash */
	LISTING_DIRECTORY = 'd',
	LISTING_IMPLIED = 'i', /* a directory that the tar has only as a place for markers: nothing is known of it */
	LISTING_SYMLINK = 'l',
	LISTING_HARDLINK = 'h', /* has what the target had when it was made */
	LISTING_NODE = 'n',     /* device, white-out or fifo: `mode` has its type */
	LISTING_END = 'e',
};

struct listing_record {
	uint16_t path_len, target_len;
	uint32_t kind;
	uint32_t mode; /* permissions; of a node with the type */
	uint32_t uid, gid;
	uint32_t reserved;
	uint64_t size; /* of a file; device number of a node; number of records at the end */
	uint64_t hash[2];
};

/* ---- writing ---- */

struct listing_writer {
	int fd; /* -1: nothing is listed, and nothing below does anything */
	struct XXH3_state_s *content, *all;
	bool has_holes;
	uint64_t next_offset; /* in the file that is being written */
	uint64_t bytes, records;
	size_t len;
	char data[65536];
};

int listing_begin(struct listing_writer *w, int fd, struct error *err);
void listing_release(struct listing_writer *w);

/* A file begins; its data, in the order of the archive. */
void listing_begin_file(struct listing_writer *w);
void listing_add_data(struct listing_writer *w, const void *data, size_t len, uint64_t offset);

/* The entry at the clean path `path` was made. */
int listing_add(struct listing_writer *w, const char *path, struct archive_entry *entry, struct error *err);

/* A white-out was, or a directory to put a marker in. */
int listing_add_whiteout(struct listing_writer *w, const char *path, struct error *err);
int listing_add_implied(struct listing_writer *w, const char *path, struct error *err);

/* Must be the last; without it the listing is none. */
int listing_end(struct listing_writer *w, struct error *err);

/* ---- reading ---- */

/* One entry of the layer, in the order of its path: what lies in a directory follows it. */
struct listing_entry {
	const char *path;
	size_t path_len;
	const char *target; /* of a symbolic link */
	size_t target_len;
	struct listing_record record;
	uint32_t order; /* private: its place in the tar */
	bool seen;      /* the check's */
};

struct listing {
	struct buffer text;
	struct listing_entry *entries; /* those that the whole tar leaves, hard links as what they link to */
	size_t n_entries;
};

/* ERR_DATA_LOSS for what is not a whole listing. */
int listing_read(int fd, struct listing *ret_listing, struct error *err);
void listing_free(struct listing *listing);
#define _cleanup_listing_ __attribute__((cleanup(listing_free)))

/* NULL when there is none of that path. */
struct listing_entry *listing_find(const struct listing *listing, const char *path);

/* Something is listed below `path`, which then is a directory, be it listed or not. */
bool listing_has_below(const struct listing *listing, const char *path);

/* ---- hashing as the writer does ---- */

struct listing_hash {
	struct XXH3_state_s *state;
};

int listing_hash_begin(struct listing_hash *hash, struct error *err); /* may be begun again */
void listing_hash_add(struct listing_hash *hash, const void *data, size_t len);
void listing_hash_end(const struct listing_hash *hash, uint64_t ret_hash[2]);
void listing_hash_release(struct listing_hash *hash);

#endif
