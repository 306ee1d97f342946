#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/reaper.h"
#include "turns.h"

struct seen {
	struct watch watch;
	struct exit_status status;
	bool done;
	unsigned n_calls;
	struct seen *forget; /* another one, forgotten in the callback */
};

static struct loop loop;

static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void on_exit_seen(struct watch *watch, const struct exit_status *status)
{
	struct seen *seen = watch->arg;

	assert_false(watch->active);
	seen->status = *status;
	seen->n_calls++;
	seen->done = true;
	if (seen->forget)
		reaper_forget(loop.reaper, &seen->forget->watch);
}

/* A child that exits with `code`, or dies by `signo` when that is not 0: at once, or when the gate (a pipe) is opened or closed. Our
 * own death closes every gate. */
static pid_t make_child(const int *gate, int code, int signo)
{
	pid_t pid = fork();
	char byte;

	if (pid != 0)
		return pid;
	if (gate) {
		(void)close(gate[1]);
		(void)!read(gate[0], &byte, 1);
	}
	if (signo != 0)
		(void)kill(getpid(), signo);
	_exit(code);
}

static void watch_child(struct seen *seen, pid_t pid)
{
	struct error err = ERROR_INIT;

	assert_true(pid > 0);
	seen->watch = (struct watch){ .pidfd = open_pidfd(pid), .pid = pid, .on_exit = on_exit_seen, .arg = seen };
	assert_true(seen->watch.pidfd >= 0);
	assert_int_equal(reaper_watch(loop.reaper, &seen->watch, &err), 0);
	assert_false(seen->done);
}

static void assert_seen(struct seen *seen)
{
	assert_true(turn_until(&loop, &seen->done, MANY_TURNS));
	assert_int_equal(seen->n_calls, 1);
	(void)close(seen->watch.pidfd);
}

