/*
 * ReopenContainerLog: after a rotation, entries go to a new file at the old path. The file is opened behind the writes that are on
 * their way, and only a file that could be opened replaces the old one. A container that does not run is an error, and then nothing
 * is created.
 */
#include "base/mem.h"
#include "task/logs.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/operation.h"

struct reopen_log {
	struct operation op; /* first */
	struct container *container;
	int fd;
};

static step_fn open_file, switch_file;

static const struct step steps[] = {
	/* name       run          undo  deadline_ms */
	{ "open", open_file, NULL, 30000 },
	{ "switch", switch_file, NULL, 1000 },
};

const struct machine reopen_log_machine = MACHINE("reopen_log", steps);

static struct reopen_log *reopen_log_of(struct task *task)
{
	return container_of(task, struct reopen_log, op.task);
}

static enum admission admit(struct operation *base, struct error *err)
{
	const struct container *container = container_of(base, struct reopen_log, op)->container;

	if (container->state == CONTAINER_STATE_RUNNING)
		return container->log_path ? ADMIT_RUN : ADMIT_NOTHING_TO_DO;
	(void)error_set(err, ERR_STATE, "the container is %s, not running", container_state_name(container->state));
	return ADMIT_REFUSED;
}

static int open_file_work(struct task *task, struct error *err)
{
	struct reopen_log *op = reopen_log_of(task);

	op->fd = log_file_open(op->container->log_path, err);
	return op->fd < 0 ? -1 : 0;
}

static enum verdict open_file(struct task *task, struct error *err)
{
	return task_run_in_lane(task, reopen_log_of(task)->container->lane, open_file_work, err);
}

static enum verdict switch_file(struct task *task, struct error *err)
{
	struct reopen_log *op = reopen_log_of(task);

	if (!op->container->log) {
		(void)error_set(err, ERR_STATE, "the container has ended");
		return STEP_FAILED;
	}
	log_pump_set_file(op->container->log, steal_fd(&op->fd));
	return STEP_DONE;
}

static void reply(struct operation *base, struct call *call)
{
	Cri__ReopenContainerLogResponse message = CRI__REOPEN_CONTAINER_LOG_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	struct reopen_log *op = container_of(base, struct reopen_log, op);

	close_fd(&op->fd);
	container_unref(op->container);
}

static const struct operation_kind kind = {
	.machine = &reopen_log_machine,
	.size = sizeof(struct reopen_log),
	.admit = admit,
	.reply = reply,
	.release = release,
};

void op_reopen_container_log(struct node *node, struct call *call)
{
	const Cri__ReopenContainerLogRequest *request = (const Cri__ReopenContainerLogRequest *)call->request;
	struct container *container = container_find(node, request->container_id);
	struct error err = ERROR_INIT;
	struct reopen_log *op = NULL;

	if (container && container_is_public(container))
		op = operation_new(node, &kind, call, &err);
	else
		(void)error_set(&err, ERR_NOT_FOUND, "there is no container %s", request->container_id);
	if (!op) {
		call_fail(call, &err);
		return;
	}
	op->fd = -1;
	op->container = container_ref(container);
	operation_title(&op->op, "reopen log of container %s", container->config->metadata->name);
	operation_begin(&op->op, &container->turns);
}
