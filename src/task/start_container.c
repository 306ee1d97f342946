/*
 * StartContainer: the writable root and the user, the volumes and devices, the streams and the log file, the cgroup with its limits;
 * all of that compiled into a plan, which the spawner runs; then the container is RUNNING.
 *
 * What can hang on a foreign file system runs in the pod's lane. A start that fails is undone, and the container ends EXITED with
 * code 128, reason StartError and the same sentence as message that the caller gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "runtime/plan.h"
#include "runtime/spawner.h"
#include "task/cleanup.h"
#include "task/container_hooks.h"
#include "task/logs.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/sandbox_spec.h"
#include "task/start_container.h"

/* Exit code of a container whose process never ran, as other runtimes report it. */
#define START_ERROR_CODE 128

#define SPAWN_DEADLINE_MS 60000

static step_fn mark, open_rootfs, close_rootfs, find_user, open_volumes, close_volumes, open_streams, close_streams, make_cgroup,
	unmake_cgroup, compile, spawn, kill_spawned, publish;

static const struct step steps[] = {
	/* name         run            undo            deadline_ms */
	{ "mark", mark, NULL, 5000 },
	{ "rootfs", open_rootfs, close_rootfs, 30000 },
	{ "user", find_user, NULL, 10000 },
	{ "volumes", open_volumes, close_volumes, 120000 },
	{ "streams", open_streams, close_streams, 10000 },
	{ "cgroup", make_cgroup, unmake_cgroup, 20000 },
	{ "plan", compile, NULL, 5000 },
	{ "spawn", spawn, kill_spawned, START_HOOKS_MAX_MS + 10000 },
	{ "publish", publish, NULL, 5000 },
};

const struct machine start_container_machine = MACHINE("start_container", steps);

static struct start_container *start_container_of(struct task *task)
{
	return container_of(task, struct start_container, op.task);
}

static enum verdict in_pod_lane(struct task *task, int (*work)(struct task *task, struct error *err), struct error *err)
{
	return task_run_in_lane(task, start_container_of(task)->container->sandbox->lane, work, err);
}

static enum verdict in_own_lane(struct task *task, int (*work)(struct task *task, struct error *err), struct error *err)
{
	return task_run_in_lane(task, start_container_of(task)->container->lane, work, err);
}

static enum admission admit(struct operation *base, struct error *err)
{
	const struct container *container = container_of(base, struct start_container, op)->container;
	const struct sandbox *sandbox = container->sandbox;

	if (container->state != CONTAINER_STATE_CREATED)
		(void)error_set(err, ERR_STATE, "it is %s, not created", container_state_name(container->state));
	else if (sandbox->state != SANDBOX_READY)
		(void)error_set(err, ERR_STATE, "sandbox %s is %s, not ready", sandbox->id, sandbox_state_name(sandbox->state));
	else if (!container->image)
		(void)error_set(err, ERR_NOT_FOUND, "image %s is not here any more", container->image_id);
	else
		return ADMIT_RUN;
	return ADMIT_REFUSED;
}

/* ---- mark ---- */

static enum verdict mark(struct task *task, struct error *err)
{
	struct container *container = start_container_of(task)->container;

