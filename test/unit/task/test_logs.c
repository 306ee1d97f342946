/* The log pump, between a real pipe and a real file. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "task/logs.h"
#include "turns.h"

struct fixture {
	char dir[64], path[96];
	struct loop loop;
	struct lane *lane;
	struct log_pump *pump;
	int writer; /* what the container holds */
	bool finished;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = ERROR_INIT;

	f->writer = -1;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/task-logs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/pod/main/0.log", f->dir);
	assert_int_equal(loop_init(&f->loop, NULL, NULL, &err), 0);
	assert_int_equal(lane_open(f->loop.lanes, "test", &f->lane, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	close_fd(&f->writer);
	lane_close(f->lane);
	loop_release(&f->loop);
	assert_int_equal(io_remove_tree(AT_FDCWD, f->dir, &err), 0);
	free(f);
	return 0;
}

static int open_log(const struct fixture *f)
{
	struct error err = ERROR_INIT;
	int fd = log_file_open(f->path, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

static void start_pump(struct fixture *f, int file_fd)
{
	struct error err = ERROR_INIT;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	f->writer = fds[1];
	assert_int_equal(log_pump_new(&f->loop, f->lane, "test", file_fd, &f->pump, &err), 0);
	assert_int_equal(log_pump_add(f->pump, "stdout", fds[0], &err), 0);
}

static void on_finished(void *arg)
{
	struct fixture *f = arg;

	f->finished = true;
}

static void finish(struct fixture *f, unsigned grace_ms)
{
	log_pump_finish(f->pump, grace_ms, on_finished, f);
	assert_true(turn_until(&f->loop, &f->finished, MANY_TURNS));
}

static char *read_log(const char *path)
{
	struct buffer b = BUFFER_INIT((size_t)16 << 20);
	struct error err = ERROR_INIT;

	if (io_read_file(AT_FDCWD, path, &b, &err) < 0)
		fail_msg("%s", err.text);
	return b.data ? buffer_steal(&b) : strdup("");
}

static size_t count_lines(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *p = strstr(text, part); p; p = strstr(p + 1, part))
		n++;
	return n;
}

static void say(const struct fixture *f, const char *text)
{
	assert_int_equal(write(f->writer, text, strlen(text)), strlen(text));
}

static void test_lines_arrive(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_
	char *text = NULL;
	struct stat st;

	start_pump(f, open_log(f));
	say(f, "one\ntwo\nrest");
	close_fd(&f->writer);
	finish(f, 1000);
	text = read_log(f->path);
	assert_int_equal(count_lines(text, " stdout F one\n"), 1);
	assert_int_equal(count_lines(text, " stdout F two\n"), 1);
	assert_int_equal(count_lines(text, " stdout P rest\n"), 1);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

/* Somebody else holds the pipe open: what is in it is taken, then the grace is over. */
static void test_grace_ends_the_wait(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_
	char *text = NULL;

	start_pump(f, open_log(f));
	say(f, "said before the end\n");
	finish(f, 50);
	text = read_log(f->path);
	assert_int_equal(count_lines(text, "said before the end"), 1);
}

static void test_reopening_switches_files(void **state)
{
	struct fixture *f = *state;
	char rotated[128];
	_cleanup_free_
	char *before = NULL, *after = NULL;

	start_pump(f, open_log(f));
	say(f, "before\n");
	for (int i = 0; i < 20; i++)
		turn(&f->loop);
	(void)snprintf(rotated, sizeof(rotated), "%s.1", f->path);
	assert_int_equal(rename(f->path, rotated), 0);
	log_pump_set_file(f->pump, open_log(f));
	say(f, "after\n");
	close_fd(&f->writer);
	finish(f, 1000);
	before = read_log(rotated);
	after = read_log(f->path);
	assert_int_equal(count_lines(before, "before"), 1);
	assert_int_equal(count_lines(before, "after"), 0);
	assert_int_equal(count_lines(after, "after"), 1);
}

/* More than the pause limit: nothing is lost, nothing is doubled, the order holds. */
static void test_much_output(void **state)
{
	struct fixture *f = *state;
	char line[128];
	_cleanup_free_
	char *text = NULL;
	unsigned sent = 0;

	start_pump(f, open_log(f));
	assert_int_equal(fcntl(f->writer, F_SETFL, O_NONBLOCK), 0);
	for (int turns = 0; sent < 20000 && turns < 20000; turns++) {
		for (;;) {
			int len = snprintf(line, sizeof(line), "line %06u %080u\n", sent, 0U);

			if (sent == 20000 || write(f->writer, line, (size_t)len) != len)
				break;
			sent++;
		}
		turn(&f->loop);
	}
	assert_int_equal(sent, 20000);
	close_fd(&f->writer);
	finish(f, 5000);
	text = read_log(f->path);
	assert_int_equal(count_lines(text, " stdout F line "), 20000);
	for (unsigned i = 0; i < 20000; i += 1999) {
		(void)snprintf(line, sizeof(line), " stdout F line %06u ", i);
		assert_int_equal(count_lines(text, line), 1);
	}
}

/* A full disk: the container is not stopped, the loss is counted, and lines are written again when there is room. */
static void test_a_failing_disk_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_
	char *text = NULL;

	start_pump(f, open("/dev/full", O_WRONLY | O_CLOEXEC));
	say(f, "lost\n");
	for (int i = 0; i < 100 && log_pump_dropped(f->pump) == 0; i++)
		turn(&f->loop);
	assert_true(log_pump_dropped(f->pump) > 5);
	log_pump_set_file(f->pump, open_log(f));
	say(f, "kept\n");
	close_fd(&f->writer);
	finish(f, 1000);
	text = read_log(f->path);
	assert_int_equal(count_lines(text, "kept"), 1);
	assert_int_equal(count_lines(text, "lost"), 0);
}

static void test_without_a_file_all_is_read(void **state)
{
	struct fixture *f = *state;
	static char much[60000];

	memset(much, 'x', sizeof(much));
	start_pump(f, -1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(write(f->writer, much, sizeof(much)), sizeof(much));
		for (int turns = 0; turns < 20; turns++)
			turn(&f->loop);
	}
	close_fd(&f->writer);
	finish(f, 1000);
}

static void test_a_log_that_cannot_be_opened(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	(void)snprintf(f->path, sizeof(f->path), "%s/link", f->dir);
	assert_int_equal(symlink("/etc/passwd", f->path), 0);
	assert_int_equal(log_file_open(f->path, &err), -1); /* a link is not followed */
	assert_non_null(strstr(err.text, f->path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grace_ends_the_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopening_switches_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_much_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failing_disk_blocks_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_a_file_all_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_opened, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
