#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "turns.h"

#define DEADLINE_MS 40
#define PATIENT_MS 60000
#define N_STEPS 4

/* How a step of the machine under test behaves, in run or in undo. */
enum behaviour {
	AT_ONCE,     /* done when it returns */
	LATER,       /* waits, is resumed two turns later */
	INSIDE,      /* is resumed from inside itself */
	IN_LANE,     /* by a job in a lane */
	FAILS,       /* at once */
	FAILS_LATER, /* waits, is resumed with an error */
	FAILS_IN_LANE,
	FAILS_SILENTLY, /* without setting the error */
	STARVES,        /* for want of descriptors, as long as op->shortages lasts */
	STARVES_LATER,
	HANGS,          /* waits for an event that never comes */
	HANGS_IN_LANE,  /* until the gate is opened */
	CANCELS_ITSELF, /* and says that it is done */
};

struct op {
	struct task task;
	struct lane *lane;
	enum behaviour run[N_STEPS], undo[N_STEPS];
	uv_prepare_t later; /* counts turns for LATER */
	unsigned turns_left;
	unsigned shortages;
	int later_result;
	sem_t gate;
	char trace[256]; /* "+a+b-b-a": what was begun and undone */
	char lane_trace[64];
	unsigned old_ticket;
	bool done, released;
	unsigned n_done, n_released;
	int result;
	struct error err;
};

static struct loop loop;

static int in_lane(struct task *task, struct error *err)
{
	(void)task;
	(void)err;
	return 0;
}

static int fail_in_lane(struct task *task, struct error *err)
{
	(void)task;
	return error_set(err, ERR_DENIED, "no");
}

static int hang_in_lane(struct task *task, struct error *err)
{
	struct op *op = (struct op *)task;

	(void)err;
	(void)sem_wait(&op->gate);
	return 0;
}

static void on_later(uv_prepare_t *later)
{
	struct op *op = later->data;
	struct error err = ERROR_INIT;

	if (op->turns_left-- > 0)
		return;
	(void)uv_prepare_stop(later);
	if (op->later_result < -1)
		(void)error_sys(&err, EMFILE, "no");
	else
		(void)error_set(&err, ERR_DENIED, "no");
	task_resume(&op->task, op->later_result, &err);
}

static void answer_later(struct op *op, int result)
{
	op->turns_left = 2;
	op->later_result = result;
	(void)uv_prepare_start(&op->later, on_later);
}

static enum verdict behave(struct op *op, enum behaviour how, struct error *err)
{
	struct error why = ERROR_INIT;

	switch (how) {
	case AT_ONCE:
		return STEP_DONE;
	case STARVES:
		if (op->shortages == 0)
			return STEP_DONE;
		op->shortages--;
		(void)error_sys(err, EMFILE, "no");
		return STEP_FAILED;
	case STARVES_LATER:
		answer_later(op, op->shortages == 0 ? 0 : -2);
		op->shortages -= op->shortages > 0;
		return STEP_WAIT;
	case LATER:
	case FAILS_LATER:
		answer_later(op, how == LATER ? 0 : -1);
		return STEP_WAIT;
	case INSIDE:
		task_resume(&op->task, 0, NULL);
		return STEP_WAIT;
	case IN_LANE:
		return task_run_in_lane(&op->task, op->lane, in_lane, err);
	case FAILS_IN_LANE:
		return task_run_in_lane(&op->task, op->lane, fail_in_lane, err);
	case HANGS_IN_LANE:
		return task_run_in_lane(&op->task, op->lane, hang_in_lane, err);
	case FAILS:
		(void)error_set(err, ERR_DENIED, "no");
		return STEP_FAILED;
	case FAILS_SILENTLY:
		return STEP_FAILED;
	case HANGS:
		op->old_ticket = task_ticket(&op->task);
		return STEP_WAIT;
	case CANCELS_ITSELF:
		(void)error_set(&why, ERR_CANCELLED, "enough");
		task_cancel(&op->task, &why);
		return STEP_DONE;
	}
	return STEP_FAILED;
}

static enum verdict go(struct task *task, size_t step, bool undo, struct error *err)
{
	struct op *op = (struct op *)task;
	size_t len = strlen(op->trace);

