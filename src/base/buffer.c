#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Small enough to cost nothing, large enough for most lines and headers (arbitrary). */
#define FIRST_CAPACITY 256

void buffer_init(struct buffer *b, size_t max)
{
	*b = (struct buffer)BUFFER_INIT(max);
}

void buffer_release(struct buffer *b)
{
	free(b->data);
	buffer_init(b, b->max);
}

/* Doubles, so that many small appends cost little, but not past the limit. */
static size_t grown_capacity(const struct buffer *b, size_t needed)
{
	size_t cap = b->cap ? b->cap : FIRST_CAPACITY;

	while (cap < needed)
		cap *= 2;
	return cap <= b->max ? cap : b->max + 1;
}

int buffer_reserve(struct buffer *b, size_t extra, struct error *err)
{
	size_t cap;
	char *data;

	/* No object is larger than PTRDIFF_MAX, so neither the sum below nor the doubling overflows. */
	if (extra > PTRDIFF_MAX || extra > b->max || b->len > b->max - extra || b->len + extra >= PTRDIFF_MAX / 2)
		return error_set(err, ERR_EXHAUSTED, "%zu more bytes would pass the limit of %zu", extra, b->max);
	if (b->len + extra + 1 <= b->cap)
		return 0;
	cap = grown_capacity(b, b->len + extra + 1);
	data = realloc(b->data, cap);
	if (!data)
		return error_set(err, ERR_EXHAUSTED, "out of memory for %zu bytes", cap);
	b->data = data;
	b->cap = cap;
	return 0;
}

int buffer_append(struct buffer *b, const void *data, size_t len, struct error *err)
{
	if (buffer_reserve(b, len, err) < 0)
		return -1;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int buffer_append_str(struct buffer *b, const char *s, struct error *err)
{
	return buffer_append(b, s, strlen(s), err);
}

int buffer_printf(struct buffer *b, struct error *err, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return error_sys(err, errno, "format text");
	if (buffer_reserve(b, (size_t)len, err) < 0)
		return -1;
	va_start(args, fmt);
	(void)vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
	va_end(args);
	b->len += (size_t)len;
	return 0;
}

void buffer_consume(struct buffer *b, size_t len)
{
	b->len -= len;
	if (b->len > 0)
		memmove(b->data, b->data + len, b->len);
	if (b->data)
		b->data[b->len] = '\0';
}

void buffer_clear(struct buffer *b)
{
	buffer_consume(b, b->len);
}

char *buffer_steal(struct buffer *b)
{
	char *data = NULL;

	if (b->len > 0)
		data = steal_ptr(&b->data);
	buffer_release(b);
	return data;
}
