/*
 * A growable run of bytes with a limit. The limit is part of the buffer because everything that a peer can make grow has one.
 *
 * Appending over the limit or out of memory fails with ERR_EXHAUSTED and leaves the buffer as it was. The bytes are always followed
 * by one NUL that is not counted, so `data` can be read as a C string when the content has none of its own. An empty buffer may
 * have data == NULL.
 */
#ifndef MONOPOD_BASE_BUFFER_H
#define MONOPOD_BASE_BUFFER_H

#include <stddef.h>

#include "base/error.h"

struct buffer {
	char *data;
	size_t len;
	size_t cap; /* bytes allocated */
	size_t max; /* limit on len */
};

#define BUFFER_INIT(limit)                                                                                                         \
	{                                                                                                                          \
		.max = (limit)                                                                                                     \
	}

void buffer_init(struct buffer *b, size_t max);
void buffer_release(struct buffer *b);

/* Makes room for `extra` more bytes without changing len. */
int buffer_reserve(struct buffer *b, size_t extra, struct error *err);
int buffer_append(struct buffer *b, const void *data, size_t len, struct error *err);
int buffer_append_str(struct buffer *b, const char *s, struct error *err);
int buffer_printf(struct buffer *b, struct error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Drops the first `len` bytes (len <= b->len). */
void buffer_consume(struct buffer *b, size_t len);

/* Empties the buffer and keeps its memory. */
void buffer_clear(struct buffer *b);

/* Hands the bytes to the caller, who frees them; the buffer is empty afterwards. NULL when it was empty. */
char *buffer_steal(struct buffer *b);

#define _cleanup_buffer_ __attribute__((cleanup(buffer_release)))

#endif