	container_set_state(container, CONTAINER_STATE_STARTING);
	return container_save(container, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- rootfs ---- */

static int open_rootfs_work(struct task *task, struct error *err)
{
	return start_open_rootfs(start_container_of(task), err);
}

static enum verdict open_rootfs(struct task *task, struct error *err)
{
	return in_pod_lane(task, open_rootfs_work, err);
}

static int close_rootfs_work(struct task *task, struct error *err)
{
	(void)err;
	close_fd(&start_container_of(task)->rootfs);
	return 0;
}

static enum verdict close_rootfs(struct task *task, struct error *err)
{
	return in_pod_lane(task, close_rootfs_work, err);
}

/* ---- user ---- */

static int find_user_work(struct task *task, struct error *err)
{
	return start_find_user(start_container_of(task), err);
}

static enum verdict find_user(struct task *task, struct error *err)
{
	return in_pod_lane(task, find_user_work, err);
}

/* ---- volumes ---- */

/* The namespace of a living process: looked up by pid, then the process is asked again whether that was it. */
static int open_pid_ns(struct start_container *op, struct error *err)
{
	struct pollfd ended = { .fd = op->pid_ns_of, .events = POLLIN };
	char path[64];

	if (op->pid_ns_of < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)op->pid_ns_of_pid);
	op->pid_ns = open(path, O_RDONLY | O_CLOEXEC);
	if (op->pid_ns < 0)
		return error_sys(err, errno, "open PID namespace %s", path);
	if (poll(&ended, 1, 0) != 0)
		return error_set(err, ERR_STATE, "the process whose PID namespace is to be joined has ended");
	return 0;
}

static int open_volumes_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);

	if (open_pid_ns(op, err) < 0 || start_open_mounts(op, err) < 0)
		return -1;
	return start_list_devices(op, err);
}

/* Whose PID namespace: the descriptor is copied here, because its owner may end meanwhile. */
static int choose_pid_ns(struct start_container *op, struct error *err)
{
	const struct container *container = op->container;
	Cri__NamespaceMode mode = container_pid_mode(container->config, container->sandbox->config);
	const struct process *process = &container->sandbox->init;

	op->pid_ns = mode == CRI__NAMESPACE_MODE__NODE ? NS_HOST : NS_NEW;
	if (mode == CRI__NAMESPACE_MODE__NODE || mode == CRI__NAMESPACE_MODE__CONTAINER)
		return 0;
	if (mode == CRI__NAMESPACE_MODE__TARGET) {
		const char *id = container->config->linux->security_context->namespace_options->target_id;
		const struct container *target = container_find(container->node, id);

		if (!target || target->state != CONTAINER_STATE_RUNNING)
			return error_set(err, ERR_STATE, "container %s, whose PID namespace is to be joined, does not run", id);
		process = &target->process;
	}
	if (process->pidfd < 0)
		return error_set(err, ERR_STATE, "the init of the pod's PID namespace has ended");
	op->pid_ns_of = fcntl(process->pidfd, F_DUPFD_CLOEXEC, 0);
	op->pid_ns_of_pid = process->pid;
	return op->pid_ns_of < 0 ? error_sys(err, errno, "copy pidfd") : 0;
}

static enum verdict open_volumes(struct task *task, struct error *err)
{
	return choose_pid_ns(start_container_of(task), err) < 0 ? STEP_FAILED : in_pod_lane(task, open_volumes_work, err);
}

static void close_all_volumes(struct start_container *op)
{
	for (size_t i = 0; i < op->mounts.n; i++)
		close_fd(&op->mounts.entries[i].spec.fd);
	op->mounts.n = 0;
	close_fd(&op->pid_ns);
	close_fd(&op->pid_ns_of);
}

static int close_volumes_work(struct task *task, struct error *err)
{
	(void)err;
	close_all_volumes(start_container_of(task));
	return 0;
}

static enum verdict close_volumes(struct task *task, struct error *err)
{
	return in_pod_lane(task, close_volumes_work, err);
}

/* ---- streams ---- */

static int open_streams_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);
	const struct container *container = op->container;

	if (!container->config->tty &&
	    stdio_make(container->state_dir, container->config->stdin, op->labels.mount, &op->stdio, err) < 0)
		return -1;
	if (container->log_path && (op->log_fd = log_file_open(container->log_path, err)) < 0)
		return -1;
	return 0;
}

static enum verdict open_streams(struct task *task, struct error *err)
{
	return in_own_lane(task, open_streams_work, err);
}

static int close_streams_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);

	(void)err;
	stdio_release(&op->stdio);
	close_fd(&op->log_fd);
	return 0;
}

static enum verdict close_streams(struct task *task, struct error *err)
{
	return in_own_lane(task, close_streams_work, err);
}

/* ---- cgroup ---- */

