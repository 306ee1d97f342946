#include "loop/task.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"

/*
 * A task walks up its table in RUNNING and, once a step has failed, from that step down again in UNDOING. Each call of a run or undo
 * function is a visit. The happy path: task_start() sets a timer of 0 ms, on_timer() begins, walk() makes one visit() after another
 * until a step waits and the stack unwinds to the loop; task_resume() settles that visit and walks on; finish() reports, and the
 * last close callback frees the engine and releases the task.
 *
 * A failure, a deadline and a cancellation are results with which a visit is settled; nothing else turns the walk around. Visits
 * are numbered by `ticket`: what comes in for one that is over bears an old number and is ignored.
 *
 * An undo that is tried again pauses between two visits.
 *
 *     STARTING --next turn--> RUNNING --last step done-----------------> OVER
 *         |                      `--failed--> UNDOING --first step----> OVER
 *         `--cancelled---------------------------------------------> OVER
 */
enum phase { STARTING, RUNNING, UNDOING, OVER };

struct engine {
	struct task *task;
	uv_timer_t timer; /* the start, a cancellation, or the deadline of the visit unless a lane keeps that */
	enum phase phase;
	size_t at; /* index of the step */
	unsigned ticket;
	bool visiting; /* the visit has not been settled */
	bool calling;  /* its function is on the stack */
	bool answered; /* task_resume() has come for it, with `answer` and, when that is < 0, `answer_err` */
	bool cancelled;
	bool pausing; /* before the undo of this step is tried again */
	bool no_more_tries;
	int answer;
	struct error answer_err;
	struct error failure;   /* of the task; while it has not failed yet: why it is cancelled */
	struct lane_work *work; /* of this visit, not done yet */
	unsigned holders;       /* the timer, and every lane job not released */
	int64_t began_us, visit_began_us;
	int64_t first_try_us; /* of the undo that is tried again; 0: of none */
};

struct lane_work {
	struct job job;
	struct lane *lane;
	struct engine *engine;
	int (*work)(struct task *task, struct error *err);
};

static void on_timer(uv_timer_t *timer);

static const struct step *step_of(const struct engine *e)
{
	return &e->task->machine->steps[e->at];
}

static uint32_t us_between(int64_t from_us, int64_t to_us)
{
	return to_us - from_us < UINT32_MAX ? (uint32_t)(to_us - from_us) : UINT32_MAX;
}

static uint32_t us_since(int64_t began_us)
{
	return us_between(began_us, clock_monotonic_us());
}

/* ---- the end ---- */

static void unhold(struct engine *e)
{
	struct task *task = e->task;

	if (--e->holders > 0)
		return;
	free(e);
	if (task->on_release)
		task->on_release(task);
}

static void on_closed(uv_handle_t *timer)
{
	unhold(timer->data);
}

static void finish(struct engine *e)
{
	struct task *task = e->task;

	task->internal = NULL;
	task->timeline.total_us = us_since(e->began_us);
	task->on_done(task, e->failure.code == ERR_NONE ? 0 : -1, &e->failure);
	uv_close((uv_handle_t *)&e->timer, on_closed);
}

/* ---- one visit ---- */

static void set_timer(struct engine *e, unsigned wait_ms)
{
	uv_update_time(&e->task->loop->uv);
	(void)uv_timer_start(&e->timer, on_timer, wait_ms, 0);
}

static void fail(struct engine *e, const struct error *err)
{
	e->failure = *err;
	if (e->failure.code == ERR_NONE)
		(void)error_set(&e->failure, ERR_INTERNAL, "failed without a reason");
	(void)error_prefix(&e->failure, "%s", step_of(e)->name);
	e->phase = UNDOING; /* this step first: it may be half done */
}

static void step_up(struct engine *e, int result, const struct error *err)
{
	if (e->cancelled)
		fail(e, &e->failure);
	else if (result < 0)
		fail(e, err);
	else if (++e->at == e->task->machine->n_steps)
		e->phase = OVER;
}

/* Of what others may give back in a moment. A full disk is none of these: whoever waits here may be the one who is to empty it. */
static bool is_shortage(const struct error *err)
{
	return err->sys_errno == EMFILE || err->sys_errno == ENFILE || err->sys_errno == ENOMEM || err->sys_errno == ENOBUFS;
}

