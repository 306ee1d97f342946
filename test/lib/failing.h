/*
 * Makes the n-th allocation (or thread creation) of our own code fail; what libraries allocate inside is untouched. For test_*oom.c,
 * whose calls the linker leads here (test/CMakeLists.txt). Include in one file only.
 *
 *     for (long n = 0; fails_at(n); n++) {
 *             rc = thing_open(&thing, &err);
 *             failed = failure_happened();    (false: it needs no more than n, and must have succeeded)
 *             ...
 *     }
 */
#ifndef MONOPOD_TEST_FAILING_H
#define MONOPOD_TEST_FAILING_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_long allocations_left = -1;
static bool last_one_failed = true;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
char *__real_strdup(const char *s);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
char *__wrap_strdup(const char *s);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

/* Only one fails; those after it succeed. */
static bool fails_now(void)
{
	if (atomic_load(&allocations_left) < 0 || atomic_fetch_sub(&allocations_left, 1) != 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *ptr, size_t size)
{
	return fails_now() ? NULL : __real_realloc(ptr, size);
}

char *__wrap_strdup(const char *s)
{
	return fails_now() ? NULL : __real_strdup(s);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	return fails_now() ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}

/* Arms the n-th from now; false when the last one that was armed never came: every place has been tried. */
static bool fails_at(long n)
{
	bool go_on = n == 0 || last_one_failed;

	atomic_store(&allocations_left, go_on ? n : -1);
	return go_on;
}

/* Disarms; true when it has come. */
static bool failure_happened(void)
{
	last_one_failed = atomic_exchange(&allocations_left, -1) < 0;
	return last_one_failed;
}

#endif
