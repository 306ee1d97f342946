/* Running a program to its end: what goes in, what comes out, and what happens to those that do not behave. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/program.h"

struct outcome {
	int result;
	struct program_end end;
	struct buffer output;
	struct error err;
};

static struct outcome run_shell(const char *script, const char *input, size_t max_output, unsigned timeout_ms)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const char *const envp[] = { "PATH=/usr/bin:/bin", "COLOUR=red", NULL };
	struct outcome o = { .output = BUFFER_INIT(max_output) };
	const struct program program = {
		.path = "/bin/sh",
		.argv = argv,
		.envp = envp,
		.input = input,
		.input_len = strlen(input),
		.timeout_ms = timeout_ms,
		.output = max_output ? &o.output : NULL,
	};

	o.result = program_run(&program, &o.end, &o.err);
	return o;
}

static void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void input_environment_and_output(void **state)
{
	struct outcome o = run_shell("cat; echo $COLOUR; echo quietly >&2; exit 3", "in\n", 4096, 5000);

	(void)state;
	assert_int_equal(o.result, 0);
	assert_int_equal(o.end.code, 3);
	assert_string_equal(o.output.data, "in\nred\n");
	assert_string_equal(o.end.words, "quietly");
	buffer_release(&o.output);
}

static void signals_and_descriptors_are_as_at_a_login(void **state)
{
	struct outcome o;
	sigset_t all;

	(void)state;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	o = run_shell("grep SigBlk /proc/self/status; for i in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i; done; :", "",
		      4096, 5000);
	(void)pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	assert_string_equal(o.output.data, "SigBlk:\t0000000000000000\n");
	buffer_release(&o.output);
}

static void more_than_a_pipe_holds(void **state)
{
	struct outcome o = run_shell("head -c 3000000 /dev/zero", "", 4000000, 5000);

	(void)state;
	assert_int_equal(o.result, 0);
	assert_int_equal(o.output.len, 3000000);
	buffer_release(&o.output);
}

static void a_flood_is_stopped(void **state)
{
	struct outcome o = run_shell("yes", "", 65536, 30000);

	(void)state;
	assert_int_equal(o.result, -1);
	assert_int_equal(o.err.code, ERR_EXHAUSTED);
	assert_no_children();
	buffer_release(&o.output);
}

static void words_are_the_last_and_one_line(void **state)
{
	struct outcome o = run_shell(
		"i=0; while [ $i -lt 200 ]; do echo \"line $i\"; i=$((i+1)); done; printf 'a\\033[1mb\\n\\n' >&2", "", 0, 5000);
	size_t len = strlen(o.end.words);

	(void)state;
	assert_true(len > 200 && len < PROGRAM_WORDS_SIZE);
	assert_string_equal(o.end.words + len - 15, "line 199 a [1mb");
}

static void late_ones_die_with_their_children(void **state)
{
	int64_t began_us = clock_monotonic_us();
	char mark[] = "/tmp/base-program-XXXXXX", script[128];
	struct timespec while_later = { .tv_sec = 1, .tv_nsec = 200000000 };
	struct outcome o;
	struct stat info;
	int fd = mkstemp(mark);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	(void)snprintf(script, sizeof(script), "(sleep 1; echo late >%s) & echo waiting >&2; sleep 100", mark);
	o = run_shell(script, "", 0, 300);
	assert_int_equal(o.err.code, ERR_DEADLINE);
	assert_non_null(strstr(o.err.text, "waiting"));
	assert_true(clock_monotonic_us() - began_us >= 300000);
	(void)nanosleep(&while_later, NULL);
	assert_int_equal(stat(mark, &info), 0);
	assert_int_equal(info.st_size, 0);
	assert_int_equal(o.end.signal, SIGKILL);
	assert_no_children();
	(void)unlink(mark);
}

/* A plugin may start a daemon; its open output must not hold us. */
static void what_it_leaves_behind_is_not_waited_for(void **state)
{
	struct outcome o = run_shell("sleep 3 & echo $!", "", 4096, 60000);

	(void)state;
	assert_int_equal(o.result, 0);
	assert_int_equal(o.end.code, 0);
	assert_int_equal(kill((pid_t)strtol(o.output.data, NULL, 10), SIGKILL), 0);
	buffer_release(&o.output);
}

static void one_that_cannot_be_started(void **state)
{
	const struct program program = { .path = "/no/such/program", .timeout_ms = 1000 };
	struct program_end end;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(program_run(&program, &end, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void one_that_is_killed(void **state)
{
	struct outcome o = run_shell("kill -TERM $$", "", 0, 5000);

	(void)state;
	assert_int_equal(o.result, 0);
	assert_int_equal(o.end.signal, SIGTERM);
	assert_int_equal(o.end.code, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input_environment_and_output),
		cmocka_unit_test(signals_and_descriptors_are_as_at_a_login),
		cmocka_unit_test(more_than_a_pipe_holds),
		cmocka_unit_test(a_flood_is_stopped),
		cmocka_unit_test(words_are_the_last_and_one_line),
		cmocka_unit_test(late_ones_die_with_their_children),
		cmocka_unit_test(what_it_leaves_behind_is_not_waited_for),
		cmocka_unit_test(one_that_cannot_be_started),
		cmocka_unit_test(one_that_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
