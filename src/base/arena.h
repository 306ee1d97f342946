/*
 * An arena: many small allocations that live and die together, such as the strings of one request.
 *
 * Memory from an arena is freed by arena_release() alone. Allocation returns NULL when memory is out; callers that build large
 * structures may instead check arena_failed() once at the end.
 */
#ifndef MONOPOD_BASE_ARENA_H
#define MONOPOD_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	bool failed;
};

#define ARENA_INIT                                                                                                                 \
	{                                                                                                                          \
		0                                                                                                                  \
	}

void arena_release(struct arena *a);
bool arena_failed(const struct arena *a);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t count, size_t size); /* NULL on overflow too */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len); /* at most len bytes, at most up to the NUL */
void *arena_memdup(struct arena *a, const void *data, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_new_array(a, type, count) ((type *)arena_array((a), (count), sizeof(type)))

#define _cleanup_arena_ __attribute__((cleanup(arena_release)))

#endif
