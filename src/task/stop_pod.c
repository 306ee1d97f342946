/*
 * StopPodSandbox: every container is killed, then the init; then the network, the namespaces and the files are given back, and the
 * sandbox is NOTREADY and released.
 *
 * Every step accepts that its work is done already, so a stop that failed half way is simply stopped again. It goes on when its
 * caller leaves. A sandbox that is not known, or released, is success.
 */
#include "task/stop_pod.h"

#include <limits.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "net/net.h"
#include "runtime/cgroup.h"
#include "task/cleanup.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/path.h"
#include "task/sandbox_spec.h"
#include "task/stop_container.h"

struct stop_pod {
	struct operation op; /* first */
	struct sandbox *sandbox;
	struct gather gather;
	struct process init;
	struct pod_namespaces ns;
};

static step_fn mark, stop_containers, end_init, detach_network, remove_namespaces, publish;

static const struct step steps[] = {
	/* name            run                undo  deadline_ms */
	{ "mark", mark, NULL, 5000 },
	{ "containers", stop_containers, NULL, 90000 },
	{ "init", end_init, NULL, 30000 },
	{ "network", detach_network, NULL, NETWORK_DEADLINE_MS },
	{ "namespaces", remove_namespaces, NULL, 30000 },
	{ "publish", publish, NULL, 5000 },
};

const struct machine stop_pod_machine = MACHINE("stop_pod", steps);

static struct stop_pod *stop_pod_of(struct task *task)
{
	return container_of(task, struct stop_pod, op.task);
}

static enum admission admit(struct operation *base, struct error *err)
{
	const struct sandbox *sandbox = container_of(base, struct stop_pod, op)->sandbox;

	(void)err;
	return sandbox->released || sandbox->state == SANDBOX_GONE ? ADMIT_NOTHING_TO_DO : ADMIT_RUN;
}

/* ---- mark ---- */

static enum verdict mark(struct task *task, struct error *err)
{
	struct sandbox *sandbox = stop_pod_of(task)->sandbox;

	if (sandbox->state != SANDBOX_STOPPING)
		sandbox_set_state(sandbox, SANDBOX_STOPPING);
	(void)err;
	sandbox_save_if_possible(sandbox, sandbox->state);
	return STEP_DONE;
}

/* ---- containers ---- */

static enum verdict stop_containers(struct task *task, struct error *err)
{
	struct stop_pod *op = stop_pod_of(task);
	struct container *container, *next;

	gather_begin(&op->gather, &op->op);
	DL_FOREACH_SAFE (op->sandbox->containers, container, next) {
		struct error refused = ERROR_INIT;

		gather_expect(&op->gather);
		if (container_stop(container, 0, gather_one, &op->gather, &refused) < 0)
			gather_one(&op->gather, -1, &refused);
	}
	return gather_end(&op->gather, err);
}

/* ---- init ---- */

static int end_init_work(struct task *task, struct error *err)
{
	struct stop_pod *op = stop_pod_of(task);
	const struct sandbox *sandbox = op->sandbox;

	if (op->init.pidfd >= 0 && end_process(op->init.pidfd, err) < 0)
		return -1;
	return remove_cgroup(sandbox->node->cgroups, sandbox->cgroup_path, err);
}

static enum verdict end_init(struct task *task, struct error *err)
{
	struct stop_pod *op = stop_pod_of(task);
	struct sandbox *sandbox = op->sandbox;

	if (!sandbox_has_init(sandbox))
		return STEP_DONE;
	reaper_forget(sandbox->node->loop->reaper, &sandbox->init.watch);
	op->init = sandbox->init;
	process_init(&sandbox->init);
	return task_run_in_lane(task, sandbox->lane, end_init_work, err);
}

/* ---- network ---- */

static int detach_network_work(struct task *task, struct error *err)
{
	const struct stop_pod *op = stop_pod_of(task);
	struct net_engine *engine = network_of(op->sandbox)->engine;
	bool is_there = op->sandbox->ns.net >= 0;
	char path[PATH_MAX];
	const struct net_request request = {
		.pod_id = op->sandbox->id,
		.pod_name = op->sandbox->config->metadata->name,
		.netns = is_there ? op->sandbox->ns.net : -1,
		.netns_path = is_there ? path : NULL,
	};

	if (path_format(path, err, "%s/net", op->sandbox->dir) < 0)
		return -1;

	return engine->ops->detach(engine, &request, err);
}

