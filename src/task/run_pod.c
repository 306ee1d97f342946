/*
 * RunPodSandbox: a record first; then the pod's directory, its namespaces, its network, the files that containers
 * see, the init when the pod shares its PID namespace; then the sandbox is READY.
 *
 * A repeated request for the same (namespace, name, uid, attempt) joins the one in flight, or gets the id of the sandbox that is
 * ready. When every caller has gone away, what was made is undone and the name is free again; a request that comes while that goes on,
 * or while the sandbox is removed, waits for the end of it.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "runtime/cgroup.h"
#include "runtime/plan.h"
#include "runtime/process.h"
#include "runtime/spawner.h"
#include "runtime/spec.h"
#include "task/cleanup.h"
#include "task/container_spec.h"
#include "task/group.h"
#include "task/handler.h"
#include "task/latecomer.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/network_request.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/path.h"
#include "task/pod_files.h"
#include "task/sandbox_spec.h"
#include "task/store.h"
#include "task/user_ns.h"

#define NAMESPACES_DEADLINE_MS 10000

struct caller {
	struct run_pod *op;
	struct call *call;
	struct caller *prev, *next;
};

struct run_pod {
	struct operation op; /* first */
	struct sandbox *sandbox;
	struct arena arena;
	struct caller *callers;
	struct job namespaces_job;
	unsigned namespaces_ticket;
	struct pod_namespaces ns;
	struct net_request network;
	struct net_result network_result;
	struct spawn_result init;
	uint64_t init_start_ticks;
};

static step_fn write_record, erase_record, make_directory, remove_directory, make_namespaces, remove_namespaces, attach_network,
	detach_network, write_files, start_init, end_init, publish;

static const struct step steps[] = {
	/* name         run              undo                 deadline_ms */
	{ "record", write_record, erase_record, 5000 },
	{ "directory", make_directory, remove_directory, 10000 },
	{ "namespaces", make_namespaces, remove_namespaces, NAMESPACES_DEADLINE_MS },
	{ "network", attach_network, detach_network, NETWORK_DEADLINE_MS },
	{ "files", write_files, NULL, 10000 },
	{ "init", start_init, end_init, 20000 },
	{ "publish", publish, NULL, 5000 },
};

const struct machine run_pod_machine = MACHINE("run_pod", steps);

static struct run_pod *run_pod_of(struct task *task)
{
	return container_of(task, struct run_pod, op.task);
}

/* ---- record ---- */

static enum verdict write_record(struct task *task, struct error *err)
{
	struct sandbox *sandbox = run_pod_of(task)->sandbox;

