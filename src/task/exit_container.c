/*
 * The end of a container: processes that it left in a shared PID namespace are killed, the rest of its log is written, the cgroup is
 * asked whether the OOM killer was it; then the exit is published, and only then the cgroup is removed and poststop hooks run, which
 * costs the waiting client nothing (limits.md lesson 17).
 *
 * Nothing here may keep an exit from being published: a step that fails or hangs past its deadline is logged, and the end comes
 * without it.
 */
#include "task/exit_container.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "runtime/cgroup.h"
#include "task/cleanup.h"
#include "task/container_hooks.h"
#include "task/logs.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* Whoever inherited the log and is not in the container (a descriptor sent elsewhere) may hold it open for ever; what the container
 * wrote is in the pipe when it has ended, so a fraction of this is enough. */
#define LOG_GRACE_MS 1000

struct exit_op {
	struct operation op; /* first */
	struct container *container;
	unsigned ticket;
	bool oom_killed;
};

static step_fn kill_leftovers, drain_log, ask_oom, publish, clean_up;

static const struct step steps[] = {
	/* name           run             undo  deadline_ms */
	{ "leftovers", kill_leftovers, NULL, 10000 }, { "log", drain_log, NULL, 35000 },    { "oom", ask_oom, NULL, 10000 },
	{ "publish", publish, NULL, 5000 },           { "cleanup", clean_up, NULL, 60000 },
};

const struct machine exit_container_machine = MACHINE("exit_container", steps);

static struct exit_op *exit_op_of(struct task *task)
{
	return container_of(task, struct exit_op, op.task);
}

/* ---- leftovers ---- */

static int kill_leftovers_work(struct task *task, struct error *err)
{
	const struct container *container = exit_op_of(task)->container;

	if (cgroup_kill(container->node->cgroups, container->cgroup_path, err) < 0)
		log_warn("task", "container %.12s: kill what is left: %s", container->id, err->text);
	return 0;
}

static enum verdict kill_leftovers(struct task *task, struct error *err)
{
	const struct container *container = exit_op_of(task)->container;

	if (container->own_pid_ns)
		return STEP_DONE; /* the kernel did it with the namespace's init */
	return task_run_in_lane(task, container->lane, kill_leftovers_work, err);
}

/* ---- log ---- */

static void on_log_finished(void *arg)
{
	struct exit_op *op = arg;

	op->op.node->pumps--;
	task_resume_visit(&op->op.task, op->ticket, 0, NULL);
	operation_drop(&op->op);
}

static enum verdict drain_log(struct task *task, struct error *err)
{
	struct exit_op *op = exit_op_of(task);
	struct log_pump *log = steal_ptr(&op->container->log);

	(void)err;
	if (!log)
		return STEP_DONE;
	op->ticket = task_ticket(task);
	operation_hold(&op->op);
	op->op.node->pumps++;
	log_pump_finish(log, LOG_GRACE_MS, on_log_finished, op);
	return STEP_WAIT;
}

/* ---- oom ---- */

/* 128 + SIGKILL: what a shell exits with when its last command was killed. */
#define KILLED_CODE 137

bool exit_was_oom(const struct container *container, const struct cgroup *cgroup)
{
	const struct exit_status *status = &container->exit_status;

	if (!status->known)
		return cgroup_oom_killed_all(cgroup);
	if (container->killed || status->code != KILLED_CODE)
		return false;
	return cgroup_oom_kills(cgroup) > container->oom_kills_inside;
}

static int ask_oom_work(struct task *task, struct error *err)
{
	struct exit_op *op = exit_op_of(task);

	(void)err;
	op->oom_killed = exit_was_oom(op->container, op->container->cgroup);
	return 0;
}

static enum verdict ask_oom(struct task *task, struct error *err)
{
	struct exit_op *op = exit_op_of(task);

	if (!op->container->cgroup)
		return STEP_DONE;
	return task_run_in_lane(task, op->container->lane, ask_oom_work, err);
}

/* ---- publish ---- */

static void publish_exit(struct container *container, bool oom_killed)
{
	const struct exit_status *status = &container->exit_status;

	if (oom_killed)
		container_finish(container, KILLED_CODE, "OOMKilled", NULL);
	else if (!status->known)
		container_finish(container, 255, "Unknown", "it ended while nobody could learn its exit status");
	else
		container_finish(container, status->code, status->code == 0 ? "Completed" : "Error", NULL);
}

static enum verdict publish(struct task *task, struct error *err)
{
	const struct exit_op *op = exit_op_of(task);

	(void)err;
	publish_exit(op->container, op->oom_killed);
	return STEP_DONE;
}

/* ---- cleanup ---- */

static int clean_up_work(struct task *task, struct error *err)
{
	const struct container *container = exit_op_of(task)->container;

	int result = remove_cgroup(container->node->cgroups, container->cgroup_path, err);

	container_run_poststop(container);
	return result;
}

static enum verdict clean_up(struct task *task, struct error *err)
{
	return task_run_in_lane(task, exit_op_of(task)->container->lane, clean_up_work, err);
}

/* ---- the operation ---- */

static void settle(struct operation *base, int result, const struct error *err)
{
	const struct exit_op *op = container_of(base, struct exit_op, op);
	struct container *container = op->container;

	if (result < 0)
		log_warn("task", "container %.12s: its end: %s", container->id, err->text);
	if (container->log)
		container_drop_log(container, steal_ptr(&container->log));
	if (container->state == CONTAINER_STATE_EXITING)
		publish_exit(container, op->oom_killed);
}

static void release(struct operation *base)
{
	struct container *container = container_of(base, struct exit_op, op)->container;

	container_drop_cgroup(container);
	container_unref(container);
}

static const struct operation_kind kind = {
	.machine = &exit_container_machine,
	.size = sizeof(struct exit_op),
	.outlives_node_close = true,
	.settle = settle,
	.release = release,
};

void exit_container(struct container *container)
{
	struct error err = ERROR_INIT;
	struct exit_op *op = operation_new(container->node, &kind, NULL, &err);

	if (!op) {
		log_error("task", "container %.12s: its end: %s", container->id, err.text);
		publish_exit(container, false);
		return;
	}
	op->container = container_ref(container);
	operation_title(&op->op, "end of container %.12s", container->id);
	operation_begin(&op->op, NULL);
}
