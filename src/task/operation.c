#include "task/operation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "task/node_impl.h"

static void on_call_cancelled(struct call *call, const struct error *why);

void *operation_new(struct node *node, const struct operation_kind *kind, struct call *call, struct error *err)
{
	struct operation *op;

	if (node->closing && !kind->outlives_node_close) {
		(void)error_set(err, ERR_UNAVAILABLE, "the daemon is shutting down");
		return NULL;
	}
	op = calloc(1, kind->size);
	if (!op) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
		return NULL;
	}
	op->kind = kind;
	op->node = node;
	op->call = call;
	op->holds = 1;
	if (call) {
		call->op = op;
		call->on_cancel = on_call_cancelled;
	}
	DL_APPEND(node->operations, op);
	return op;
}

void operation_title(struct operation *op, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(op->title, sizeof(op->title), fmt, args);
	va_end(args);
}

void operation_hold(struct operation *op)
{
	op->holds++;
}

void operation_drop(struct operation *op)
{
	struct node *node = op->node;

	if (--op->holds > 0)
		return;
	if (op->kind->release)
		op->kind->release(op);
	DL_DELETE(node->operations, op);
	free(op);
	node_advance_close(node);
}

struct call *operation_take_call(struct operation *op)
{
	struct call *call = op->call;

	if (call) {
		call->on_cancel = NULL;
		call->op = NULL;
	}
	op->call = NULL;
	return call;
}

void operation_discard(struct operation *op)
{
	(void)operation_take_call(op);
	op->ended = true;
	if (op->kind->ended)
		op->kind->ended(op);
	operation_drop(op);
}

static void answer_call(struct operation *op, int result, const struct error *err)
{
	struct call *call = operation_take_call(op);

	if (!call)
		return;
	if (result < 0)
		call_fail(call, err);
	else
		op->kind->reply(op, call);
}

/* Answers everybody once and lets the next operation have the object. */
static void end(struct operation *op, int result, const struct error *err)
{
	struct error titled = ERROR_INIT;

	if (result < 0) {
		titled = *err;
		if (op->title[0])
			(void)error_prefix(&titled, "%s", op->title);
	}
	op->ended = true;
	answer_call(op, result, &titled);
	if (op->on_done)
		op->on_done(op->on_done_arg, result, &titled);
	turn_give(&op->turn);
	if (op->kind->ended)
		op->kind->ended(op);
}

static void on_task_done(struct task *task, int result, const struct error *err)
{
	struct operation *op = container_of(task, struct operation, task);

	if (op->kind->settle)
		op->kind->settle(op, result, err);
	end(op, result, err);
}

static void on_task_release(struct task *task)
{
	operation_drop(container_of(task, struct operation, task));
}

static void finish_without_steps(struct operation *op, int result, const struct error *err)
{
	end(op, result, err);
	operation_drop(op);
}

static void start(struct operation *op)
{
	struct error err = ERROR_INIT;
	enum admission admission = op->kind->admit ? op->kind->admit(op, &err) : ADMIT_RUN;

	if (admission != ADMIT_RUN) {
		finish_without_steps(op, admission == ADMIT_REFUSED ? -1 : 0, &err);
		return;
	}
	op->started = true;
	if (task_start(&op->task, op->node->loop, op->kind->machine, on_task_done, on_task_release, &err) < 0) {
		if (op->kind->settle)
			op->kind->settle(op, -1, &err);
		finish_without_steps(op, -1, &err);
	}
}

static void on_turn(struct turn *turn)
{
	start(container_of(turn, struct operation, turn));
}

void operation_begin(struct operation *op, struct turn_queue *queue)
{
	if (!queue || turn_take(queue, &op->turn, on_turn))
		start(op);
}

void operation_cancel(struct operation *op, const struct error *why)
{
	if (op->ended)
		return;
	if (!op->started) {
		finish_without_steps(op, -1, why);
		return;
	}
	if (op->kind->interrupt)
		op->kind->interrupt(op);
	task_cancel(&op->task, why);
}

/* An operation that waits for its turn ends at once, and may free others that only it kept alive: begin again after each. */
static struct operation *next_to_cancel(const struct node *node)
{
	struct operation *op;

	DL_FOREACH (node->operations, op)
		if (!op->ended && !op->closing && !op->kind->outlives_node_close)
			return op;
	return NULL;
}

void operations_cancel_all(struct node *node, const struct error *why)
{
	struct operation *op;

	while ((op = next_to_cancel(node))) {
		op->closing = true;
		task_stop_retrying(&op->task);
		operation_cancel(op, why);
	}
}

static void on_call_cancelled(struct call *call, const struct error *why)
{
	struct operation *op = call->op;

	if (op->started && op->kind->outlives_caller)
		answer_call(op, -1, why);
	else
		operation_cancel(op, why);
}

void gather_begin(struct gather *gather, struct operation *op)
{
	*gather = (struct gather){ .op = op, .ticket = task_ticket(&op->task), .pending = 1 };
	operation_hold(op);
}

void gather_expect(struct gather *gather)
{
	gather->pending++;
}

void gather_one(void *arg, int result, const struct error *err)
{
	struct gather *gather = arg;
	struct operation *op = gather->op;

	if (result < 0 && !gather->failed) {
		gather->failed = true;
		gather->err = *err;
	}
	if (--gather->pending > 0)
		return;
	task_resume_visit(&op->task, gather->ticket, gather->failed ? -1 : 0, &gather->err);
	operation_drop(op);
}

enum verdict gather_end(struct gather *gather, struct error *err)
{
	bool failed = gather->failed;

	if (--gather->pending > 0)
		return STEP_WAIT;
	if (failed)
		*err = gather->err;
	operation_drop(gather->op);
	return failed ? STEP_FAILED : STEP_DONE;
}
