/* Reading log files: tails of every length, growth, rotation, files that are not there yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "cli/cri_log.h"
#include "cli/log_reader.h"

struct fixture {
	char dir[32];
	char path[64];
	char *text;
	size_t size;
	struct log_printer printer;
	struct log_reader reader;
	struct error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/cli-logs.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s/0.log", f->dir);
	f->printer.streams[0] = f->printer.streams[1] = open_memstream(&f->text, &f->size);
	f->reader.fd = f->reader.notify = -1;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	log_reader_release(&f->reader);
	(void)fclose(f->printer.streams[0]);
	(void)io_remove_tree(AT_FDCWD, f->dir, &err);
	free(f->text);
	free(f);
	return 0;
}

static void append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static const char *shown(struct fixture *f)
{
	(void)fflush(f->printer.streams[0]);
	return f->text ? f->text : "";
}

#define T "2020-01-01T00:00:00.000000000Z "

static void test_whole_file(void **state)
{
	struct fixture *f = *state;

	append(f->path, T "stdout F one\n" T "stderr F two\n");
	assert_int_equal(log_reader_open(&f->reader, f->path, false, &f->printer, &f->err), 0);
	assert_int_equal(log_reader_drain(&f->reader, &f->err), 0);
	assert_string_equal(shown(f), "one\ntwo\n");
}

static void test_missing_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(log_reader_open(&f->reader, f->path, false, &f->printer, &f->err), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

/* Reads the last n lines with a new reader and gives back what was printed. */
static char *tail(const char *path, int64_t n)
{
	char *text = NULL;
	size_t size = 0;
	struct log_printer printer = { 0 };
	struct log_reader reader;
	struct error err = ERROR_INIT;
	int64_t missing;

	printer.streams[0] = printer.streams[1] = open_memstream(&text, &size);
	assert_int_equal(log_reader_open(&reader, path, false, &printer, &err), 0);
	assert_int_equal(log_reader_tail(&reader, n, &missing, &err), 0);
	assert_int_equal(log_reader_drain(&reader, &err), 0);
	log_reader_release(&reader);
	(void)fclose(printer.streams[0]);
	return text;
}

static void test_tails(void **state)
{
	static const char *const expected[] = { "", "three\n", "parts of two\nthree\n", "one\nparts of two\nthree\n",
						"one\nparts of two\nthree\n" };
	struct fixture *f = *state;

	append(f->path, T "stdout F one\n" T "stdout P parts \n" T "stdout P of \n" T "stdout F two\n" T "stdout F three\n");
	for (size_t n = 0; n < ARRAY_SIZE(expected); n++) {
		char *text = tail(f->path, (int64_t)n);

		assert_string_equal(text, expected[n]);
		free(text);
	}
}

/* Lines longer than the steps in which the file is read backwards. */
static void test_tail_of_long_lines(void **state)
{
	struct fixture *f = *state;
	char line[10000];
	char *text;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 5; i++) {
		append(f->path, T "stdout F ");
		append(f->path, line);
		append(f->path, "\n");
	}
	text = tail(f->path, 2);
	assert_int_equal(strlen(text), 2 * sizeof(line));
	free(text);
}

static void test_line_without_end_is_kept_until_it_has_one(void **state)
{
	struct fixture *f = *state;

	append(f->path, T "stdout F one\n" T "stdout F tw");
	assert_int_equal(log_reader_open(&f->reader, f->path, false, &f->printer, &f->err), 0);
	assert_int_equal(log_reader_drain(&f->reader, &f->err), 0);
	assert_string_equal(shown(f), "one\n");
	append(f->path, "o\n");
	assert_int_equal(log_reader_drain(&f->reader, &f->err), 0);
	assert_string_equal(shown(f), "one\ntwo\n");
}

/* A writer that grows, rotates and grows the file while it is followed. */
struct writer {
	struct fixture *f;
	unsigned asked;
};

static bool write_on(void *arg)
{
	struct writer *w = arg;
	char rotated[80];

	(void)snprintf(rotated, sizeof(rotated), "%s.1", w->f->path);
	switch (w->asked++) {
	case 0:
		append(w->f->path, T "stdout F first\n");
		return false;
	case 1:
		append(w->f->path, T "stdout F last of the old\n");
		assert_int_equal(rename(w->f->path, rotated), 0);
		append(w->f->path, T "stdout F first of the new\n");
		return false;
	case 2:
		append(w->f->path, T "stdout F before the end\n");
		return false;
	default:
		append(w->f->path, T "stdout F the end\n");
		return true;
	}
}

static void test_follow(void **state)
{
	struct fixture *f = *state;
	struct writer writer = { .f = f };

	assert_int_equal(log_reader_open(&f->reader, f->path, true, &f->printer, &f->err), 0);
	assert_int_equal(log_reader_follow(&f->reader, write_on, &writer, 10, &f->err), 0);
	assert_string_equal(shown(f), "first\nlast of the old\nfirst of the new\nbefore the end\nthe end\n");
}

int main(void)
{
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_DIR(test_whole_file),
		WITH_DIR(test_missing_file),
		WITH_DIR(test_tails),
		WITH_DIR(test_tail_of_long_lines),
		WITH_DIR(test_line_without_end_is_kept_until_it_has_one),
		WITH_DIR(test_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
