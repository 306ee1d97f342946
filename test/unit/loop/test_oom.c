/* Every allocation and every start of a thread in loop fails once: each is an error, nothing is left, and what follows works. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "failing.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "turns.h"

static void test_loop_init(void **state)
{
	(void)state;
	for (long n = 0; fails_at(n); n++) {
		struct loop loop;
		struct error err = ERROR_INIT;
		int rc = loop_init(&loop, NULL, NULL, &err);
		bool failed = failure_happened();

		assert_int_equal(rc, failed ? -1 : 0);
		if (failed)
			assert_int_equal(err.code, ERR_EXHAUSTED);
		else
			loop_release(&loop);
	}
}

static rlim_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	rlim_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n - 3; /* ".", ".." and the directory itself */
}

/* One descriptor more each time, until there are enough. */
static void test_loop_init_without_descriptors(void **state)
{
	struct loop loop;
	struct error err = ERROR_INIT;
	struct rlimit limit, all;
	rlim_t used = open_descriptors();
	int failures = 0, rc = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	for (rlim_t more = 0; rc < 0 && more < 40; more++) {
		limit = (struct rlimit){ .rlim_cur = used + more, .rlim_max = all.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		rc = loop_init(&loop, NULL, NULL, &err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
		if (rc < 0) {
			failures++;
			assert_int_equal(err.code, ERR_EXHAUSTED);
			/* uv_loop_init() of libuv 1.44 forgets its own epoll descriptor when it fails after opening it. */
			if (!strncmp(err.text, "make event loop", 15))
				used = open_descriptors();
			assert_int_equal(open_descriptors(), used);
		}
	}
	assert_int_equal(rc, 0);
	assert_true(failures >= 4);
	loop_release(&loop);
	assert_int_equal(open_descriptors(), used);
}

static void test_lane_open(void **state)
{
	struct loop loop;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(loop_init(&loop, NULL, NULL, &err), 0);
	for (long n = 0; fails_at(n); n++) {
		struct lane *lane = NULL;
		int rc = lane_open(loop.lanes, "x", &lane, &err);

		assert_int_equal(rc, failure_happened() ? -1 : 0);
		lane_close(lane);
	}
	loop_release(&loop);
}

/* ---- a task whose steps all run in a lane ---- */

struct op {
	struct task task;
	struct lane *lane;
	bool done, released;
	int result;
	struct error err;
	unsigned begun, undone; /* bits of steps */
};

static int nothing(struct task *task, struct error *err)
{
	(void)task;
	(void)err;
	return 0;
}

static enum verdict run_step(struct task *task, unsigned bit, struct error *err)
{
	struct op *op = (struct op *)task;

	op->begun |= bit;
	return task_run_in_lane(task, op->lane, nothing, err);
}

static enum verdict undo_step(struct task *task, unsigned bit, struct error *err)
{
	struct op *op = (struct op *)task;

	op->undone |= bit;
	return task_run_in_lane(task, op->lane, nothing, err);
}

static enum verdict run_one(struct task *task, struct error *err)
{
	return run_step(task, 1, err);
}

static enum verdict undo_one(struct task *task, struct error *err)
{
	return undo_step(task, 1, err);
}

static enum verdict run_two(struct task *task, struct error *err)
{
	return run_step(task, 2, err);
}

static enum verdict undo_two(struct task *task, struct error *err)
{
	return undo_step(task, 2, err);
}

static const struct step steps[] = {
	{ "one", run_one, undo_one, 60000 },
	{ "two", run_two, undo_two, 60000 },
};
static const struct machine machine = MACHINE("pair", steps);

static void on_done(struct task *task, int result, const struct error *err)
{
	struct op *op = (struct op *)task;

	op->done = true;
	op->result = result;
	op->err = *err;
}

static void on_release(struct task *task)
{
	((struct op *)task)->released = true;
}

/* True when the allocation that was to fail came. */
static bool run_with_failure(struct loop *loop, struct op *op)
{
	struct error err = ERROR_INIT;
	bool failed;

	if (task_start(&op->task, loop, &machine, on_done, on_release, &err) < 0) {
		op->released = op->done = true;
		op->result = -1;
		op->err = err;
		return failure_happened();
	}
	loop_run(loop);
	failed = failure_happened();
	return failed;
}

static void test_task(void **state)
{
	long n;

	(void)state;
	for (n = 0; fails_at(n); n++) {
		struct op op = { 0 };
		struct loop loop;
		long armed = atomic_exchange(&allocations_left, -1);
		bool failed;

		assert_int_equal(loop_init(&loop, NULL, NULL, &op.err), 0);
		assert_int_equal(lane_open(loop.lanes, "x", &op.lane, &op.err), 0);
		atomic_store(&allocations_left, armed);
		failed = run_with_failure(&loop, &op);
		assert_true(op.done);
		assert_true(op.released);
		assert_int_equal(op.result, failed ? -1 : 0);
		assert_int_equal(op.undone, failed ? op.begun : 0);
		lane_close(op.lane);
		loop_release(&loop);
	}
	assert_true(n >= 6); /* the task, two times lane work and queue entry, a thread */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_init),
		cmocka_unit_test(test_loop_init_without_descriptors),
		cmocka_unit_test(test_lane_open),
		cmocka_unit_test(test_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
