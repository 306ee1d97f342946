/*
 * UpdateContainerResources: what the request names is changed, the rest stays, and all of it or nothing.
 *
 * A container that is only created remembers what it will be started with. In a running one the limits are written first; when one is
 * refused, or the record cannot be written after that, the former ones are put back. The OOM score is that of a process, given to it
 * when it starts: in a running container it stays what it was, and so does what the status says. Annotations change nothing.
 */
#include "base/mem.h"
#include "loop/lane.h"
#include "runtime/cgroup.h"
#include "task/container_spec.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"

struct update_container {
	struct operation op; /* first */
	struct container *container;
	Cri__LinuxContainerResources *request; /* ours: lane jobs may outlive the call */
	Cri__LinuxContainerResources *merged;
	bool running; /* and the cgroup is held */
	struct arena arena;
	struct cgroup_change *change;
};

static step_fn write_limits, restore_limits, publish;

static const struct step steps[] = {
	/* name       run           undo            deadline_ms */
	{ "limits", write_limits, restore_limits, 20000 },
	{ "publish", publish, NULL, 5000 },
};

const struct machine update_container_machine = MACHINE("update_container", steps);

static struct update_container *update_container_of(struct task *task)
{
	return container_of(task, struct update_container, op.task);
}

static enum admission admit(struct operation *base, struct error *err)
{
	struct update_container *op = container_of(base, struct update_container, op);
	struct container *container = op->container;

	if (container->state != CONTAINER_STATE_RUNNING && container->state != CONTAINER_STATE_CREATED) {
		(void)error_set(err, ERR_STATE, "the container is %s, neither created nor running",
				container_state_name(container->state));
		return ADMIT_REFUSED;
	}
	op->running = container->state == CONTAINER_STATE_RUNNING;
	if (op->running)
		container_hold_cgroup(container);
	if (op->running)
		op->request->oom_score_adj = 0;
	op->merged = resources_merge(container_resources_now(container), op->request, err);
	return op->merged ? ADMIT_RUN : ADMIT_REFUSED;
}

/* ---- limits ---- */

/* What is to be written: what the request names, and of memory and swap always both, since each is checked against the other. */
static int changed_resources(struct update_container *op, struct resources *ret_resources, struct error *err)
{
	const Cri__LinuxContainerResources *request = op->request, *merged = op->merged;
	bool memory = request->memory_limit_in_bytes || request->memory_swap_limit_in_bytes;

	if (container_resources(request, 0, &op->arena, ret_resources, err) < 0)
		return -1;
	ret_resources->memory_limit_bytes = memory ? merged->memory_limit_in_bytes : 0;
	ret_resources->memory_swap_limit_bytes = memory ? merged->memory_swap_limit_in_bytes : 0;
	return 0;
}

static int write_limits_work(struct task *task, struct error *err)
{
	struct update_container *op = update_container_of(task);
	struct resources resources;

	if (changed_resources(op, &resources, err) < 0)
		return -1;
	return cgroup_change(op->container->cgroup, &resources, &op->change, err);
}

static enum verdict write_limits(struct task *task, struct error *err)
{
	const struct update_container *op = update_container_of(task);

	if (!op->running)
		return STEP_DONE;
	if (op->container->cgroup)
		return task_run_in_lane(task, op->container->lane, write_limits_work, err);
	(void)error_set(err, ERR_STATE, "its cgroup is gone");
	return STEP_FAILED;
}

static int restore_limits_work(struct task *task, struct error *err)
{
	const struct update_container *op = update_container_of(task);

	(void)err;
	if (op->change)
		cgroup_change_undo(op->change);
	return 0;
}

static enum verdict restore_limits(struct task *task, struct error *err)
{
	const struct update_container *op = update_container_of(task);

	return op->running ? task_run_in_lane(task, op->container->lane, restore_limits_work, err) : STEP_DONE;
}

/* ---- publish ---- */

static enum verdict publish(struct task *task, struct error *err)
{
	struct update_container *op = update_container_of(task);
	struct container *container = op->container;
	Cri__LinuxContainerResources *former = container->resources;

	container->resources = op->merged;
	if (container_save(container, err) < 0) {
		container->resources = former;
		return STEP_FAILED;
	}
	op->merged = former; /* freed with the operation */
	return STEP_DONE;
}

/* ---- the operation ---- */

static void reply(struct operation *base, struct call *call)
{
	Cri__UpdateContainerResourcesResponse message = CRI__UPDATE_CONTAINER_RESOURCES_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	struct update_container *op = container_of(base, struct update_container, op);

	cgroup_change_free(op->change);
	arena_release(&op->arena);
	message_free(op->request);
	message_free(op->merged);
	if (op->running)
		container_drop_cgroup(op->container);
	container_unref(op->container);
}

static const struct operation_kind kind = {
	.machine = &update_container_machine,
	.size = sizeof(struct update_container),
	.admit = admit,
	.reply = reply,
	.release = release,
};

static int begin(struct container *container, const Cri__LinuxContainerResources *request, struct call *call, struct error *err)
{
	struct update_container *op = operation_new(container->node, &kind, call, err);

	if (!op)
		return -1;
	op->container = container_ref(container);
	op->request = resources_merge(NULL, request, err);
	if (!op->request) {
		operation_discard(&op->op);
		return -1;
	}
	operation_title(&op->op, "update container %s", container->config->metadata->name);
	operation_begin(&op->op, &container->turns);
	return 0;
}

void op_update_container_resources(struct node *node, struct call *call)
{
	const Cri__UpdateContainerResourcesRequest *request = (const Cri__UpdateContainerResourcesRequest *)call->request;
	struct container *container = container_find(node, request->container_id);
	struct error err = ERROR_INIT;
	int result;

	if (!container || !container_is_public(container))
		result = error_set(&err, ERR_NOT_FOUND, "there is no container %s", request->container_id);
	else
		result = begin(container, request->linux, call, &err);
	if (result < 0)
		call_fail(call, &err);
}