	(void)uv_prepare_stop(&op->later); /* undo disarms what run waited for */
	(void)snprintf(op->trace + len, sizeof(op->trace) - len, "%c%c", undo ? '-' : '+', (char)('a' + step));
	return behave(op, undo ? op->undo[step] : op->run[step], err);
}

#define STEP_FUNCTIONS(name, index)                                                                                                \
	static enum verdict run_##name(struct task *task, struct error *err)                                                       \
	{                                                                                                                          \
		return go(task, index, false, err);                                                                                \
	}                                                                                                                          \
	static enum verdict undo_##name(struct task *task, struct error *err)                                                      \
	{                                                                                                                          \
		return go(task, index, true, err);                                                                                 \
	}

STEP_FUNCTIONS(a, 0)
STEP_FUNCTIONS(b, 1)
STEP_FUNCTIONS(c, 2)
STEP_FUNCTIONS(d, 3)

/* For tests of deadlines, and for those in which none may pass, however slow the machine is. */
static const struct step hurried_steps[N_STEPS] = {
	{ "a", run_a, undo_a, DEADLINE_MS },
	{ "b", run_b, undo_b, DEADLINE_MS },
	{ "c", run_c, undo_c, DEADLINE_MS },
	{ "d", run_d, undo_d, DEADLINE_MS },
};
static const struct step patient_steps[N_STEPS] = {
	{ "a", run_a, undo_a, PATIENT_MS },
	{ "b", run_b, undo_b, PATIENT_MS },
	{ "c", run_c, undo_c, PATIENT_MS },
	{ "d", run_d, undo_d, PATIENT_MS },
};
static const struct machine hurried = MACHINE("letters", hurried_steps);
static const struct machine patient = MACHINE("letters", patient_steps);

/* The middle steps leave nothing behind. */
static const struct step mixed_steps[N_STEPS] = {
	{ "a", run_a, undo_a, PATIENT_MS },
	{ "b", run_b, NULL, PATIENT_MS },
	{ "c", run_c, NULL, PATIENT_MS },
	{ "d", run_d, undo_d, PATIENT_MS },
};
static const struct machine mixed = MACHINE("letters", mixed_steps);

static void on_done(struct task *task, int result, const struct error *err)
{
	struct op *op = (struct op *)task;

	assert_false(op->released);
	op->done = true;
	op->n_done++;
	op->result = result;
	op->err = *err;
}

static void on_release(struct task *task)
{
	struct op *op = (struct op *)task;

	assert_true(op->done);
	op->released = true;
	op->n_released++;
}

static struct op *start_machine(const struct machine *machine, const enum behaviour run[N_STEPS],
				const enum behaviour undo[N_STEPS])
{
	struct op *op = calloc(1, sizeof(*op));
	struct error err = ERROR_INIT;

	assert_non_null(op);
	for (size_t i = 0; i < N_STEPS; i++) {
		op->run[i] = run ? run[i] : AT_ONCE;
		op->undo[i] = undo ? undo[i] : AT_ONCE;
	}
	(void)sem_init(&op->gate, 0, 0);
	(void)uv_prepare_init(&loop.uv, &op->later);
	op->later.data = op;
	assert_int_equal(lane_open(loop.lanes, "letters", &op->lane, &err), 0);
	assert_int_equal(task_start(&op->task, &loop, machine, on_done, on_release, &err), 0);
	assert_false(op->done);
	assert_string_equal(op->trace, "");
	return op;
}

static struct op *start(const enum behaviour run[N_STEPS], const enum behaviour undo[N_STEPS])
{
	return start_machine(&patient, run, undo);
}

static struct op *start_hurried(const enum behaviour run[N_STEPS], const enum behaviour undo[N_STEPS])
{
	return start_machine(&hurried, run, undo);
}

static void end(struct op *op)
{
	assert_true(turn_until(&loop, &op->done, MANY_TURNS));
	assert_true(turn_until(&loop, &op->released, MANY_TURNS));
	turn(&loop);
	assert_int_equal(op->n_done, 1);
	assert_int_equal(op->n_released, 1);
	lane_close(op->lane);
	uv_close((uv_handle_t *)&op->later, NULL);
	turn(&loop);
	(void)sem_destroy(&op->gate);
}