static void assert_reaped(pid_t pid)
{
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_exit_code(void **state)
{
	static const int codes[] = { 0, 1, 255 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct seen seen = { 0 };

		watch_child(&seen, make_child(NULL, codes[i], 0));
		assert_seen(&seen);
		assert_true(seen.status.known);
		assert_int_equal(seen.status.code, codes[i]);
		assert_int_equal(seen.status.signal, 0);
		assert_reaped(seen.watch.pid);
	}
}

static void test_signal(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	watch_child(&seen, make_child(NULL, 0, SIGKILL));
	assert_seen(&seen);
	assert_true(seen.status.known);
	assert_int_equal(seen.status.signal, SIGKILL);
	assert_int_equal(seen.status.code, 137);
	assert_false(seen.status.core_dumped);
}

static void test_ended_before_it_was_watched(void **state)
{
	struct seen seen = { 0 };
	pid_t pid = make_child(NULL, 3, 0);
	siginfo_t info;

	(void)state;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	watch_child(&seen, pid);
	assert_seen(&seen);
	assert_int_equal(seen.status.code, 3);
}

/* A child of somebody else in this process: its status is theirs, even when it ends together with one of ours. */
static void test_unknown_children_are_left_alone(void **state)
{
	struct seen seen = { 0 };
	pid_t stranger = make_child(NULL, 42, 0);
	siginfo_t info;
	int status;

	(void)state;
	assert_int_equal(waitid(P_PID, (id_t)stranger, &info, WEXITED | WNOWAIT), 0);
	watch_child(&seen, make_child(NULL, 7, 0));
	assert_seen(&seen);
	for (int i = 0; i < 5; i++)
		turn(&loop);
	assert_int_equal(waitpid(stranger, &status, WNOHANG), stranger);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

/* 200 exits make far fewer SIGCHLD: the signal is one bit. */
static void test_coalesced_signals(void **state)
{
	enum { N = 200 };
	struct seen *all = calloc(N, sizeof(*all));
	int gate[2];

	(void)state;
	assert_non_null(all);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	for (int i = 0; i < N; i++) {
		watch_child(&all[i], make_child(gate, i % 256, 0));
	}
	(void)close(gate[1]);
	for (int i = 0; i < N; i++) {
		assert_seen(&all[i]);
		assert_true(all[i].status.known);
		assert_int_equal(all[i].status.code, i % 256);
	}
	(void)close(gate[0]);
	free(all);
}

static void test_forget(void **state)
{
	struct seen seen = { 0 };
	int status;

	(void)state;
	watch_child(&seen, make_child(NULL, 9, 0));
	reaper_forget(loop.reaper, &seen.watch);
	reaper_forget(loop.reaper, &seen.watch);
	for (int i = 0; i < 5; i++)
		turn(&loop);
	assert_false(seen.done);
	assert_int_equal(waitpid(seen.watch.pid, &status, 0), seen.watch.pid); /* not taken */
	assert_int_equal(WEXITSTATUS(status), 9);
	(void)close(seen.watch.pidfd);
}

/* Both have ended when the first callback forgets the other one: it must not be called any more. */
static void test_forget_inside_a_callback(void **state)
{
	struct seen pair[2] = { 0 };
	siginfo_t info;
	size_t other;

	(void)state;
	pair[0].forget = &pair[1];
	pair[1].forget = &pair[0];
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = make_child(NULL, 1, 0);

		assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
		watch_child(&pair[i], pid);
	}
	for (int i = 0; i < 10; i++)
		turn(&loop);
	assert_int_equal(pair[0].n_calls + pair[1].n_calls, 1);
	other = pair[0].done ? 1 : 0;
	assert_false(pair[other].watch.active);
	assert_int_equal(waitpid(pair[other].watch.pid, NULL, WNOHANG), pair[other].watch.pid);
	(void)close(pair[0].watch.pidfd);
	(void)close(pair[1].watch.pidfd);
}

/* ---- processes that are not ours ---- */

/* The parent of a stranger, a grandchild of ours which ends as make_child() says when `die` opens, and is reaped when `reap` does. */
struct stranger {
	pid_t pid, parent;
	int die[2], reap[2];
};

static void serve_stranger(const struct stranger *s, int report, int code, int signo)
{
	char byte;
	pid_t pid;

	(void)close(s->reap[1]);
	pid = make_child(s->die, code, signo);
	(void)close(s->die[1]);
	(void)!write(report, &pid, sizeof(pid));
	(void)!read(s->reap[0], &byte, 1);
	(void)waitpid(pid, NULL, 0);
	(void)!read(s->reap[0], &byte, 1);
	_exit(0);
}

static void make_stranger(struct stranger *s, int code, int signo)
{
	int report[2];

	assert_int_equal(pipe2(s->reap, O_CLOEXEC), 0);
	assert_int_equal(pipe2(s->die, O_CLOEXEC), 0);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	s->parent = fork();
	if (s->parent == 0)
		serve_stranger(s, report[1], code, signo);
	assert_true(s->parent > 0);
	assert_int_equal(read(report[0], &s->pid, sizeof(s->pid)), sizeof(s->pid));
	(void)close(report[0]);
	(void)close(report[1]);
}

static void open_gate(const int gate[2])
{
	assert_int_equal(write(gate[1], "x", 1), 1);
}

static void close_gates(const struct stranger *s)
{
	(void)close(s->die[0]);
	(void)close(s->die[1]);
	(void)close(s->reap[0]);
	(void)close(s->reap[1]);
}

/* PIDFD_INFO_EXIT is of Linux 6.15. */
static bool kernel_tells(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 15);
}

static void check_stranger(int code, int signo, int expected_code)
{
	struct seen seen = { 0 };
	struct stranger s;

	make_stranger(&s, code, signo);
	watch_child(&seen, s.pid);
	open_gate(s.die);
	if (kernel_tells()) {
		/* Dead, but not reaped: EPOLLIN alone, and no status yet. The loop must neither report nor spin. */
		uint64_t turns = loop.lag.turns;

		assert_int_equal(poll(&(struct pollfd){ .fd = seen.watch.pidfd, .events = POLLIN }, 1, 5000), 1);
		for (int i = 0; i < 10; i++)
			turn(&loop);
		assert_false(seen.done);
		assert_true(loop.lag.turns - turns < 100);
	}
	open_gate(s.reap);
	assert_seen(&seen);
	assert_int_equal(seen.status.known, kernel_tells());
	if (seen.status.known) {
		assert_int_equal(seen.status.code, expected_code);
		assert_int_equal(seen.status.signal, signo);
	} else {
		print_message("SKIP: the exit status of strangers needs Linux 6.15\n");
	}
	close_gates(&s);
	assert_int_equal(waitpid(s.parent, NULL, 0), s.parent);
}

static void test_exit_of_a_stranger(void **state)
{
	(void)state;
	check_stranger(77, 0, 77);
}