	sandbox->network = network_for_new_pods(sandbox->node);
	return sandbox_save(sandbox, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict erase_record(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	return store_erase(op->op.node->store, STORE_SANDBOX, op->sandbox->id, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- directory ---- */

static int make_directory_work(struct task *task, struct error *err)
{
	return pod_files_make(run_pod_of(task)->sandbox, err);
}

static enum verdict make_directory(struct task *task, struct error *err)
{
	return task_run_in_lane(task, run_pod_of(task)->sandbox->lane, make_directory_work, err);
}

static int remove_directory_work(struct task *task, struct error *err)
{
	return remove_pod_dir(run_pod_of(task)->sandbox->dir, err);
}

static enum verdict remove_directory(struct task *task, struct error *err)
{
	return task_run_in_lane(task, run_pod_of(task)->sandbox->lane, remove_directory_work, err);
}

/* ---- namespaces ----
 * A job of our own instead of task_run_in_lane(), because its thread may have to end with it. */

static int namespaces_work(struct job *job, struct error *err)
{
	struct run_pod *op = container_of(job, struct run_pod, namespaces_job);
	struct pod_ns_spec spec;

	if (sandbox_ns_spec(op->sandbox->config, &op->arena, &spec, err) < 0)
		return -1;
	spec.spawner = op->op.node->spawner;
	return pod_namespaces_create(&spec, op->sandbox->dir, &op->ns, &job->retire_thread, err);
}

static void namespaces_done(struct job *job, int result, const struct error *err)
{
	struct run_pod *op = container_of(job, struct run_pod, namespaces_job);

	task_resume_visit(&op->op.task, op->namespaces_ticket, result, err);
}

static void namespaces_released(struct job *job)
{
	operation_drop(&container_of(job, struct run_pod, namespaces_job)->op);
}

static enum verdict make_namespaces(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	op->namespaces_ticket = task_ticket(task);
	op->namespaces_job = (struct job){
		.name = "namespaces",
		.work = namespaces_work,
		.done = namespaces_done,
		.release = namespaces_released,
		.deadline_ms = NAMESPACES_DEADLINE_MS,
	};
	if (lane_submit(op->sandbox->lane, &op->namespaces_job, err) < 0)
		return STEP_FAILED;
	operation_hold(&op->op);
	return STEP_WAIT;
}

static int remove_namespaces_work(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	pod_namespaces_close(&op->ns);
	return pod_namespaces_unpin(op->sandbox->dir, err);
}

static enum verdict remove_namespaces(struct task *task, struct error *err)
{
	return task_run_in_lane(task, run_pod_of(task)->sandbox->lane, remove_namespaces_work, err);
}

/* ---- network ---- */

static int attach_network_work(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);
	struct net_engine *engine = network_of(op->sandbox)->engine;

	if (net_loopback_up(op->ns.net, err) < 0)
		return -1;
	return engine->ops->attach(engine, &op->network, &op->network_result, err);
}

static enum verdict attach_network(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	if (sandbox_host_network(op->sandbox->config))
		return STEP_DONE;
	if (network_request_make(op->sandbox, op->ns.net, &op->arena, &op->network, err) < 0)
		return STEP_FAILED;
	return task_run_in_lane(task, network_lane_of(op->sandbox), attach_network_work, err);
}

static int detach_network_work(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);
	struct net_engine *engine = network_of(op->sandbox)->engine;

	return engine->ops->detach(engine, &op->network, err);
}

static enum verdict detach_network(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	if (!op->network.pod_id)
		return STEP_DONE;
	return task_run_in_lane(task, network_lane_of(op->sandbox), detach_network_work, err);
}

/* ---- files ---- */

static int write_files_work(struct task *task, struct error *err)
{
	const struct run_pod *op = run_pod_of(task);

	return pod_files_write(op->sandbox, op->network_result.n_addresses > 0 ? op->network_result.addresses[0] : NULL, err);
}

static enum verdict write_files(struct task *task, struct error *err)
{
	return task_run_in_lane(task, run_pod_of(task)->sandbox->lane, write_files_work, err);
}

/* ---- init ---- */

static int spawn_init(struct run_pod *op, const struct cgroup *cgroup, struct error *err)
{
	static const int no_stdio[3] = { -1, -1, -1 };
	_cleanup_plan_ struct plan *plan = NULL;

	struct pod_init_spec spec = {
		.name = op->sandbox->id,
		.net_ns = op->ns.net,
		.ipc_ns = op->ns.ipc,
		.uts_ns = op->ns.uts,
		.cgroup = cgroup,
	};

	if (sandbox_user_ns(op->sandbox->config, op->ns.user, &op->arena, &spec.user_ns, err) < 0 ||
	    plan_compile_pod_init(&spec, &plan, err) < 0)
		return -1;
	return spawner_run(op->op.node->spawner, plan, no_stdio, 10000, &op->init, err);
}

static int spawn_init_into_group(struct run_pod *op, struct error *err)
{
	struct cgroup *cgroup = NULL;
	int result;

	if (cgroup_create(op->op.node->cgroups, op->sandbox->cgroup_path, &cgroup, NULL, err) < 0)
		return -1;
	result = spawn_init(op, cgroup, err);
	cgroup_close(cgroup);
	return result;
}

/* The other way round: a scope begins with a process. */
static int spawn_init_into_scope(struct run_pod *op, struct error *err)
{
	if (spawn_init(op, NULL, err) < 0)
		return -1;
	return group_adopt_init(op->op.node, op->sandbox->cgroup_parent, op->sandbox->cgroup_path, op->init.pid, err);
}

static int start_init_work(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);
	int result = group_is_scope(op->sandbox->cgroup_parent) ? spawn_init_into_scope(op, err) : spawn_init_into_group(op, err);

	return result < 0 ? -1 : process_start_time(op->init.pid, &op->init_start_ticks, err);
}

static enum verdict start_init(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	if (!sandbox_has_init(op->sandbox))
		return STEP_DONE;
	return task_run_in_lane(task, op->sandbox->lane, start_init_work, err);
}

static int end_init_work(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);
	const char *path = op->sandbox->cgroup_path;

