/* clock, id, log, fault, mem. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"

static void assert_time(int64_t ns, const char *expected)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format_rfc3339(text, ns);
	assert_string_equal(text, expected);
}

static void test_rfc3339(void **state)
{
	(void)state;
	assert_time(0, "1970-01-01T00:00:00.000000000Z");
	assert_time(1, "1970-01-01T00:00:00.000000001Z");
	assert_time(-1, "1969-12-31T23:59:59.999999999Z");
	assert_time(INT64_C(-1000000000), "1969-12-31T23:59:59.000000000Z");
	assert_time(INT64_C(951782399123456789), "2000-02-28T23:59:59.123456789Z");
	assert_time(INT64_C(951782400000000000), "2000-02-29T00:00:00.000000000Z");
	assert_time(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
	assert_time(INT64_MIN, "1677-09-21T00:12:43.145224192Z");
}

static void test_clocks_advance(void **state)
{
	int64_t us = clock_monotonic_us();
	int64_t ns = clock_realtime_ns();
	struct timespec wait = { .tv_nsec = 3000000 };

	(void)state;
	(void)nanosleep(&wait, NULL);
	assert_in_range((uint64_t)(clock_monotonic_us() - us), 3000, 3000000);
	assert_true(clock_realtime_ns() > ns);
	assert_true(ns > INT64_C(1700000000) * 1000000000);
}

static void test_ids(void **state)
{
	char first[ID_SIZE], second[ID_SIZE];
	char text[9];

	(void)state;
	id_generate(first);
	id_generate(second);
	assert_true(id_is_valid(first));
	assert_true(id_is_valid(second));
	assert_string_not_equal(first, second);
	first[10] = 'A';
	assert_false(id_is_valid(first));
	first[10] = 'g';
	assert_false(id_is_valid(first));
	first[63] = '\0';
	assert_false(id_is_valid(first));
	assert_false(id_is_valid(""));
	hex_encode(text, (const unsigned char *)"\x00\x9f\xff\x10", 4);
	assert_string_equal(text, "009fff10");
}

/* ---- log ---- */

static size_t logged(int fd, char *text, size_t size)
{
	ssize_t n = read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* Makes stderr a pipe that is read without waiting; returns the reading end. */
static int divert_stderr(int *ret_saved)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	*ret_saved = dup(STDERR_FILENO);
	assert_true(*ret_saved >= 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(ends[1]);
	return ends[0];
}

static void restore_stderr(int saved, int out)
{
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	(void)close(out);
}

static void test_log_lines(void **state)
{
	char text[4096], forged[32];
	char longer[3000];
	int saved, out = divert_stderr(&saved);

	(void)state;
	log_info("pod", "started id=%s", "abc");
	(void)logged(out, text, sizeof(text));
	(void)snprintf(forged, sizeof(forged), "x\ny\x1b[2J");
	log_error("cri", "%s", forged);
	(void)logged(out, text + 1024, 1024);
	memset(longer, 'l', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_warn("cri", "%s", longer);
	(void)logged(out, text + 2048, 2048);
	restore_stderr(saved, out);

	assert_int_equal(text[CLOCK_TEXT_SIZE - 1], ' ');
	assert_string_equal(text + CLOCK_TEXT_SIZE, "info  pod: started id=abc\n");
	assert_string_equal(text + 1024 + CLOCK_TEXT_SIZE, "error cri: x?y?[2J\n");
	assert_int_equal(strlen(text + 2048), 1536);
	assert_int_equal(text[2048 + 1535], '\n');
}

static void test_log_levels(void **state)
{
	char text[256];
	int saved, out = divert_stderr(&saved);
	size_t shown, hidden;

	(void)state;
	log_debug("x", "hidden");
	hidden = logged(out, text, sizeof(text));
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("x", "shown");
	shown = logged(out, text, sizeof(text));
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("x", "hidden");
	hidden += logged(out, text, sizeof(text));
	log_set_level(LOG_LEVEL_INFO);
	restore_stderr(saved, out);
	assert_int_equal(hidden, 0);
	assert_true(shown > 0);
	assert_int_equal(log_parse_level("error"), LOG_LEVEL_ERROR);
	assert_int_equal(log_parse_level("debug"), LOG_LEVEL_DEBUG);
	assert_int_equal(log_parse_level("Debug"), -1);
	assert_int_equal(log_parse_level(""), -1);
}

/* A reader that hangs costs lines, not the loop; how many is said when it goes on. */
static void test_log_never_blocks(void **state)
{
	char text[4096];
	int saved, out = divert_stderr(&saved);
	bool noticed = false, went_on = false;

	(void)state;
	for (int i = 0; i < 5000; i++)
		log_info("flood", "%080d", i);
	while (logged(out, text, sizeof(text)) > 0)
		;
	log_info("flood", "goes on");
	(void)logged(out, text, sizeof(text));
	noticed = strstr(text, "lines lost)") != NULL;
	went_on = strstr(text, "goes on") != NULL;
	restore_stderr(saved, out);
	assert_true(noticed);
	assert_true(went_on);
}

/* ---- fault ---- */

static void test_fault_points(void **state)
{
#ifdef MONOPOD_FAULTS
	char path[] = "/tmp/loop-fault-XXXXXX";
	_cleanup_fd_ int fd = mkstemp(path);
	bool armed, other, shorter, gone;

	(void)state;
	assert_true(fd >= 0);
	assert_false(fault_here("run_pod", "network"));
	assert_int_equal(write(fd, "run_pod/network\n", 16), 16);
	assert_int_equal(setenv("MONOPOD_FAULT_FILE", path, 1), 0);
	armed = fault_here("run_pod", "network");
	other = fault_here("run_pod", "netns");
	shorter = fault_here("run_pod", "net");
	(void)unlink(path);
	gone = fault_here("run_pod", "network");
	(void)unsetenv("MONOPOD_FAULT_FILE");
	assert_true(armed);
	assert_false(other);
	assert_false(shorter);
	assert_false(gone);
#else
	(void)state;
	print_message("SKIP: built without MONOPOD_FAULTS\n");
	skip();
#endif
}

/* ---- mem ---- */

static void test_ownership(void **state)
{
	int kept_fd;
	char *kept;

	(void)state;
	{
		_cleanup_fd_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		_cleanup_free_
		char *text = strdup("x");

		assert_true(fd >= 0);
		kept_fd = steal_fd(&fd);
		kept = steal_ptr(&text);
		assert_int_equal(fd, -1);
		assert_null(text);
	}
	assert_true(fcntl(kept_fd, F_GETFD) >= 0);
	assert_string_equal(kept, "x");
	free(kept);
	{
		_cleanup_fd_ int fd = kept_fd;

		(void)fd;
	}
	assert_int_equal(fcntl(kept_fd, F_GETFD), -1);
	kept_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close_fd(&kept_fd);
	assert_int_equal(kept_fd, -1);
	close_fd(&kept_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3339),      cmocka_unit_test(test_clocks_advance), cmocka_unit_test(test_ids),
		cmocka_unit_test(test_log_lines),    cmocka_unit_test(test_log_levels),     cmocka_unit_test(test_log_never_blocks),
		cmocka_unit_test(test_fault_points), cmocka_unit_test(test_ownership),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