static int make_cgroup_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);
	const struct container *container = op->container;
	struct resources resources;

	if (container_resources(container_resources_now(container), op->op.node->config->pids_limit, &op->scratch, &resources,
				err) < 0)
		return -1;
	resources.restrict_devices = op->devices.restricted;
	resources.devices = op->devices.rules;
	resources.n_devices = op->devices.n_rules;
	if (cgroup_create(container->node->cgroups, container->cgroup_path, &op->cgroup, NULL, err) < 0)
		return -1;
	return cgroup_apply(op->cgroup, &resources, err);
}

static enum verdict make_cgroup(struct task *task, struct error *err)
{
	return in_own_lane(task, make_cgroup_work, err);
}

static int unmake_cgroup_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);

	cgroup_close(op->cgroup);
	op->cgroup = NULL;
	return remove_cgroup(op->op.node->cgroups, op->container->cgroup_path, err);
}

static enum verdict unmake_cgroup(struct task *task, struct error *err)
{
	return in_own_lane(task, unmake_cgroup_work, err);
}

/* ---- plan ---- */

static int compile_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);

	op->writes_bundle = true;
	if (start_list_hooks(op, err) < 0 || start_open_hooks(op, err) < 0)
		return -1;
	return start_compile(op, err);
}

static enum verdict compile(struct task *task, struct error *err)
{
	return start_choose_oom_score(start_container_of(task), err) < 0 ? STEP_FAILED : in_own_lane(task, compile_work, err);
}

/* ---- spawn ---- */

/* The first kill in a group that is as old as this start is that of its first process. */
static int explain(const struct start_container *op, struct error *err)
{
	const Cri__LinuxContainerResources *resources = container_resources_now(op->container);

	if (cgroup_oom_kills(op->cgroup) == 0)
		return -1;
	return error_set(err, ERR_EXHAUSTED,
			 "killed before its command: the memory limit of %lld bytes (of the container, or what its pod has left) "
			 "is too small",
			 resources ? (long long)resources->memory_limit_in_bytes : 0LL);
}

static int spawn_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);

	if (start_spawn(op, SPAWN_DEADLINE_MS, err) < 0)
		return explain(op, err);
	/* The container has its own by now. */
	stdio_close_inside(&op->stdio);
	close_all_volumes(op);
	close_fd(&op->rootfs);
	start_run_poststart(op);
	start_close_hooks(&op->hooks);
	return process_start_time(op->spawned.pid, &op->start_ticks, err);
}

static enum verdict spawn(struct task *task, struct error *err)
{
	return in_pod_lane(task, spawn_work, err);
}

static int kill_spawned_work(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);
	int result = op->spawned.pidfd >= 0 ? end_process(op->spawned.pidfd, err) : 0;

	close_fd(&op->spawned.pidfd);
	close_fd(&op->spawned.console_fd);
	if (op->hooks.began)
		container_run_poststop(op->container);
	op->hooks.began = false;
	return result;
}

static enum verdict kill_spawned(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);

	reaper_forget(op->op.node->loop->reaper, &op->container->process.watch);
	process_init(&op->container->process); /* the descriptor is the operation's again */
	return in_pod_lane(task, kill_spawned_work, err);
}

/* ---- publish ---- */

static int add_streams(struct start_container *op, struct log_pump *pump, struct error *err)
{
	if (op->container->config->tty)
		return log_pump_add(pump, "stdout", steal_fd(&op->spawned.console_fd), err);
	if (log_pump_add(pump, "stdout", steal_fd(&op->stdio.read_end[0]), err) < 0)
		return -1;
	return log_pump_add(pump, "stderr", steal_fd(&op->stdio.read_end[1]), err);
}

static int start_log(struct start_container *op, struct error *err)
{
	struct container *container = op->container;
	struct log_pump *pump;

	if (container->config->tty && fcntl(op->spawned.console_fd, F_SETFL, O_NONBLOCK) < 0)
		return error_sys(err, errno, "prepare terminal");
	if (log_pump_new(container->node->loop, container->lane, container->id, steal_fd(&op->log_fd), &pump, err) < 0)
		return -1;
	if (add_streams(op, pump, err) < 0) {
		container_drop_log(container, pump);
		return -1;
	}
	container->log = pump;
	return 0;
}