static bool try_again(struct engine *e, const struct error *err)
{
	bool first = e->first_try_us == 0;

	if (e->no_more_tries || !is_shortage(err))
		return false;
	if (first)
		e->first_try_us = e->visit_began_us;
	if (e->visit_began_us - e->first_try_us > INT64_C(1000) * TASK_UNDO_PATIENCE_MS)
		return false;
	if (first)
		log_warn("task", "%s: undo %s: %s; trying again", e->task->machine->name, step_of(e)->name, err->text);
	return true;
}

static void step_down(struct engine *e, int result, const struct error *err)
{
	e->pausing = result < 0 && try_again(e, err);
	if (e->pausing)
		return;
	e->first_try_us = 0;
	if (result < 0)
		log_warn("task", "%s: undo %s: %s", e->task->machine->name, step_of(e)->name, err->text);
	if (e->at-- == 0)
		e->phase = OVER;
}

static void record_visit(struct engine *e)
{
	char name[sizeof(e->task->timeline.entries[0].name)];

	(void)snprintf(name, sizeof(name), "%s%s", e->phase == UNDOING ? "undo " : "", step_of(e)->name);
	timeline_add(&e->task->timeline, name, us_between(e->began_us, e->visit_began_us), us_since(e->visit_began_us));
}

/* The visit is over, with this result. */
static void settle(struct engine *e, int result, const struct error *err)
{
	(void)uv_timer_stop(&e->timer);
	e->visiting = false;
	e->work = NULL;
	record_visit(e);
	if (e->phase == RUNNING)
		step_up(e, result, err);
	else
		step_down(e, result, err);
}

static enum verdict call_step(struct engine *e, step_fn *function, struct error *err)
{
	enum verdict verdict;

	if (e->phase == RUNNING && fault_here(e->task->machine->name, step_of(e)->name)) {
		(void)error_set(err, ERR_INTERNAL, "fault injected");
		return STEP_FAILED;
	}
	e->calling = true;
	verdict = function(e->task, err);
	e->calling = false;
	return verdict;
}

/* True when it waits. */
static bool visit(struct engine *e, step_fn *function)
{
	struct error err = ERROR_INIT;
	enum verdict verdict;

	e->ticket++;
	e->visiting = true;
	e->answered = false;
	e->visit_began_us = clock_monotonic_us();
	assert(step_of(e)->deadline_ms > 0);
	set_timer(e, step_of(e)->deadline_ms + 1); /* libuv counts whole milliseconds: never early */
	verdict = call_step(e, function, &err);
	if (verdict == STEP_WAIT && !e->answered)
		return true;
	if (verdict == STEP_WAIT)
		settle(e, e->answer, &e->answer_err);
	else
		settle(e, verdict == STEP_DONE ? 0 : -1, &err);
	return false;
}

/* Visits steps until one waits or none is left. */
static void walk(struct engine *e)
{
	while (e->phase != OVER) {
		if (e->pausing) {
			set_timer(e, TASK_UNDO_RETRY_MS);
			return;
		}
		step_fn *function = e->phase == RUNNING ? step_of(e)->run : step_of(e)->undo;

		if (!function)
			step_down(e, 0, NULL);
		else if (visit(e, function))
			return;
	}
	finish(e);
}

/* ---- what comes from outside ---- */

static void begin(struct engine *e)
{
	e->phase = e->cancelled ? OVER : RUNNING;
	walk(e);
}

static void on_timer(uv_timer_t *timer)
{
	struct engine *e = timer->data;
	struct error err = ERROR_INIT;

	if (e->phase == STARTING) {
		begin(e);
		return;
	}
	if (e->pausing) {
		e->pausing = false;
		walk(e);
		return;
	}
	(void)error_set(&err, ERR_DEADLINE, "did not finish within %u ms", step_of(e)->deadline_ms);
	settle(e, -1, &err);
	walk(e);
}

unsigned task_ticket(const struct task *task)
{
	const struct engine *e = task->internal;

	return e ? e->ticket : 0;
}

