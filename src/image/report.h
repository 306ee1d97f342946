/*
 * What the daemon and an unpacking child say to each other over one socket pair: an order first, reports after it.
 *
 * The child has parsed hostile bytes, so the daemon believes nothing of this: lengths are bounded, paths are opened below the layer
 * without following links, texts are reduced to printable ASCII.
 */
#ifndef MONOPOD_IMAGE_REPORT_H
#define MONOPOD_IMAGE_REPORT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum unpack_job { JOB_INFLATE = 1, JOB_UNTAR };

struct unpack_order {
	uint32_t job;
	uint32_t is_layer; /* white-outs and opaque markers mean something */
	uint32_t lists;    /* the output is for a listing (listing.h) */
	uint32_t reserved;
	uint64_t max_bytes; /* sum of file sizes */
	uint64_t max_inodes;
};

enum report_type {
	REPORT_OPAQUE = 1, /* the path of a directory that hides what lies below it */
	REPORT_ERROR,      /* uint32_t error_code, then the text */
	REPORT_DONE,       /* struct report_done */
};

struct report_done {
	uint64_t bytes;
	uint64_t inodes;
};

struct report_header {
	uint32_t type;
	uint32_t len;
};

#define REPORT_MAX_LEN PATH_MAX

/* The child's side. */
int report_read_order(int fd, struct unpack_order *ret_order, struct error *err);
int report_send(int fd, enum report_type type, const void *data, size_t len, struct error *err);
void report_send_error(int fd, const struct error *error);

/* The daemon's side: reads the report at *offset of *b and moves *offset behind it. Returns 1 with header and *ret_data (inside the
 * buffer), 0 at the end of the buffer, negative for what is not a whole report. */
int report_next(const struct buffer *b, size_t *offset, struct report_header *ret_header, const char **ret_data, struct error *err);

/* Makes the error that a REPORT_ERROR carries. */
int report_to_error(const char *data, size_t len, struct error *err);

#endif