static void take_process(struct start_container *op)
{
	struct container *container = op->container;

	container->process.pid = op->spawned.pid;
	container->process.start_ticks = op->start_ticks;
	container->process.pidfd = op->spawned.pidfd;
	container->started_at_ns = clock_realtime_ns();
	container->user = op->user;
	container->env = op->env;
	container->cwd = op->cwd;
}

/* On failure the container looks as before: kill_spawned() and settle() take the rest. */
static enum verdict publish(struct task *task, struct error *err)
{
	struct start_container *op = start_container_of(task);
	struct container *container = op->container;

	take_process(op);
	if (container_save_as(container, CONTAINER_STATE_RUNNING, err) < 0 || container_watch(container, err) < 0 ||
	    start_log(op, err) < 0)
		return STEP_FAILED;
	op->spawned.pidfd = -1;
	container->start_arena = op->keep;
	op->keep = (struct arena)ARENA_INIT;
	container->cgroup = op->cgroup;
	op->cgroup = NULL;
	container_hold_cgroup(container);
	container_set_state(container, CONTAINER_STATE_RUNNING);
	return STEP_DONE;
}

/* ---- the operation ---- */

static void forget_process(struct container *container)
{
	container->user = (struct container_user){ 0 };
	container->env = NULL;
	container->cwd = NULL;
	container->started_at_ns = 0;
}

static void settle(struct operation *base, int result, const struct error *err)
{
	struct start_container *op = container_of(base, struct start_container, op);
	struct container *container = op->container;
	struct error titled = ERROR_INIT;

	container->timeline = malloc(sizeof(*container->timeline));
	if (container->timeline) {
		*container->timeline = base->task.timeline;
		if (result == 0)
			start_add_plan_times(op, container->timeline);
	}
	if (result == 0 || container->state != CONTAINER_STATE_STARTING)
		return;
	titled = *err;
	(void)error_prefix(&titled, "%s", base->title);
	forget_process(container);
	container_finish(container, START_ERROR_CODE, "StartError", titled.text);
}

static void reply(struct operation *base, struct call *call)
{
	Cri__StartContainerResponse message = CRI__START_CONTAINER_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	struct start_container *op = container_of(base, struct start_container, op);

	close_fd(&op->rootfs);
	close_all_volumes(op);
	start_close_hooks(&op->hooks);
	stdio_release(&op->stdio);
	close_fd(&op->log_fd);
	close_fd(&op->spawned.pidfd);
	close_fd(&op->spawned.console_fd);
	cgroup_close(op->cgroup);
	plan_free(op->plan);
	free(op->spawned.times);
	arena_release(&op->scratch);
	arena_release(&op->keep);
	container_unref(op->container);
}

static const struct operation_kind kind = {
	.machine = &start_container_machine,
	.size = sizeof(struct start_container),
	.admit = admit,
	.settle = settle,
	.reply = reply,
	.release = release,
};

static void begin(struct container *container, struct call *call)
{
	struct error err = ERROR_INIT;
	struct start_container *op = operation_new(container->node, &kind, call, &err);

	if (!op) {
		call_fail(call, &err);
		return;
	}
	op->container = container_ref(container);
	op->rootfs = op->log_fd = op->pid_ns_of = -1;
	op->pid_ns = NS_NEW;
	op->stdio = (struct stdio)STDIO_INIT;
	start_init_hooks(&op->hooks);
	op->spawned.pidfd = op->spawned.console_fd = -1;
	operation_title(&op->op, "start container %s", container->config->metadata->name);
	operation_begin(&op->op, &container->turns);
}

void op_start_container(struct node *node, struct call *call)
{
	const Cri__StartContainerRequest *request = (const Cri__StartContainerRequest *)call->request;
	struct container *container = container_find(node, request->container_id);
	struct error err = ERROR_INIT;

	if (container && container_is_public(container)) {
		begin(container, call);
		return;
	}
	(void)error_set(&err, ERR_NOT_FOUND, "there is no container %s", request->container_id);
	call_fail(call, &err);
}