	if (op->init.pidfd >= 0 && end_process(op->init.pidfd, err) < 0)
		return -1;
	close_fd(&op->init.pidfd);
	if (remove_cgroup(op->op.node->cgroups, path, err) < 0)
		return -1;
	cgroup_prune(op->op.node->cgroups, path, NULL);
	return 0;
}

static enum verdict end_init(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);

	reaper_forget(op->op.node->loop->reaper, &op->sandbox->init.watch);
	op->sandbox->init.pidfd = -1; /* the operation's again */
	op->sandbox->init.pid = 0;
	if (!sandbox_has_init(op->sandbox))
		return STEP_DONE;
	return task_run_in_lane(task, op->sandbox->lane, end_init_work, err);
}

/* ---- publish ---- */

static int publish_init(struct run_pod *op, struct error *err)
{
	struct process *init = &op->sandbox->init;

	if (op->init.pidfd < 0)
		return 0;
	init->pid = op->init.pid;
	init->start_ticks = op->init_start_ticks;
	init->pidfd = op->init.pidfd;
	return sandbox_watch_init(op->sandbox, err);
}

/* The object takes what the operation made; the descriptors once nothing can fail any more. */
static enum verdict publish(struct task *task, struct error *err)
{
	struct run_pod *op = run_pod_of(task);
	struct sandbox *sandbox = op->sandbox;

	if (publish_init(op, err) < 0)
		return STEP_FAILED;
	sandbox->net = op->network_result;
	if (sandbox_save_as(sandbox, SANDBOX_READY, err) < 0)
		return STEP_FAILED;
	op->init.pidfd = -1;
	sandbox->ns = op->ns;
	op->ns = (struct pod_namespaces)POD_NAMESPACES_INIT;
	sandbox->creator = NULL;
	sandbox_set_state(sandbox, SANDBOX_READY);
	return STEP_DONE;
}

/* ---- callers ---- */

static void on_caller_gone(struct call *call, const struct error *why)
{
	struct caller *caller = call->op;
	struct run_pod *op = caller->op;

	DL_DELETE(op->callers, caller);
	free(caller);
	call_fail(call, why);
	if (!op->callers)
		operation_cancel(&op->op, why);
}

static void reply_id(struct call *call, char *id)
{
	Cri__RunPodSandboxResponse reply = CRI__RUN_POD_SANDBOX_RESPONSE__INIT;

	reply.pod_sandbox_id = id;
	call_reply(call, &reply.base);
}

static int join(struct run_pod *op, struct call *call, struct error *err)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	caller->op = op;
	caller->call = call;
	call->op = caller;
	call->on_cancel = on_caller_gone;
	DL_APPEND(op->callers, caller);
	return 0;
}

static void answer_callers(struct run_pod *op, int result, const struct error *err)
{
	struct error titled = ERROR_INIT;
	struct caller *caller, *next;

	if (result < 0) {
		titled = *err;
		(void)error_prefix(&titled, "%s", op->op.title);
	}
	DL_FOREACH_SAFE (op->callers, caller, next) {
		struct call *call = caller->call;

		DL_DELETE(op->callers, caller);
		free(caller);
		if (result < 0)
			call_fail(call, &titled);
		else
			reply_id(call, op->sandbox->id);
	}
}

static void settle(struct operation *base, int result, const struct error *err)
{
	struct run_pod *op = container_of(base, struct run_pod, op);
	struct sandbox *sandbox = op->sandbox;

	if (result < 0) {
		sandbox->creator = NULL;
		sandbox_set_state(sandbox, SANDBOX_GONE);
		sandbox_forget(sandbox);
	} else if ((sandbox->timeline = malloc(sizeof(*sandbox->timeline)))) {
		*sandbox->timeline = base->task.timeline;
	}
	answer_callers(op, result, err);
}

