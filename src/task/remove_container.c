/*
 * RemoveContainer: killed when it still runs, its cgroup and directories taken away, its record erased. It goes on when its caller
 * leaves. A container that is not known is success.
 *
 * Cgroup and directories go in the container's own lane, behind the clean-up of its exit.
 */
#include "task/remove_container.h"

#include <fcntl.h>
#include <signal.h>

#include "base/io.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "runtime/process.h"
#include "task/cleanup.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/store.h"

struct remove_container {
	struct operation op; /* first */
	struct container *container;
	struct exit_waiter waiter;
	unsigned ticket;
};

static step_fn kill_now, mark, remove_cgroups, remove_directories, erase_record;

static const struct step steps[] = {
	/* name             run                 undo  deadline_ms */
	{ "kill", kill_now, NULL, 60000 },         { "mark", mark, NULL, 5000 },
	{ "cgroup", remove_cgroups, NULL, 30000 }, { "directories", remove_directories, NULL, 120000 },
	{ "record", erase_record, NULL, 5000 },
};

const struct machine remove_container_machine = MACHINE("remove_container", steps);

static struct remove_container *remove_container_of(struct task *task)
{
	return container_of(task, struct remove_container, op.task);
}

static enum admission admit(struct operation *base, struct error *err)
{
	struct container *container = container_of(base, struct remove_container, op)->container;

	(void)err;
	if (container->state == CONTAINER_STATE_GONE)
		return ADMIT_NOTHING_TO_DO;
	container->leaving = true;
	return ADMIT_RUN;
}

/* ---- kill ---- */

static void on_exited(struct exit_waiter *waiter)
{
	struct remove_container *op = container_of(waiter, struct remove_container, waiter);

	task_resume_visit(&op->op.task, op->ticket, 0, NULL);
}

static enum verdict kill_now(struct task *task, struct error *err)
{
	struct remove_container *op = remove_container_of(task);
	struct container *container = op->container;

	if (!container_is_alive(container))
		return STEP_DONE;
	if (container->state == CONTAINER_STATE_RUNNING && container_kill(container, err) < 0)
		return STEP_FAILED;
	op->ticket = task_ticket(task);
	op->waiter.on_exited = on_exited;
	container_wait(container, &op->waiter);
	return STEP_WAIT;
}

/* ---- mark ---- */

static enum verdict mark(struct task *task, struct error *err)
{
	struct container *container = remove_container_of(task)->container;

	(void)err;
	container_set_state(container, CONTAINER_STATE_REMOVING);
	container_save_if_possible(container);
	return STEP_DONE;
}

/* ---- cgroup ---- */

static int remove_cgroup_work(struct task *task, struct error *err)
{
	const struct container *container = remove_container_of(task)->container;

	return remove_cgroup(container->node->cgroups, container->cgroup_path, err);
}

static enum verdict remove_cgroups(struct task *task, struct error *err)
{
	return task_run_in_lane(task, remove_container_of(task)->container->lane, remove_cgroup_work, err);
}

/* ---- directories ---- */

static int remove_directories_work(struct task *task, struct error *err)
{
	const struct container *container = remove_container_of(task)->container;

	if (io_remove_tree(AT_FDCWD, container->state_dir, err) < 0)
		return -1;
	return io_remove_tree(AT_FDCWD, container->root_dir, err);
}

static enum verdict remove_directories(struct task *task, struct error *err)
{
	return task_run_in_lane(task, remove_container_of(task)->container->lane, remove_directories_work, err);
}

/* ---- record ---- */

static enum verdict erase_record(struct task *task, struct error *err)
{
	struct container *container = remove_container_of(task)->container;

	if (store_erase(container->node->store, STORE_CONTAINER, container->id, err) < 0)
		return STEP_FAILED;
	container_set_state(container, CONTAINER_STATE_GONE);
	container_forget(container);
	return STEP_DONE;
}

/* ---- the operation ---- */

static void settle(struct operation *base, int result, const struct error *err)
{
	struct remove_container *op = container_of(base, struct remove_container, op);

	(void)result;
	(void)err;
	container_wait_cancel(op->container, &op->waiter);
	op->container->leaving = false;
	if (op->container->state == CONTAINER_STATE_REMOVING)
		container_set_state(op->container, CONTAINER_STATE_EXITED);
}

static void reply(struct operation *base, struct call *call)
{
	Cri__RemoveContainerResponse message = CRI__REMOVE_CONTAINER_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	container_unref(container_of(base, struct remove_container, op)->container);
}

static const struct operation_kind kind = {
	.machine = &remove_container_machine,
	.size = sizeof(struct remove_container),
	.outlives_caller = true,
	.admit = admit,
	.settle = settle,
	.reply = reply,
	.release = release,
};

static struct remove_container *make(struct container *container, struct call *call, struct error *err)
{
	struct remove_container *op = operation_new(container->node, &kind, call, err);

	if (!op)
		return NULL;
	op->container = container_ref(container);
	operation_title(&op->op, "remove container %s", container->config->metadata->name);
	return op;
}

int container_remove(struct container *container, operation_done_fn *done, void *arg, struct error *err)
{
	struct remove_container *op = make(container, NULL, err);

	if (!op)
		return -1;
	op->op.on_done = done;
	op->op.on_done_arg = arg;
	operation_begin(&op->op, &container->turns);
	return 0;
}

void op_remove_container(struct node *node, struct call *call)
{
	const Cri__RemoveContainerRequest *request = (const Cri__RemoveContainerRequest *)call->request;
	struct container *container = container_find(node, request->container_id);
	struct error err = ERROR_INIT;
	struct remove_container *op;

	if (!container) { /* the CRI wants no error */
		reply(NULL, call);
		return;
	}
	op = make(container, call, &err);
	if (op)
		operation_begin(&op->op, &container->turns);
	else
		call_fail(call, &err);
}
