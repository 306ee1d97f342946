/*
 * Scope-bound ownership. A local that owns something carries a cleanup attribute; `steal_ptr()` and `steal_fd()` take it out on
 * success. What outlives a return belongs to a struct with a free function of its own.
 *
 *     _cleanup_free_ char *path = NULL;
 *     _cleanup_fd_ int fd = -1;
 */
#ifndef MONOPOD_BASE_MEM_H
#define MONOPOD_BASE_MEM_H

#include <dirent.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Frees what *ptr owns; for use through the attribute only. */
static inline void cleanup_free(void *ptr)
{
	free(*(void **)ptr);
}

static inline void cleanup_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void cleanup_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))
#define _cleanup_fd_ __attribute__((cleanup(cleanup_fd)))
#define _cleanup_dir_ __attribute__((cleanup(cleanup_dir)))

/* Returns *ptr and leaves NULL, so that the scope's cleanup frees nothing. */
#define steal_ptr(ptr)                                                                                                             \
	({                                                                                                                         \
		__typeof__(*(ptr)) _p = *(ptr);                                                                                    \
		*(ptr) = NULL;                                                                                                     \
		_p;                                                                                                                \
	})

static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Closes *fd when it is open and leaves -1. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

#endif