static void await_trace(const struct op *op, const char *piece)
{
	for (unsigned i = 0; i < MANY_TURNS && !strstr(op->trace, piece); i++)
		turn(&loop);
	assert_non_null(strstr(op->trace, piece));
}

static struct op *run_all(const enum behaviour run[N_STEPS], const enum behaviour undo[N_STEPS])
{
	struct op *op = start(run, undo);

	end(op);
	return op;
}

/* "+a+b+c" must be followed by exactly "-c-b-a". */
static void assert_all_undone(const char *trace)
{
	size_t begun = 0;
	size_t len = strlen(trace);

	while (trace[2 * begun] == '+')
		begun++;
	assert_int_equal(len, 4 * begun);
	for (size_t i = 0; i < begun; i++) {
		assert_int_equal(trace[len - 2 * (i + 1)], '-');
		assert_int_equal(trace[len - 2 * (i + 1) + 1], trace[2 * i + 1]);
	}
}

static void test_runs_all_steps(void **state)
{
	static const enum behaviour ways[] = { AT_ONCE, LATER, INSIDE, IN_LANE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const enum behaviour run[N_STEPS] = { ways[i], ways[(i + 1) % 4], ways[(i + 2) % 4], ways[i] };
		struct op *op = run_all(run, NULL);

		assert_int_equal(op->result, 0);
		assert_int_equal(op->err.code, ERR_NONE);
		assert_string_equal(op->trace, "+a+b+c+d");
		free(op);
	}
}

static void test_failure_at_each_step(void **state)
{
	static const enum behaviour failures[] = { FAILS, FAILS_LATER, FAILS_IN_LANE };
	static const enum behaviour undos[] = { AT_ONCE, LATER, IN_LANE, INSIDE };

	(void)state;
	for (size_t at = 0; at < N_STEPS; at++) {
		for (size_t how = 0; how < ARRAY_SIZE(failures); how++) {
			enum behaviour run[N_STEPS] = { AT_ONCE, LATER, IN_LANE, AT_ONCE };
			struct op *op;

			run[at] = failures[how];
			op = run_all(run, undos);
			assert_int_equal(op->result, -1);
			assert_int_equal(op->err.code, ERR_DENIED);
			assert_int_equal(op->err.text[0], 'a' + (int)at);
			assert_string_equal(op->err.text + 1, ": no");
			assert_int_equal(op->trace[2 * at + 1], 'a' + (int)at);
			assert_int_equal(op->trace[2 * at + 2], '-');
			assert_all_undone(op->trace);
			free(op);
		}
	}
}

static void test_failure_without_reason(void **state)
{
	const enum behaviour run[N_STEPS] = { AT_ONCE, FAILS_SILENTLY, AT_ONCE, AT_ONCE };
	struct op *op = run_all(run, NULL);

	(void)state;
	assert_int_equal(op->result, -1);
	assert_int_equal(op->err.code, ERR_INTERNAL);
	assert_all_undone(op->trace);
	free(op);
}

static void test_failing_undo_does_not_stop_the_rest(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, FAILS };
	static const enum behaviour undo[N_STEPS] = { FAILS, FAILS_LATER, FAILS_IN_LANE, FAILS };
	struct op *op = run_all(run, undo);

	(void)state;
	assert_int_equal(op->result, -1);
	assert_string_equal(op->err.text, "d: no"); /* the first failure, not the undo's */
	assert_string_equal(op->trace, "+a+b+c+d-d-c-b-a");
	free(op);
}

/* What was missing is there again: every undo has done its work in the end, and only then the task is over. */
static void test_undo_is_tried_again_after_a_shortage(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, FAILS };
	static const enum behaviour undo[N_STEPS] = { FAILS, STARVES, AT_ONCE, STARVES_LATER };
	struct op *op = start(run, undo);
	int64_t began_us = clock_monotonic_us();

	(void)state;
	op->shortages = 2;
	end(op);
	assert_string_equal(op->err.text, "d: no");
	assert_string_equal(op->trace, "+a+b+c+d-d-d-d-c-b-a");
	assert_true(clock_monotonic_us() - began_us >= INT64_C(2000) * TASK_UNDO_RETRY_MS);
	free(op);
}