static enum verdict detach_network(struct task *task, struct error *err)
{
	const struct stop_pod *op = stop_pod_of(task);

	if (sandbox_host_network(op->sandbox->config))
		return STEP_DONE;
	return task_run_in_lane(task, network_lane_of(op->sandbox), detach_network_work, err);
}

/* ---- namespaces ---- */

static int remove_namespaces_work(struct task *task, struct error *err)
{
	struct stop_pod *op = stop_pod_of(task);

	pod_namespaces_close(&op->ns);
	return remove_pod_dir(op->sandbox->dir, err);
}

static enum verdict remove_namespaces(struct task *task, struct error *err)
{
	struct stop_pod *op = stop_pod_of(task);

	op->ns = op->sandbox->ns;
	op->sandbox->ns = (struct pod_namespaces)POD_NAMESPACES_INIT;
	return task_run_in_lane(task, op->sandbox->lane, remove_namespaces_work, err);
}

/* ---- publish ---- */

static enum verdict publish(struct task *task, struct error *err)
{
	struct sandbox *sandbox = stop_pod_of(task)->sandbox;

	(void)err;
	sandbox->released = true;
	sandbox->net.n_addresses = 0;
	sandbox_save_if_possible(sandbox, SANDBOX_NOTREADY);
	return STEP_DONE;
}

/* ---- the operation ---- */

/* NOTREADY also when it failed: what is left is taken by the next stop, since it is not released. */
static void settle(struct operation *base, int result, const struct error *err)
{
	struct stop_pod *op = container_of(base, struct stop_pod, op);
	struct error ignored = ERROR_INIT;

	(void)err;
	if (op->sandbox->state == SANDBOX_STOPPING)
		sandbox_set_state(op->sandbox, SANDBOX_NOTREADY);
	if (result < 0 && sandbox_save(op->sandbox, &ignored) < 0)
		log_error("task", "%s", ignored.text);
}

static void reply(struct operation *base, struct call *call)
{
	Cri__StopPodSandboxResponse message = CRI__STOP_POD_SANDBOX_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	struct stop_pod *op = container_of(base, struct stop_pod, op);

	process_release(&op->init);
	pod_namespaces_close(&op->ns);
	sandbox_unref(op->sandbox);
}

static const struct operation_kind kind = {
	.machine = &stop_pod_machine,
	.size = sizeof(struct stop_pod),
	.outlives_caller = true,
	.admit = admit,
	.settle = settle,
	.reply = reply,
	.release = release,
};

static struct stop_pod *make(struct sandbox *sandbox, struct call *call, struct error *err)
{
	struct stop_pod *op = operation_new(sandbox->node, &kind, call, err);
	char title[SANDBOX_TITLE_SIZE];

	if (!op)
		return NULL;
	op->sandbox = sandbox_ref(sandbox);
	op->ns = (struct pod_namespaces)POD_NAMESPACES_INIT;
	process_init(&op->init);
	operation_title(&op->op, "stop pod %s", sandbox_title(sandbox, title));
	return op;
}

int sandbox_stop(struct sandbox *sandbox, operation_done_fn *done, void *arg, struct error *err)
{
	struct stop_pod *op = make(sandbox, NULL, err);

	if (!op)
		return -1;
	op->op.on_done = done;
	op->op.on_done_arg = arg;
	operation_begin(&op->op, NULL);
	return 0;
}

void op_stop_pod_sandbox(struct node *node, struct call *call)
{
	const Cri__StopPodSandboxRequest *request = (const Cri__StopPodSandboxRequest *)call->request;
	struct sandbox *sandbox = sandbox_find(node, request->pod_sandbox_id);
	struct error err = ERROR_INIT;
	struct stop_pod *op;

	if (!sandbox) { /* removed already: the CRI wants no error */
		reply(NULL, call);
		return;
	}
	op = make(sandbox, call, &err);
	if (op)
		operation_begin(&op->op, &sandbox->turns);
	else
		call_fail(call, &err);
}