void task_resume_visit(struct task *task, unsigned ticket, int result, const struct error *err)
{
	struct engine *e = task->internal;

	if (!e || !e->visiting || ticket != e->ticket || e->answered)
		return;
	e->answer = result;
	if (result < 0)
		e->answer_err = *err;
	e->answered = true;
	if (e->calling)
		return; /* visit() goes on when the step has returned */
	settle(e, result, &e->answer_err);
	walk(e);
}

void task_resume(struct task *task, int result, const struct error *err)
{
	task_resume_visit(task, task_ticket(task), result, err);
}

void task_stop_retrying(struct task *task)
{
	struct engine *e = task->internal;

	if (!e)
		return;
	e->no_more_tries = true;
	if (e->pausing)
		set_timer(e, 0);
}

bool task_is_failing(const struct task *task)
{
	const struct engine *e = task->internal;

	return e && (e->cancelled || e->phase == UNDOING);
}

void task_cancel(struct task *task, const struct error *why)
{
	struct engine *e = task->internal;

	if (!e || e->cancelled || e->phase == UNDOING || e->phase == OVER)
		return;
	assert(why->code != ERR_NONE);
	e->cancelled = true;
	e->failure = *why;
	if (e->work)
		lane_cancel(e->work->lane, &e->work->job); /* its done() comes in any case */
	else if (e->visiting)
		set_timer(e, 0);
}

int task_start(struct task *task, struct loop *loop, const struct machine *machine, task_done_cb *on_done,
	       task_release_cb *on_release, struct error *err)
{
	struct engine *e = calloc(1, sizeof(*e));

	assert(machine->n_steps > 0);
	if (!e)
		return error_sys(err, ENOMEM, "start %s", machine->name);
	e->task = task;
	e->holders = 1;
	e->began_us = clock_monotonic_us();
	(void)uv_timer_init(&loop->uv, &e->timer);
	e->timer.data = e;
	task->loop = loop;
	task->machine = machine;
	task->on_done = on_done;
	task->on_release = on_release;
	task->timeline = (struct timeline){ .began_realtime_ns = clock_realtime_ns() };
	task->internal = e;
	set_timer(e, 0);
	return 0;
}

/* ---- work in a lane ---- */

static int on_work(struct job *job, struct error *err)
{
	struct lane_work *work = container_of(job, struct lane_work, job);

	return work->work(work->engine->task, err);
}

static void on_work_done(struct job *job, int result, const struct error *err)
{
	const struct lane_work *work = container_of(job, struct lane_work, job);

	if (work->engine->work == work)
		task_resume(work->engine->task, result, err);
}

static void on_work_released(struct job *job)
{
	struct lane_work *work = container_of(job, struct lane_work, job);
	struct engine *e = work->engine;

	free(work);
	unhold(e);
}

/* What is left of the visit's deadline; at least a millisecond, so that the lane gives its own account of a late one. */
static unsigned ms_left(const struct engine *e)
{
	uint32_t gone_ms = us_since(e->visit_began_us) / 1000;
	unsigned deadline_ms = step_of(e)->deadline_ms;

	return gone_ms < deadline_ms ? deadline_ms - gone_ms : 1;
}

enum verdict task_run_in_lane(struct task *task, struct lane *lane, int (*work)(struct task *task, struct error *err),
			      struct error *err)
{
	struct engine *e = task->internal;
	struct lane_work *item = calloc(1, sizeof(*item));

	assert(e->visiting && !e->work);
	if (!item) {
		(void)error_sys(err, ENOMEM, "queue in a lane");
		return STEP_FAILED;
	}
	*item = (struct lane_work){ .lane = lane, .engine = e, .work = work };
	item->job = (struct job){
		.name = step_of(e)->name,
		.work = on_work,
		.done = on_work_done,
		.release = on_work_released,
		.deadline_ms = ms_left(e),
		.must_run = e->phase == UNDOING,
	};
	if (lane_submit(lane, &item->job, err) < 0) {
		free(item);
		return STEP_FAILED;
	}
	e->work = item;
	e->holders++;
	(void)uv_timer_stop(&e->timer); /* the lane keeps the deadline and says what held the job up */
	return STEP_WAIT;
}