static void release(struct operation *base)
{
	struct run_pod *op = container_of(base, struct run_pod, op);

	pod_namespaces_close(&op->ns);
	close_fd(&op->init.pidfd);
	free(op->init.times);
	arena_release(&op->arena);
	sandbox_unref(op->sandbox);
}

static const struct operation_kind kind = {
	.machine = &run_pod_machine,
	.size = sizeof(struct run_pod),
	.settle = settle,
	.release = release,
};

/* ---- the request ---- */

static struct sandbox *make_sandbox(struct node *node, const Cri__RunPodSandboxRequest *request, struct error *err)
{
	Cri__PodSandboxConfig *config = message_copy(&request->config->base, err);
	struct sandbox *sandbox;
	char id[ID_SIZE];

	if (!config)
		return NULL;
	id_generate(id);
	sandbox = sandbox_new(node, id, config, request->runtime_handler, err);
	if (!sandbox) {
		message_free(config);
		return NULL;
	}
	if (sandbox_choose_pair(sandbox, err) < 0 || sandbox_publish(sandbox, err) < 0) {
		sandbox_unref(sandbox);
		return NULL;
	}
	return sandbox;
}

static void begin(struct run_pod *op)
{
	op->sandbox->creator = op;
	operation_begin(&op->op, &op->sandbox->turns);
}

static int start_new(struct node *node, struct call *call, struct error *err)
{
	const Cri__RunPodSandboxRequest *request = (const Cri__RunPodSandboxRequest *)call->request;
	char title[SANDBOX_TITLE_SIZE];
	struct handler_options handler;
	struct run_pod *op;

	if (HASH_COUNT(node->sandboxes) >= MAX_SANDBOXES)
		return error_set(err, ERR_EXHAUSTED, "there are %d sandboxes; remove some first", MAX_SANDBOXES);
	if (handler_options(node->config, request->runtime_handler, &handler, err) < 0 || sandbox_check(request->config, err) < 0)
		return -1;
	op = operation_new(node, &kind, NULL, err);
	if (!op)
		return -1;
	op->init.pidfd = op->init.console_fd = -1;
	op->ns = (struct pod_namespaces)POD_NAMESPACES_INIT;
	op->sandbox = make_sandbox(node, request, err);
	if (!op->sandbox || join(op, call, err) < 0) {
		if (op->sandbox)
			sandbox_forget(op->sandbox);
		operation_discard(&op->op);
		return -1;
	}
	operation_title(&op->op, "run pod %s", sandbox_title(op->sandbox, title));
	begin(op);
	return 0;
}

/* Joining it would be joining its end. */
static bool is_ending(const struct sandbox *sandbox)
{
	return sandbox->leaving || (sandbox->creator && task_is_failing(&sandbox->creator->op.task));
}

/* A sandbox of that name is there. */
static int use_existing(struct sandbox *sandbox, struct call *call, struct error *err)
{
	if (is_ending(sandbox))
		return sandbox_await(sandbox, call, op_run_pod_sandbox, err);
	if (sandbox->state == SANDBOX_CREATING)
		return join(sandbox->creator, call, err);
	if (sandbox->state != SANDBOX_READY)
		return error_set(err, ERR_EXISTS, "sandbox %s has this name and attempt and is %s: remove it first", sandbox->id,
				 sandbox_state_name(sandbox->state));
	reply_id(call, sandbox->id);
	return 0;
}

void op_run_pod_sandbox(struct node *node, struct call *call)
{
	const Cri__RunPodSandboxRequest *request = (const Cri__RunPodSandboxRequest *)call->request;
	_cleanup_free_
	char *key = NULL;
	struct error err = ERROR_INIT;
	const char *id;

	if (!request->config || !request->config->metadata) {
		(void)error_set(&err, ERR_INVALID, "config.metadata is missing");
		call_fail(call, &err);
		return;
	}
	key = sandbox_name_key(request->config);
	id = key ? name_find(&node->sandbox_names, key) : NULL;
	if ((id ? use_existing(sandbox_find(node, id), call, &err) : start_new(node, call, &err)) < 0)
		call_fail(call, &err);
}
