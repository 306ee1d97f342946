#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A typical request fits in one chunk, and a chunk with its header and malloc's in one page. */
#define CHUNK_SIZE ((size_t)4096 - sizeof(struct arena_chunk) - 16)
#define ALIGNMENT _Alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *next;
	size_t used;
	size_t size;
	_Alignas(max_align_t) char data[];
};

void arena_release(struct arena *a)
{
	struct arena_chunk *chunk = a->chunks;

	while (chunk) {
		struct arena_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
	*a = (struct arena)ARENA_INIT;
}

bool arena_failed(const struct arena *a)
{
	return a->failed;
}

/* A chunk for one large thing goes behind the first, which still has room for small ones. */
static struct arena_chunk *add_chunk(struct arena *a, size_t needed)
{
	size_t size = needed > CHUNK_SIZE ? needed : CHUNK_SIZE;
	struct arena_chunk *chunk = malloc(sizeof(*chunk) + size);
	struct arena_chunk **place = a->chunks && needed > CHUNK_SIZE ? &a->chunks->next : &a->chunks;

	if (!chunk)
		return NULL;
	*chunk = (struct arena_chunk){ .next = *place, .size = size };
	*place = chunk;
	return chunk;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *chunk = a->chunks;
	size_t rounded;
	void *ptr;

	if (size > SIZE_MAX / 2)
		goto failed;
	rounded = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (!chunk || chunk->size - chunk->used < rounded)
		chunk = add_chunk(a, rounded);
	if (!chunk)
		goto failed;
	ptr = chunk->data + chunk->used;
	chunk->used += rounded;
	memset(ptr, 0, rounded);
	return ptr;
failed:
	a->failed = true;
	return NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total)) {
		a->failed = true;
		return NULL;
	}
	return arena_alloc(a, total);
}

void *arena_memdup(struct arena *a, const void *data, size_t len)
{
	void *copy = arena_alloc(a, len);

	if (copy && len > 0)
		memcpy(copy, data, len);
	return copy;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	size_t used = strnlen(s, len);
	char *copy = arena_alloc(a, used + 1);

	if (copy)
		memcpy(copy, s, used);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = arena_alloc(a, len < 0 ? SIZE_MAX : (size_t)len + 1); /* an impossible size fails as it should */
	if (!text)
		return NULL;
	va_start(args, fmt);
	(void)vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}
