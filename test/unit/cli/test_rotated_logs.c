/* Logs that were rotated: which files they are, their order, tails that reach into them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/io.h"
#include "base/mem.h"
#include "cli/cri_log.h"
#include "cli/log_reader.h"
#include "cli/rotated_logs.h"

#define T "2020-01-01T00:00:00.000000000Z "

struct fixture {
	char dir[32];
	char path[64];
};

static char *path_of(const struct fixture *f, const char *suffix)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s%s", f->path, suffix);
	return path;
}

static void put(const struct fixture *f, const char *suffix, const char *text)
{
	int fd = open(path_of(f, suffix), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void put_compressed(const struct fixture *f, const char *suffix, const char *text)
{
	gzFile file = gzopen(path_of(f, suffix), "w");

	assert_non_null(file);
	assert_int_equal(gzwrite(file, text, (unsigned)strlen(text)), (int)strlen(text));
	assert_int_equal(gzclose_w(file), Z_OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/cli-rotated.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s/0.log", f->dir);
	put_compressed(f, ".20261120-010203.gz", T "stdout F one\n" T "stdout F two\n");
	put(f, ".20261121-010203", T "stdout F three\n" T "stdout P fo\n");
	put(f, ".20261122-010203", T "stdout P u\n");
	put(f, "", T "stdout F r\n" T "stdout F five\n");
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	(void)io_remove_tree(AT_FDCWD, f->dir, &err);
	free(f);
	return 0;
}

/* The last `lines` lines, as `monopod logs` prints them; NULL and the error when it cannot. */
static char *show(const struct fixture *f, int64_t lines, int64_t since_ns, struct error *err)
{
	struct log_printer printer = { .since_ns = since_ns };
	struct arena arena = ARENA_INIT;
	struct log_reader reader;
	struct rotated_logs rotated;
	int64_t missing;
	char *text = NULL;
	size_t size = 0;
	int result;

	printer.streams[0] = printer.streams[1] = open_memstream(&text, &size);
	assert_int_equal(log_reader_open(&reader, f->path, false, &printer, err), 0);
	assert_int_equal(log_reader_tail(&reader, lines, &missing, err), 0);
	assert_int_equal(rotated_logs_find(f->path, reader.fd, since_ns, &arena, &rotated, err), 0);
	result = missing >= 0 ? rotated_logs_print(&rotated, missing, &printer, err) : 0;
	if (result == 0)
		assert_int_equal(log_reader_drain(&reader, err), 0);
	log_reader_release(&reader);
	arena_release(&arena);
	(void)fclose(printer.streams[0]);
	if (result == 0)
		return text;
	free(text);
	return NULL;
}