static void test_a_daemon_that_ends_does_not_wait_for_a_shortage(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, FAILS };
	static const enum behaviour undo[N_STEPS] = { STARVES, STARVES, AT_ONCE, AT_ONCE };
	struct op *op = start(run, undo);

	(void)state;
	op->shortages = 1000;
	await_trace(op, "-b");
	task_stop_retrying(&op->task);
	end(op);
	task_stop_retrying(&op->task);
	assert_string_equal(op->err.text, "d: no");
	assert_true(op->shortages >= 1000 - 4);
	assert_string_equal(op->trace + strlen(op->trace) - 2, "-a");
	free(op);
}

static void test_steps_without_undo_are_passed_over(void **state)
{
	enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, FAILS };
	struct op *op = start_machine(&mixed, run, NULL);

	(void)state;
	end(op);
	assert_string_equal(op->trace, "+a+b+c+d-d-a");
	assert_int_equal(op->task.timeline.n_entries, 6);
	free(op);
	run[1] = FAILS;
	op = start_machine(&mixed, run, NULL);
	end(op);
	assert_string_equal(op->trace, "+a+b-a");
	free(op);
}

static void test_cancel_after_each_turn(void **state)
{
	static const enum behaviour run[N_STEPS] = { LATER, IN_LANE, INSIDE, LATER };
	static const enum behaviour undo[N_STEPS] = { IN_LANE, LATER, AT_ONCE, INSIDE };
	struct error why = ERROR_INIT;
	bool finished = false;

	(void)state;
	(void)error_set(&why, ERR_CANCELLED, "the client went away");
	for (unsigned turns = 0; !finished && turns < 100; turns++) {
		struct op *op = start(run, undo);

		for (unsigned i = 0; i < turns; i++)
			(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
		finished = op->done;
		task_cancel(&op->task, &why);
		task_cancel(&op->task, &why);
		assert_true(op->done == finished); /* never from inside */
		end(op);
		assert_int_equal(op->result, finished ? 0 : -1);
		if (!finished) {
			assert_int_equal(op->err.code, ERR_CANCELLED);
			assert_all_undone(op->trace);
		}
		free(op);
		sleep_ms(1);
	}
	assert_true(finished);
}

static void test_cancel_names_the_step(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, HANGS, AT_ONCE, AT_ONCE };
	struct op *op = start(run, NULL);
	struct error why = ERROR_INIT;
	int64_t began_us = clock_monotonic_us();

	(void)state;
	await_trace(op, "+b");
	(void)error_set(&why, ERR_CANCELLED, "the client went away");
	task_cancel(&op->task, &why);
	end(op);
	assert_string_equal(op->err.text, "b: the client went away");
	assert_string_equal(op->trace, "+a+b-b-a");
	assert_true(clock_monotonic_us() - began_us < INT64_C(1000) * 1000);
	free(op);
}

static void test_cancel_by_the_step_itself(void **state)
{
	for (size_t at = 0; at < N_STEPS; at++) {
		enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE };
		struct op *op;

		(void)state;
		run[at] = CANCELS_ITSELF;
		op = run_all(run, NULL);
		assert_int_equal(op->err.code, ERR_CANCELLED);
		assert_int_equal(strlen(op->trace), 4 * (at + 1));
		assert_all_undone(op->trace);
		free(op);
	}
}

static void test_cancel_waits_for_a_lane_job(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, HANGS_IN_LANE, AT_ONCE, AT_ONCE };
	struct op *op = start(run, NULL);
	struct error why = ERROR_INIT;
	struct lane_stats stats = { 0 };

	(void)state;
	for (unsigned i = 0; i < MANY_TURNS && stats.busy == 0; i++) {
		turn(&loop);
		lane_pool_stats(loop.lanes, &stats);
	}
	assert_int_equal(stats.busy, 1);
	(void)error_set(&why, ERR_CANCELLED, "the client went away");
	task_cancel(&op->task, &why);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	assert_false(op->done);
	assert_string_equal(op->trace, "+a+b"); /* no undo while the job works */
	(void)sem_post(&op->gate);
	end(op);
	assert_string_equal(op->err.text, "b: the client went away");
	assert_string_equal(op->trace, "+a+b-b-a");
	free(op);
}

