/*
 * UpdatePodSandboxResources: remembers what the pod is allotted and what it costs beside its containers.
 *
 * The contract calls it after the client has changed the pod's cgroup, which is the client's: it names it as cgroup_parent and makes
 * it. So nothing is written there, as it was not when the sandbox was made. What is remembered shows in the verbose status.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"

struct update_pod {
	struct operation op; /* first */
	struct sandbox *sandbox;
	Cri__LinuxPodSandboxConfig *config; /* the new one; after the exchange the former one */
};

static step_fn publish;

static const struct step steps[] = {
	/* name        run      undo  deadline_ms */
	{ "publish", publish, NULL, 5000 },
};

const struct machine update_pod_machine = MACHINE("update_pod", steps);

/* What the request leaves out stays. */
static Cri__LinuxPodSandboxConfig *with_changes(const struct sandbox *sandbox, const Cri__UpdatePodSandboxResourcesRequest *request,
						struct error *err)
{
	static const Cri__LinuxPodSandboxConfig nothing = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	Cri__LinuxPodSandboxConfig both = sandbox->config->linux ? *sandbox->config->linux : nothing;

	if (request->overhead)
		both.overhead = request->overhead;
	if (request->resources)
		both.resources = request->resources;
	return message_copy(&both.base, err);
}

static enum admission admit(struct operation *base, struct error *err)
{
	struct update_pod *op = container_of(base, struct update_pod, op);

	if (op->sandbox->state != SANDBOX_READY) {
		(void)error_set(err, ERR_STATE, "the sandbox is %s, not ready", sandbox_state_name(op->sandbox->state));
		return ADMIT_REFUSED;
	}
	/* Somebody still waits, or it would not have got its turn. */
	op->config = with_changes(op->sandbox, (const Cri__UpdatePodSandboxResourcesRequest *)base->call->request, err);
	return op->config ? ADMIT_RUN : ADMIT_REFUSED;
}

/* ---- publish ---- */

static void exchange(struct update_pod *op)
{
	Cri__LinuxPodSandboxConfig *former = op->sandbox->config->linux;

	op->sandbox->config->linux = op->config;
	op->config = former;
}

static enum verdict publish(struct task *task, struct error *err)
{
	struct update_pod *op = container_of(task, struct update_pod, op.task);

	exchange(op);
	if (sandbox_save(op->sandbox, err) == 0)
		return STEP_DONE;
	exchange(op);
	return STEP_FAILED;
}

/* ---- the operation ---- */

static void reply(struct operation *base, struct call *call)
{
	Cri__UpdatePodSandboxResourcesResponse message = CRI__UPDATE_POD_SANDBOX_RESOURCES_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	struct update_pod *op = container_of(base, struct update_pod, op);

	message_free(op->config);
	sandbox_unref(op->sandbox);
}

static const struct operation_kind kind = {
	.machine = &update_pod_machine,
	.size = sizeof(struct update_pod),
	.admit = admit,
	.reply = reply,
	.release = release,
};

static int begin(struct sandbox *sandbox, struct call *call, struct error *err)
{
	struct update_pod *op = operation_new(sandbox->node, &kind, call, err);
	char title[SANDBOX_TITLE_SIZE];

	if (!op)
		return -1;
	op->sandbox = sandbox_ref(sandbox);
	operation_title(&op->op, "update pod %s", sandbox_title(sandbox, title));
	operation_begin(&op->op, &sandbox->turns);
	return 0;
}

void op_update_pod_sandbox_resources(struct node *node, struct call *call)
{
	const Cri__UpdatePodSandboxResourcesRequest *request = (const Cri__UpdatePodSandboxResourcesRequest *)call->request;
	struct sandbox *sandbox = sandbox_find(node, request->pod_sandbox_id);
	struct error err = ERROR_INIT;
	int result;

	if (!sandbox || !sandbox_is_public(sandbox))
		result = error_set(&err, ERR_NOT_FOUND, "there is no sandbox %s", request->pod_sandbox_id);
	else
		result = begin(sandbox, call, &err);
	if (result < 0)
		call_fail(call, &err);
}
