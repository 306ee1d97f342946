/*
 * RemovePodSandbox: stopped when it was not, every container removed, the cgroups and the directory that we made taken away, the
 * record erased. It goes on when its caller leaves. A sandbox that is not known is success.
 */
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "runtime/cgroup.h"
#include "task/cleanup.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/remove_container.h"
#include "task/stop_pod.h"
#include "task/store.h"

struct remove_pod {
	struct operation op; /* first */
	struct sandbox *sandbox;
	struct gather gather;
};

static step_fn stop, remove_containers, mark, remove_directory, prune_cgroup, erase_record;

static const struct step steps[] = {
	/* name            run                undo  deadline_ms */
	{ "stop", stop, NULL, 240000 },
	{ "containers", remove_containers, NULL, 240000 },
	{ "mark", mark, NULL, 5000 },
	{ "directory", remove_directory, NULL, 30000 },
	{ "cgroup", prune_cgroup, NULL, 30000 },
	{ "record", erase_record, NULL, 5000 },
};

const struct machine remove_pod_machine = MACHINE("remove_pod", steps);

static struct remove_pod *remove_pod_of(struct task *task)
{
	return container_of(task, struct remove_pod, op.task);
}

static enum admission admit(struct operation *base, struct error *err)
{
	struct sandbox *sandbox = container_of(base, struct remove_pod, op)->sandbox;

	(void)err;
	if (sandbox->state == SANDBOX_GONE)
		return ADMIT_NOTHING_TO_DO;
	sandbox->leaving = true;
	return ADMIT_RUN;
}

/* ---- stop ---- */

static enum verdict stop(struct task *task, struct error *err)
{
	struct remove_pod *op = remove_pod_of(task);
	struct error refused = ERROR_INIT;

	gather_begin(&op->gather, &op->op);
	gather_expect(&op->gather);
	if (sandbox_stop(op->sandbox, gather_one, &op->gather, &refused) < 0)
		gather_one(&op->gather, -1, &refused);
	return gather_end(&op->gather, err);
}

/* ---- containers ---- */

static enum verdict remove_containers(struct task *task, struct error *err)
{
	struct remove_pod *op = remove_pod_of(task);
	struct container *container, *next;

	gather_begin(&op->gather, &op->op);
	DL_FOREACH_SAFE (op->sandbox->containers, container, next) {
		struct error refused = ERROR_INIT;

		gather_expect(&op->gather);
		if (container_remove(container, gather_one, &op->gather, &refused) < 0)
			gather_one(&op->gather, -1, &refused);
	}
	return gather_end(&op->gather, err);
}

/* ---- mark ---- */

static enum verdict mark(struct task *task, struct error *err)
{
	struct sandbox *sandbox = remove_pod_of(task)->sandbox;

	(void)err;
	sandbox_set_state(sandbox, SANDBOX_REMOVING);
	sandbox_save_if_possible(sandbox, sandbox->state);
	return STEP_DONE;
}

/* ---- directory: the stop took it; this is for what a former daemon left ---- */

static int remove_directory_work(struct task *task, struct error *err)
{
	return remove_pod_dir(remove_pod_of(task)->sandbox->dir, err);
}

static enum verdict remove_directory(struct task *task, struct error *err)
{
	return task_run_in_lane(task, remove_pod_of(task)->sandbox->lane, remove_directory_work, err);
}

/* ---- cgroup ---- */

/* The pod's own group went with its init; the parents go as far as containers' groups made them and nobody else is below. */
static int prune_cgroup_work(struct task *task, struct error *err)
{
	const struct sandbox *sandbox = remove_pod_of(task)->sandbox;

	(void)err;
	cgroup_prune(sandbox->node->cgroups, sandbox->cgroup_path, NULL);
	return 0;
}

static enum verdict prune_cgroup(struct task *task, struct error *err)
{
	return task_run_in_lane(task, remove_pod_of(task)->sandbox->lane, prune_cgroup_work, err);
}

/* ---- record ---- */

static enum verdict erase_record(struct task *task, struct error *err)
{
	struct sandbox *sandbox = remove_pod_of(task)->sandbox;

	if (store_erase(sandbox->node->store, STORE_SANDBOX, sandbox->id, err) < 0)
		return STEP_FAILED;
	sandbox_set_state(sandbox, SANDBOX_GONE);
	sandbox_forget(sandbox);
	return STEP_DONE;
}

/* ---- the operation ---- */

static void settle(struct operation *base, int result, const struct error *err)
{
	struct sandbox *sandbox = container_of(base, struct remove_pod, op)->sandbox;

	(void)result;
	(void)err;
	sandbox->leaving = false;
	if (sandbox->state == SANDBOX_REMOVING)
		sandbox_set_state(sandbox, SANDBOX_NOTREADY);
}

static void reply(struct operation *base, struct call *call)
{
	Cri__RemovePodSandboxResponse message = CRI__REMOVE_POD_SANDBOX_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	sandbox_unref(container_of(base, struct remove_pod, op)->sandbox);
}

static const struct operation_kind kind = {
	.machine = &remove_pod_machine,
	.size = sizeof(struct remove_pod),
	.outlives_caller = true,
	.admit = admit,
	.settle = settle,
	.reply = reply,
	.release = release,
};

void op_remove_pod_sandbox(struct node *node, struct call *call)
{
	const Cri__RemovePodSandboxRequest *request = (const Cri__RemovePodSandboxRequest *)call->request;
	struct sandbox *sandbox = sandbox_find(node, request->pod_sandbox_id);
	char title[SANDBOX_TITLE_SIZE];
	struct error err = ERROR_INIT;
	struct remove_pod *op;

	if (!sandbox) { /* the CRI wants no error */
		reply(NULL, call);
		return;
	}
	op = operation_new(node, &kind, call, &err);
	if (!op) {
		call_fail(call, &err);
		return;
	}
	op->sandbox = sandbox_ref(sandbox);
	operation_title(&op->op, "remove pod %s", sandbox_title(sandbox, title));
	operation_begin(&op->op, &sandbox->turns);
}
