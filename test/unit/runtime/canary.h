/* A place outside of the container's root that an attack would reach, and links that lead there. */
#ifndef MONOPOD_TEST_CANARY_H
#define MONOPOD_TEST_CANARY_H

#include "box.h"

#include <pthread.h>
#include <stdatomic.h>

__attribute__((unused)) static void put_canary(void **state)
{
	put_dir(in_place(state, "canary"));
	put_file(in_place(state, "canary/file"), "untouched");
}

__attribute__((unused)) static void expect_canary(void **state)
{
	DIR *dir = opendir(in_place(state, "canary"));
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	assert_int_equal(n, 3); /* ".", ".." and the file */
	assert_string_equal(get_file(in_place(state, "canary/file")), "untouched");
}

/* root/NAME becomes a link to the canary, spelled in ways that a string comparison may miss. */
static const char *const spellings[] = { "%s/canary", "..%s/canary", "../../../../../../../..%s/canary", "/..%s/canary", NULL };

__attribute__((unused)) static void plant_link(void **state, const char *name, const char *spelling)
{
	char path[64], target[600];

	(void)snprintf(path, sizeof(path), "root/%s", name);
	(void)rmdir(in_place(state, path));
	(void)unlink(in_place(state, path));
	(void)snprintf(target, sizeof(target), "%.*s%s%s", (int)(strchr(spelling, '%') - spelling), spelling,
		       ((struct place *)*state)->path, strchr(spelling, '%') + 2);
	assert_return_code(symlink(target, in_place(state, path)), errno);
}

/* Somebody who exchanges a path for another one, all the time. */
struct swapper {
	char path[160], other[160];
	atomic_bool stop;
	unsigned n_swaps;
	pthread_t thread;
};

static void *swap(void *arg)
{
	struct swapper *swapper = arg;

	while (!atomic_load(&swapper->stop)) {
		(void)renameat2(AT_FDCWD, swapper->path, AT_FDCWD, swapper->other, RENAME_EXCHANGE);
		swapper->n_swaps++;
	}
	return NULL;
}

__attribute__((unused)) static void swapper_start(struct swapper *swapper, const char *path, const char *other)
{
	(void)snprintf(swapper->path, sizeof(swapper->path), "%s", path);
	(void)snprintf(swapper->other, sizeof(swapper->other), "%s", other);
	atomic_store(&swapper->stop, false);
	swapper->n_swaps = 0;
	assert_int_equal(pthread_create(&swapper->thread, NULL, swap, swapper), 0);
}

__attribute__((unused)) static void swapper_stop(struct swapper *swapper)
{
	atomic_store(&swapper->stop, true);
	assert_int_equal(pthread_join(swapper->thread, NULL), 0);
	assert_true(swapper->n_swaps > 0);
}

#endif