static void test_signal_of_a_stranger(void **state)
{
	(void)state;
	check_stranger(0, SIGUSR1, 128 + SIGUSR1);
}

/* Its parent lives on and never reaps it: the end is told all the same, without a status. */
static void test_a_stranger_that_nobody_reaps(void **state)
{
	struct seen seen[2] = { 0 };
	struct stranger s[2];
	int64_t began_us;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		make_stranger(&s[i], 5, 0);
		watch_child(&seen[i], s[i].pid);
		open_gate(s[i].die);
	}
	began_us = clock_monotonic_us();
	for (size_t i = 0; i < 2; i++) {
		assert_seen(&seen[i]);
		assert_false(seen[i].status.known);
		close_gates(&s[i]);
		assert_int_equal(kill(s[i].parent, SIGKILL), 0);
		assert_int_equal(waitpid(s[i].parent, NULL, 0), s[i].parent);
	}
	if (kernel_tells())
		assert_true(clock_monotonic_us() - began_us >= INT64_C(1000) * REAPER_PATIENCE_MS);
}

/* Forgotten while its parent was waited for: no call, and nothing is left of it. */
static void test_forget_an_unreaped_stranger(void **state)
{
	struct seen seen = { 0 };
	struct stranger s;

	(void)state;
	if (!kernel_tells()) {
		print_message("SKIP: only Linux 6.15 and later wait for the parent\n");
		return;
	}
	make_stranger(&s, 5, 0);
	watch_child(&seen, s.pid);
	open_gate(s.die);
	assert_int_equal(poll(&(struct pollfd){ .fd = seen.watch.pidfd, .events = POLLIN }, 1, 5000), 1);
	for (int i = 0; i < 10; i++)
		turn(&loop);
	reaper_forget(loop.reaper, &seen.watch);
	assert_false(seen.done);
	open_gate(s.reap);
	close_gates(&s);
	(void)close(seen.watch.pidfd);
	assert_int_equal(waitpid(s.parent, NULL, 0), s.parent);
}

/* A process that was orphaned to us, the subreaper, is a child like any other. */
static void test_orphan_under_a_subreaper(void **state)
{
	struct seen seen = { 0 };
	struct stranger s;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	make_stranger(&s, 5, 0);
	watch_child(&seen, s.pid);
	assert_int_equal(kill(s.parent, SIGKILL), 0);
	assert_int_equal(waitpid(s.parent, NULL, 0), s.parent);
	open_gate(s.die);
	assert_seen(&seen);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
	assert_true(seen.status.known);
	assert_int_equal(seen.status.code, 5);
	assert_reaped(s.pid);
	close_gates(&s);
}

/* Somebody in our process waits for everything: what we watched is gone before we come. */
static void test_stolen_child(void **state)
{
	struct seen seen = { 0 };
	pid_t pid = make_child(NULL, 11, 0);

	(void)state;
	watch_child(&seen, pid);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_seen(&seen);
	assert_int_equal(seen.status.known, kernel_tells());
	if (seen.status.known)
		assert_int_equal(seen.status.code, 11);
}

static void test_bad_pidfd(void **state)
{
	struct watch watch = { .pidfd = -1, .pid = 1 };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(reaper_watch(loop.reaper, &watch, &err), -1);
	assert_false(watch.active);
	assert_string_equal(err.text, "watch process 1: Bad file descriptor");
}

static int set_up(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	return loop_init(&loop, NULL, NULL, &err);
}

static int tear_down(void **state)
{
	(void)state;
	loop_release(&loop);
	return 0;
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOOP(test_exit_code),
		WITH_LOOP(test_signal),
		WITH_LOOP(test_ended_before_it_was_watched),
		WITH_LOOP(test_unknown_children_are_left_alone),
		WITH_LOOP(test_coalesced_signals),
		WITH_LOOP(test_forget),
		WITH_LOOP(test_forget_inside_a_callback),
		WITH_LOOP(test_exit_of_a_stranger),
		WITH_LOOP(test_signal_of_a_stranger),
		WITH_LOOP(test_a_stranger_that_nobody_reaps),
		WITH_LOOP(test_forget_an_unreaped_stranger),
		WITH_LOOP(test_orphan_under_a_subreaper),
		WITH_LOOP(test_stolen_child),
		WITH_LOOP(test_bad_pidfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