static void assert_shown(const struct fixture *f, int64_t lines, int64_t since_ns, const char *expected)
{
	struct error err = ERROR_INIT;
	char *text = show(f, lines, since_ns, &err);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void test_everything_in_order(void **state)
{
	assert_shown(*state, INT64_MAX, 0, "one\ntwo\nthree\nfour\nfive\n");
}

/* A line that began in one file and ended in another is one line. */
static void test_tails_reach_into_them(void **state)
{
	static const char *const expected[] = { "",
						"five\n",
						"four\nfive\n",
						"three\nfour\nfive\n",
						"two\nthree\nfour\nfive\n",
						"one\ntwo\nthree\nfour\nfive\n",
						"one\ntwo\nthree\nfour\nfive\n" };
	struct fixture *f = *state;

	for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
		assert_shown(f, (int64_t)n, 0, expected[n]);
}

static void test_other_files_are_left_alone(void **state)
{
	struct fixture *f = *state;

	put(f, ".20261121-010203", "");
	put(f, ".20261122-010203", "");
	put(f, ".20261119-010203.tmp", T "stdout F no\n");
	put(f, ".1", T "stdout F no\n");
	put(f, ".2026112-010203", T "stdout F no\n");
	put(f, ".20261123-0102033", T "stdout F no\n");
	put(f, "x.20261123-010203", T "stdout F no\n");
	assert_int_equal(mkdir(path_of(f, ".20261123-010203"), 0700), 0);
	assert_int_equal(mkfifo(path_of(f, ".20261123-010204"), 0600), 0);
	assert_int_equal(symlink("/etc/passwd", path_of(f, ".20261123-010205")), 0);
	put(f, ".20261120-010203", T "stdout F plain\n"); /* and its compressed copy: being compressed right now */
	assert_shown(f, INT64_MAX, 0, "plain\nr\nfive\n");
}

/* Rotated between the two looks: the open file is found again under its new name, and is not printed twice. */
static void test_the_open_file_is_not_shown_twice(void **state)
{
	struct fixture *f = *state;
	struct arena arena = ARENA_INIT;
	struct rotated_logs rotated;
	struct error err = ERROR_INIT;
	char rotated_path[128];
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	(void)snprintf(rotated_path, sizeof(rotated_path), "%s", path_of(f, ".20261123-010203"));
	assert_int_equal(rename(f->path, rotated_path), 0);
	assert_int_equal(rotated_logs_find(f->path, fd, 0, &arena, &rotated, &err), 0);
	assert_int_equal(rotated.n, 3);
	assert_int_equal(rotated_logs_find(f->path, -1, 0, &arena, &rotated, &err), 0);
	assert_int_equal(rotated.n, 4);
	assert_string_equal(rotated.paths[3], rotated_path);
	arena_release(&arena);
	(void)close(fd);
}

static void test_files_older_than_since_are_not_opened(void **state)
{
	struct fixture *f = *state;
	const struct timespec long_ago[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	put(f, ".20261120-010203.gz", "not even compressed, and not looked at");
	assert_int_equal(utimensat(AT_FDCWD, path_of(f, ".20261120-010203.gz"), long_ago, 0), 0);
	put(f, ".20261121-010203", "");
	put(f, ".20261122-010203", "");
	assert_shown(f, INT64_MAX, INT64_C(2000) * 1000000000, "r\nfive\n");
}

/* Compressed or removed between finding and reading. */
static void test_files_that_change_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct arena arena = ARENA_INIT;
	struct log_printer printer = { 0 };
	struct rotated_logs rotated;
	struct error err = ERROR_INIT;
	char *text = NULL;
	size_t size = 0;

	assert_int_equal(rotated_logs_find(f->path, -1, 0, &arena, &rotated, &err), 0);
	assert_int_equal(unlink(path_of(f, ".20261120-010203.gz")), 0);
	assert_int_equal(unlink(path_of(f, ".20261121-010203")), 0);
	put_compressed(f, ".20261121-010203.gz", T "stdout F compressed\n");
	assert_int_equal(unlink(path_of(f, ".20261122-010203")), 0);
	printer.streams[0] = printer.streams[1] = open_memstream(&text, &size);
	assert_int_equal(rotated_logs_print(&rotated, INT64_MAX, &printer, &err), 0);
	(void)fclose(printer.streams[0]);
	assert_string_equal(text, "compressed\n");
	free(text);
	arena_release(&arena);
}

static void test_a_damaged_file_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	assert_int_equal(truncate(path_of(f, ".20261120-010203.gz"), 25), 0);
	assert_null(show(f, INT64_MAX, 0, &err));
	assert_int_equal(err.code, ERR_DATA_LOSS);
	assert_non_null(strstr(err.text, ".20261120-010203.gz: "));
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILES(test_everything_in_order),
		WITH_FILES(test_tails_reach_into_them),
		WITH_FILES(test_other_files_are_left_alone),
		WITH_FILES(test_the_open_file_is_not_shown_twice),
		WITH_FILES(test_files_older_than_since_are_not_opened),
		WITH_FILES(test_files_that_change_meanwhile),
		WITH_FILES(test_a_damaged_file_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