static void test_deadline_in_each_step(void **state)
{
	(void)state;
	for (size_t at = 0; at < N_STEPS; at++) {
		enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE };
		char expected[64];
		struct op *op;

		run[at] = HANGS;
		op = start_hurried(run, NULL);
		end(op);
		assert_int_equal(op->err.code, ERR_DEADLINE);
		(void)snprintf(expected, sizeof(expected), "%c: did not finish within %d ms", (char)('a' + at), DEADLINE_MS);
		assert_string_equal(op->err.text, expected);
		assert_all_undone(op->trace);
		assert_true(op->task.timeline.total_us >= DEADLINE_MS * 1000);
		free(op);
	}
}

static void test_deadline_in_each_undo(void **state)
{
	(void)state;
	for (size_t at = 0; at < N_STEPS; at++) {
		static const enum behaviour run[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, FAILS };
		enum behaviour undo[N_STEPS] = { AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE };
		struct op *op;

		undo[at] = HANGS;
		op = start_hurried(run, undo);
		end(op);
		assert_string_equal(op->err.text, "d: no");
		assert_string_equal(op->trace, "+a+b+c+d-d-c-b-a");
		free(op);
	}
}

static void test_late_resume_is_ignored(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, HANGS, AT_ONCE, AT_ONCE };
	static const enum behaviour undo[N_STEPS] = { AT_ONCE, HANGS, AT_ONCE, AT_ONCE };
	struct op *op = start_hurried(run, undo);
	unsigned ticket;

	(void)state;
	await_trace(op, "+b");
	ticket = op->old_ticket;
	await_trace(op, "-b");
	task_resume_visit(&op->task, ticket, 0, NULL);
	assert_string_equal(op->trace, "+a+b-b"); /* the undo still waits for its own event */
	task_resume_visit(&op->task, op->old_ticket, 0, NULL);
	assert_string_equal(op->trace, "+a+b-b-a");
	assert_true(op->done);
	task_resume(&op->task, 0, NULL);
	end(op);
	task_resume(&op->task, 0, NULL); /* over, but its memory is there */
	free(op);
}

static void test_overrun_job_keeps_the_task(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, HANGS_IN_LANE, AT_ONCE, AT_ONCE };
	struct op *op = start_hurried(run, NULL);

	(void)state;
	assert_true(turn_until(&loop, &op->done, MANY_TURNS));
	assert_string_equal(op->err.text, "b: did not finish within 40 ms");
	assert_string_equal(op->trace, "+a+b-b-a");
	for (int i = 0; i < 5; i++)
		turn(&loop);
	assert_false(op->released);
	(void)sem_post(&op->gate);
	end(op);
	free(op);
}

static void test_undo_in_lane_runs_late(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, HANGS_IN_LANE, AT_ONCE, AT_ONCE };
	static const enum behaviour undo[N_STEPS] = { AT_ONCE, HANGS_IN_LANE, AT_ONCE, AT_ONCE };
	struct op *op = start_hurried(run, undo);
	struct lane_stats stats;
	int left = 0;

	(void)state;
	assert_true(turn_until(&loop, &op->done, MANY_TURNS));
	assert_string_equal(op->trace, "+a+b-b-a"); /* the undo of b missed its deadline behind the run of b */
	lane_pool_stats(loop.lanes, &stats);
	assert_int_equal(stats.queued, 1);
	assert_int_equal(stats.stuck, 1);
	(void)sem_post(&op->gate);
	(void)sem_post(&op->gate);
	end(op);
	assert_int_equal(sem_getvalue(&op->gate, &left), 0);
	assert_int_equal(left, 0); /* both ran */
	free(op);
}

