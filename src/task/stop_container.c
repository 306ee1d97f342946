/*
 * StopContainer: the stop signal, a grace, SIGKILL; the answer comes when the exit is published.
 *
 * The turn on the container is kept only until the signal is sent, so that a second stop with a shorter grace, or the stop of the
 * pod, need not wait for the first one's. It goes on when its caller leaves. A container that does not run is success.
 */
#include "task/stop_container.h"

#include <limits.h>
#include <signal.h>
#include <uv.h>

#include "base/mem.h"
#include "loop/loop.h"
#include "runtime/process.h"
#include "task/machines.h"
#include "task/node_impl.h"

/* Longer than any grace that makes sense, and the step's deadline, INT_MAX milliseconds, is later. */
#define MAX_GRACE_S (INT64_C(24) * 24 * 3600)

struct stop_container {
	struct operation op; /* first */
	struct container *container;
	int64_t grace_s;
	uv_timer_t timer;
	struct exit_waiter waiter;
	unsigned ticket;
};

static step_fn send_signal, await_grace, kill_now;

static const struct step steps[] = {
	/* name        run          undo  deadline_ms */
	{ "signal", send_signal, NULL, 1000 },
	{ "grace", await_grace, NULL, INT_MAX },
	{ "kill", kill_now, NULL, 60000 },
};

const struct machine stop_container_machine = MACHINE("stop_container", steps);

static struct stop_container *stop_container_of(struct task *task)
{
	return container_of(task, struct stop_container, op.task);
}

static enum admission admit(struct operation *base, struct error *err)
{
	const struct stop_container *op = container_of(base, struct stop_container, op);

	(void)err;
	return container_is_alive(op->container) ? ADMIT_RUN : ADMIT_NOTHING_TO_DO;
}

/* ---- signal ---- */

static enum verdict send_signal(struct task *task, struct error *err)
{
	struct stop_container *op = stop_container_of(task);
	const struct container *container = op->container;
	int result = 0;

	if (op->grace_s > 0 && container->state == CONTAINER_STATE_RUNNING)
		result = process_signal(container->process.pidfd, container->stop_signal, err);
	turn_give(&op->op.turn);
	return result < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- grace ---- */

static void on_exited(struct exit_waiter *waiter)
{
	struct stop_container *op = container_of(waiter, struct stop_container, waiter);

	task_resume_visit(&op->op.task, op->ticket, 0, NULL);
}

static void on_timer(uv_timer_t *timer)
{
	struct stop_container *op = timer->data;

	container_wait_cancel(op->container, &op->waiter);
	task_resume_visit(&op->op.task, op->ticket, 0, NULL);
}

static enum verdict wait_for_exit(struct stop_container *op)
{
	op->ticket = task_ticket(&op->op.task);
	op->waiter.on_exited = on_exited;
	container_wait(op->container, &op->waiter);
	return STEP_WAIT;
}

static enum verdict await_grace(struct task *task, struct error *err)
{
	struct stop_container *op = stop_container_of(task);
	int64_t grace_s = op->grace_s < MAX_GRACE_S ? op->grace_s : MAX_GRACE_S;

	(void)err;
	if (grace_s <= 0 || !container_is_alive(op->container))
		return STEP_DONE;
	(void)uv_timer_start(&op->timer, on_timer, (uint64_t)grace_s * 1000, 0);
	return wait_for_exit(op);
}

/* ---- kill ---- */

static enum verdict kill_now(struct task *task, struct error *err)
{
	struct stop_container *op = stop_container_of(task);

	if (!container_is_alive(op->container))
		return STEP_DONE;
	if (op->container->state == CONTAINER_STATE_RUNNING && container_kill(op->container, err) < 0)
		return STEP_FAILED;
	return wait_for_exit(op);
}

/* ---- the operation ---- */

static void settle(struct operation *base, int result, const struct error *err)
{
	struct stop_container *op = container_of(base, struct stop_container, op);

	(void)result;
	(void)err;
	(void)uv_timer_stop(&op->timer);
	container_wait_cancel(op->container, &op->waiter);
}

static void reply(struct operation *base, struct call *call)
{
	Cri__StopContainerResponse message = CRI__STOP_CONTAINER_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void on_timer_closed(uv_handle_t *timer)
{
	struct stop_container *op = timer->data;

	operation_drop(&op->op);
}

/* The timer is closed with the end of the operation, whatever its end. */
static void ended(struct operation *base)
{
	struct stop_container *op = container_of(base, struct stop_container, op);

	uv_close((uv_handle_t *)&op->timer, on_timer_closed);
}

static void release(struct operation *base)
{
	container_unref(container_of(base, struct stop_container, op)->container);
}

static const struct operation_kind kind = {
	.machine = &stop_container_machine,
	.size = sizeof(struct stop_container),
	.outlives_caller = true,
	.admit = admit,
	.settle = settle,
	.reply = reply,
	.ended = ended,
	.release = release,
};

static struct stop_container *make(struct container *container, int64_t grace_s, struct call *call, struct error *err)
{
	struct stop_container *op = operation_new(container->node, &kind, call, err);

	if (!op)
		return NULL;
	op->container = container_ref(container);
	op->grace_s = grace_s;
	(void)uv_timer_init(&container->node->loop->uv, &op->timer);
	op->timer.data = op;
	operation_hold(&op->op);
	operation_title(&op->op, "stop container %s", container->config->metadata->name);
	return op;
}

int container_stop(struct container *container, int64_t grace_s, operation_done_fn *done, void *arg, struct error *err)
{
	struct stop_container *op = make(container, grace_s, NULL, err);

	if (!op)
		return -1;
	op->op.on_done = done;
	op->op.on_done_arg = arg;
	operation_begin(&op->op, &container->turns);
	return 0;
}

void op_stop_container(struct node *node, struct call *call)
{
	const Cri__StopContainerRequest *request = (const Cri__StopContainerRequest *)call->request;
	struct container *container = container_find(node, request->container_id);
	struct error err = ERROR_INIT;
	struct stop_container *op;

	if (!container) { /* removed already: the CRI wants no error */
		reply(NULL, call);
		return;
	}
	op = make(container, request->timeout, call, &err);
	if (op)
		operation_begin(&op->op, &container->turns);
	else
		call_fail(call, &err);
}
