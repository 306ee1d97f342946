/*
 * The CRI log format: from the bytes that a container writes to lines of
 *
 *     2006-01-02T15:04:05.000000000Z stdout F the line\n
 *
 * Tag F ends a line of the container; P says that the line goes on in the next entry of the same stream. Lines are cut after 16384
 * bytes of content, the limit that other runtimes use. What a stream held back without a newline when it ended is written as P.
 * Bytes in, bytes out: no I/O.
 */
#ifndef MONOPOD_TASK_LOG_LINES_H
#define MONOPOD_TASK_LOG_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define LOG_LINE_MAX ((size_t)16384)

/* What is written in front of a line's content, at most: time, space, stream, space, tag, space. */
#define LOG_PREFIX_MAX 48

struct log_lines {
	const char *stream; /* "stdout" or "stderr" */
	char *held;         /* the beginning of a line, LOG_LINE_MAX bytes; allocated when first needed */
	size_t held_len;
};

void log_lines_init(struct log_lines *lines, const char *stream);
void log_lines_release(struct log_lines *lines);

/* Appends the entries that `data` completes to *out; all get the same time. An output of at most len + LOG_LINE_MAX content bytes in
 * len + 2 entries is possible. On failure (memory, limit of *out) the bytes of the entry in question are lost. */
int log_lines_feed(struct log_lines *lines, const char *data, size_t len, int64_t realtime_ns, struct buffer *out,
		   struct error *err);

/* The stream has ended: what is held back becomes a P entry. */
int log_lines_end(struct log_lines *lines, int64_t realtime_ns, struct buffer *out, struct error *err);

#endif