static void test_timeline(void **state)
{
	static const enum behaviour run[N_STEPS] = { AT_ONCE, LATER, HANGS, AT_ONCE };
	struct op *op = start_hurried(run, NULL);
	const struct timeline *timeline = &op->task.timeline;
	static const char *const names[] = { "a", "b", "c", "undo c", "undo b", "undo a" };

	(void)state;
	end(op);
	assert_int_equal(timeline->n_entries, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct timeline_entry *entry = &timeline->entries[i];

		assert_string_equal(entry->name, names[i]);
		if (i > 0)
			assert_true(entry->start_us >= entry[-1].start_us + entry[-1].took_us);
		assert_true(timeline->total_us >= entry->start_us + entry->took_us);
	}
	assert_true(timeline->entries[2].took_us >= (DEADLINE_MS - 2) * 1000);
	assert_true(timeline->began_realtime_ns > 0);
	free(op);
}

static void test_timeline_is_bounded(void **state)
{
	struct timeline timeline = { 0 };

	(void)state;
	for (unsigned i = 0; i < TIMELINE_MAX + 5; i++)
		timeline_add(&timeline, "a name that is much too long to be kept whole", i, 1);
	assert_int_equal(timeline.n_entries, TIMELINE_MAX);
	assert_string_equal(timeline.entries[0].name, "a name that is much too lon");
	assert_int_equal(timeline.entries[TIMELINE_MAX - 1].start_us, TIMELINE_MAX - 1);
}

static void test_fault_points(void **state)
{
#ifdef MONOPOD_FAULTS
	char path[] = "/tmp/loop-fault-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(setenv("MONOPOD_FAULT_FILE", path, 1), 0);
	for (size_t at = 0; at < N_STEPS; at++) {
		char expected[64];
		struct op *op;

		(void)snprintf(expected, sizeof(expected), "letters/%c\n", (char)('a' + at));
		assert_int_equal(pwrite(fd, expected, strlen(expected), 0), strlen(expected));
		op = run_all(NULL, NULL);
		assert_int_equal(op->err.code, ERR_INTERNAL);
		(void)snprintf(expected, sizeof(expected), "%c: fault injected", (char)('a' + at));
		assert_string_equal(op->err.text, expected);
		assert_int_equal(strlen(op->trace), 2 * at + 2 * (at + 1)); /* not run, but undone */
		free(op);
	}
	(void)unsetenv("MONOPOD_FAULT_FILE");
	(void)close(fd);
	(void)unlink(path);
#else
	(void)state;
	print_message("SKIP: built without MONOPOD_FAULTS\n");
	skip();
#endif
}

static void test_machines_are_listed(void **state)
{
	static const struct machine other = MACHINE("others", patient_steps);

	(void)state;
	assert_null(machine_next(NULL));
	machine_register(&hurried);
	machine_register(&other);
	machine_register(&hurried);
	assert_ptr_equal(machine_next(NULL), &hurried);
	assert_ptr_equal(machine_next(&hurried), &other);
	assert_null(machine_next(&other));
}

static void test_many_at_once(void **state)
{
	static const enum behaviour run[N_STEPS] = { IN_LANE, LATER, IN_LANE, IN_LANE };
	struct op *ops[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = start(run, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		end(ops[i]);
		assert_string_equal(ops[i]->trace, "+a+b+c+d");
		free(ops[i]);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_all_steps),
		cmocka_unit_test(test_failure_at_each_step),
		cmocka_unit_test(test_failure_without_reason),
		cmocka_unit_test(test_failing_undo_does_not_stop_the_rest),
		cmocka_unit_test(test_undo_is_tried_again_after_a_shortage),
		cmocka_unit_test(test_a_daemon_that_ends_does_not_wait_for_a_shortage),
		cmocka_unit_test(test_steps_without_undo_are_passed_over),
		cmocka_unit_test(test_cancel_after_each_turn),
		cmocka_unit_test(test_cancel_names_the_step),
		cmocka_unit_test(test_cancel_by_the_step_itself),
		cmocka_unit_test(test_cancel_waits_for_a_lane_job),
		cmocka_unit_test(test_deadline_in_each_step),
		cmocka_unit_test(test_deadline_in_each_undo),
		cmocka_unit_test(test_late_resume_is_ignored),
		cmocka_unit_test(test_overrun_job_keeps_the_task),
		cmocka_unit_test(test_undo_in_lane_runs_late),
		cmocka_unit_test(test_timeline),
		cmocka_unit_test(test_timeline_is_bounded),
		cmocka_unit_test(test_fault_points),
		cmocka_unit_test(test_machines_are_listed),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
