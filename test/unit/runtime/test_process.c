#include "expect.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/process.h"

/* A child that waits to be killed, and dies with the test. */
static pid_t start_child(const char *name)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)prctl(PR_SET_NAME, name);
		for (;;)
			(void)pause();
	}
	return pid;
}

static void end_child(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void start_time_is_stable_and_ordered(void **state)
{
	uint64_t own, again, parent;

	(void)state;
	expect_ok(process_start_time(getpid(), &own, &err));
	expect_ok(process_start_time(getpid(), &again, &err));
	expect_ok(process_start_time(1, &parent, &err));
	assert_int_equal(own, again);
	assert_true(own > 0 && parent <= own);
}

/* The name is chosen by the process: brackets, blanks and digits in it must not shift the fields. */
static void name_cannot_shift_the_fields(void **state)
{
	static const char *const names[] = { ") S 1 1 1", "a b c d e f", "((((", "))))", ") 7 (" };
	uint64_t own, ticks;

	(void)state;
	expect_ok(process_start_time(getpid(), &own, &err));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		pid_t pid = start_child(names[i]);
		struct timespec wait = { .tv_nsec = 1000000 };
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		for (int j = 0; j < 1000 && strncmp(get_file(path), names[i], strlen(names[i])) != 0; j++)
			(void)nanosleep(&wait, NULL);
		expect_ok(process_start_time(pid, &ticks, &err));
		end_child(pid);
		assert_true(ticks >= own && ticks < own + 100000);
	}
}

static void only_that_very_process_is_opened(void **state)
{
	pid_t pid = start_child("kern-child");
	uint64_t ticks;
	int pidfd;

	(void)state;
	expect_ok(process_start_time(pid, &ticks, &err));
	pidfd = expect_ok(process_open(pid, ticks, &err));
	expect_error(process_open(pid, ticks + 1, &err), ERR_NOT_FOUND, "another");
	end_child(pid);
	expect_error(process_open(pid, ticks, &err), ERR_NOT_FOUND, "process");
	expect_error(process_start_time(pid, &ticks, &err), ERR_NOT_FOUND, "process");
	(void)close(pidfd);
}

static void nonsense_pids_are_not_found(void **state)
{
	static const pid_t pids[] = { 0, -1, -4711, 0x7fffffff };
	uint64_t ticks;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		expect_error(process_start_time(pids[i], &ticks, &err), ERR_NOT_FOUND, "process");
		expect_error(process_open(pids[i], 1, &err), ERR_NOT_FOUND, "process");
	}
}

static void signals_reach_it_and_the_dead_do_not_mind(void **state)
{
	pid_t pid = start_child("kern-child");
	uint64_t ticks;
	int pidfd, status;

	(void)state;
	expect_ok(process_start_time(pid, &ticks, &err));
	pidfd = expect_ok(process_open(pid, ticks, &err));
	expect_ok(process_signal(pidfd, 0, &err));
	expect_error(process_signal(pidfd, 4711, &err), ERR_INTERNAL, "4711");
	expect_ok(process_signal(pidfd, SIGTERM, &err));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	expect_ok(process_signal(pidfd, SIGKILL, &err));
	(void)close(pidfd);
}

static void boot_id_is_the_kernels(void **state)
{
	char id[BOOT_ID_SIZE], again[BOOT_ID_SIZE];

	(void)state;
	expect_ok(boot_id_read(id, &err));
	expect_ok(boot_id_read(again, &err));
	assert_string_equal(id, again);
	assert_int_equal(strlen(id), 36);
	assert_memory_equal(id, get_file("/proc/sys/kernel/random/boot_id"), 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_time_is_stable_and_ordered),          cmocka_unit_test(name_cannot_shift_the_fields),
		cmocka_unit_test(only_that_very_process_is_opened),          cmocka_unit_test(nonsense_pids_are_not_found),
		cmocka_unit_test(signals_reach_it_and_the_dead_do_not_mind), cmocka_unit_test(boot_id_is_the_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
