/*
 * ExecSync: a process in a running container, its output captured, its exit awaited.
 *
 * Of each stream the first 16 MiB are kept and the rest is read and forgotten, so that neither a process that talks too much nor the
 * daemon suffers (CVE-2022-1708, CVE-2022-31030). The end is the end of the process: children that it leaves behind with the pipes
 * in their hands do not hold the answer up (GHSA-7jxh-36q5-gcqv).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "runtime/cgroup.h"
#include "runtime/plan.h"
#include "runtime/process.h"
#include "runtime/spawner.h"
#include "task/cleanup.h"
#include "task/container_spec.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/user_ns.h"

/* The contract's limit on each stream (16 MiB). What is over it is read and dropped. */
#define CAPTURE_MAX ((size_t)16 << 20)

/* Both streams share one reply, which clients take up to 16 MiB by default and the server up to max_message_bytes: this much of it
 * is for the reply's own bytes. */
#define REPLY_ROOM 64

/* All captures of the node together: sixty probes that print without end must not take the daemon's memory (arbitrary). */
#define CAPTURES_MAX ((size_t)128 << 20)

#define READ_BYTES ((size_t)16 * 1024)
#define READS_PER_WAKEUP 4

/* What the process wrote is in the pipe when it has ended; the rest is for children that are just ending with it (arbitrary). */
#define DRAIN_MS 100

/* A probe's command begins within milliseconds; this is for an executable on a slow file system. */
#define SPAWN_DEADLINE_MS 30000

/* Longest timeout; the step's deadline, INT_MAX milliseconds, is later. */
#define MAX_TIMEOUT_S (INT64_C(24) * 24 * 3600)

struct capture {
	struct exec_sync *op;
	uv_poll_t poll;
	bool polled; /* the handle is open */
	bool ended;
	int read_end, write_end;
	struct buffer bytes;
};

struct exec_sync {
	struct operation op; /* first */
	struct container *container;
	Cri__ExecSyncRequest *request; /* ours: lane jobs may outlive the call */
	struct capture out, err;
	struct lane *lane;
	int target_pidfd;
	int oom_score_adj;
	struct plan *plan;
	struct spawn_result spawned;
	struct watch watch;
	struct exit_status status;
	bool timed_out;
	uint64_t oom_kills; /* that the cgroup counted after this process was killed; 0: it was not */
	uv_timer_t timer;
	unsigned ticket;
};

static step_fn open_pipes, spawn, kill_spawned, run, drain, ask_oom;

static const struct step steps[] = {
	/* name       run          undo           deadline_ms */
	{ "pipes", open_pipes, NULL, 1000 }, { "spawn", spawn, kill_spawned, SPAWN_DEADLINE_MS + 10000 },
	{ "run", run, NULL, INT_MAX },       { "drain", drain, NULL, 10 * DRAIN_MS },
	{ "oom", ask_oom, NULL, 10000 },
};

const struct machine exec_sync_machine = MACHINE("exec_sync", steps);

static struct exec_sync *exec_sync_of(struct task *task)
{
	return container_of(task, struct exec_sync, op.task);
}

/* ---- pipes ---- */

static void resume_when_drained(struct exec_sync *op);

/* How many of `len` more bytes are within every limit. */
static size_t admit_bytes(const struct capture *capture, size_t len)
{
	const struct exec_sync *op = capture->op;
	const struct node *node = op->op.node;
	size_t reply_max = (size_t)node->config->max_message_bytes - REPLY_ROOM;
	const size_t rooms[] = {
		CAPTURE_MAX - capture->bytes.len,
		reply_max - op->out.bytes.len - op->err.bytes.len,
		CAPTURES_MAX - node->captured_bytes,
	};

	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
		len = len < rooms[i] ? len : rooms[i];
	return len;
}

/* Bytes over the limits are dropped, which is what limits are for: the command's exit code is the answer. */
static void keep(struct capture *capture, const char *data, size_t len)
{
	struct error ignored = ERROR_INIT;

	len = admit_bytes(capture, len);
	if (buffer_append(&capture->bytes, data, len, &ignored) == 0)
		capture->op->op.node->captured_bytes += len;
}

/* True while there may be more at once. */
static bool read_some(struct capture *capture)
{
	char chunk[READ_BYTES];
	ssize_t n = read(capture->read_end, chunk, sizeof(chunk));

	if (n > 0)
		keep(capture, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		capture->ended = true;
	return n > 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct capture *capture = poll->data;

	(void)status;
	(void)events;
	for (int i = 0; i < READS_PER_WAKEUP && read_some(capture); i++)
		;
	if (!capture->ended)
		return;
	(void)uv_poll_stop(poll);
	resume_when_drained(capture->op);
}

static int open_capture(struct exec_sync *op, struct capture *capture, struct error *err)
{
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "make pipe");
	capture->read_end = fds[0];
	capture->write_end = fds[1];
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		return error_sys(err, errno, "prepare pipe");
	rc = uv_poll_init(&op->op.node->loop->uv, &capture->poll, fds[0]);
	if (rc < 0)
		return error_sys(err, -rc, "poll pipe");
	capture->polled = true;
	capture->poll.data = capture;
	operation_hold(&op->op);
	return 0;
}

static enum verdict open_pipes(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);

	if (open_capture(op, &op->out, err) < 0 || open_capture(op, &op->err, err) < 0)
		return STEP_FAILED;
	return STEP_DONE;
}

/* ---- spawn ---- */

static int compile(struct exec_sync *op, const char *const *argv, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	const struct container *container = op->container;
	struct selinux_labels labels;
	struct exec_spec spec = {
		.name = container->config->metadata->name,
		.target_pidfd = op->target_pidfd,
		.joins_pid_ns = container_pid_mode(container->config, container->sandbox->config) != CRI__NAMESPACE_MODE__NODE,
		.cgroup = container->cgroup,
		.argv = argv,
		.envp = (const char *const *)container->env,
		.cwd = container->cwd,
		.rlimits = op->op.node->rlimits.specs,
		.n_rlimits = op->op.node->rlimits.n,
		.set_oom_score_adj = true,
		.oom_score_adj = op->oom_score_adj,
	};

	if (sandbox_user_ns(container->sandbox->config, -1, &scratch, &spec.user_ns, err) < 0 ||
	    container_identity(container->config, &container->user, &spec.identity, err) < 0 ||
	    container_seccomp(container, &spec.identity, &scratch, &spec.seccomp, err) < 0 ||
	    container_apparmor(container, &spec.apparmor, err) < 0 ||
	    container_selinux(container->sandbox, container->config, &scratch, &labels, err) < 0)
		return -1;
	spec.selinux = labels.process;
	return plan_compile_exec(&spec, &op->plan, err);
}

/* Whatever could not be joined or entered: when the container's first process has ended, that is the reason; when the OOM killer took
 * somebody meanwhile, it took this one before its command ran. */
static int explain(struct exec_sync *op, uint64_t kills_before, struct error *err)
{
	struct pollfd init = { .fd = op->target_pidfd, .events = POLLIN };

	if (poll(&init, 1, 0) > 0 && (init.revents & POLLIN))
		return error_set(err, ERR_STATE, "the container has ended");
	op->oom_kills = op->container->cgroup ? cgroup_oom_kills(op->container->cgroup) : 0;
	if (op->oom_kills > kills_before)
		return error_set(err, ERR_EXHAUSTED,
				 "killed before its command: the container's memory limit leaves no room for it");
	op->oom_kills = 0;
	return -1;
}

static int spawn_work(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);
	const int stdio[3] = { -1, op->out.write_end, op->err.write_end };
	_cleanup_free_
	const char **argv = calloc(op->request->n_cmd + 1, sizeof(*argv));
	uint64_t kills;

	if (!argv)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < op->request->n_cmd; i++)
		argv[i] = op->request->cmd[i];
	if (compile(op, argv, err) < 0)
		return -1;
	kills = op->container->cgroup ? cgroup_oom_kills(op->container->cgroup) : 0;
	if (spawner_run(op->op.node->spawner, op->plan, stdio, SPAWN_DEADLINE_MS, &op->spawned, err) < 0)
		return explain(op, kills, err);
	close_fd(&op->out.write_end);
	close_fd(&op->err.write_end);
	return 0;
}

static enum verdict spawn(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);
	const struct node *node = op->op.node;
	int64_t wanted = oom_score_adj_wanted(container_resources_now(op->container));

	op->oom_score_adj = oom_score_adj_within(wanted, node->own_oom_score_adj, node->may_lower_oom_score);
	op->target_pidfd = fcntl(op->container->process.pidfd, F_DUPFD_CLOEXEC, 0);
	if (op->target_pidfd < 0) {
		(void)error_sys(err, errno, "copy pidfd");
		return STEP_FAILED;
	}
	return task_run_in_lane(task, op->lane, spawn_work, err);
}

/* The process leads a session; its pid, and so its group's number, is nobody else's until it is reaped. */
static void kill_group(const struct exec_sync *op)
{
	struct error ignored = ERROR_INIT;

	(void)kill(-op->spawned.pid, SIGKILL);
	(void)process_signal(op->spawned.pidfd, SIGKILL, &ignored);
}

static int kill_spawned_work(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);
	int result = 0;

	if (op->spawned.pidfd >= 0) {
		kill_group(op);
		result = end_process(op->spawned.pidfd, err);
	}
	close_fd(&op->spawned.pidfd);
	return result;
}

static enum verdict kill_spawned(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);

	reaper_forget(op->op.node->loop->reaper, &op->watch);
	return task_run_in_lane(task, op->lane, kill_spawned_work, err);
}

/* ---- run ---- */

static void on_exit_of(struct watch *watch, const struct exit_status *status)
{
	struct exec_sync *op = container_of(watch, struct exec_sync, watch);
	struct error err = ERROR_INIT;

	(void)uv_timer_stop(&op->timer);
	close_fd(&op->spawned.pidfd);
	op->status = *status;
	if (op->timed_out)
		(void)error_set(&err, ERR_DEADLINE, "the command timed out after %lld s and was killed",
				(long long)op->request->timeout);
	task_resume_visit(&op->op.task, op->ticket, op->timed_out ? -1 : 0, &err);
}

static void on_timeout(uv_timer_t *timer)
{
	struct exec_sync *op = timer->data;

	op->timed_out = true;
	kill_group(op); /* its exit resumes */
}

static enum verdict run(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);
	int64_t timeout_s = op->request->timeout < MAX_TIMEOUT_S ? op->request->timeout : MAX_TIMEOUT_S;

	op->ticket = task_ticket(task);
	op->watch.pidfd = op->spawned.pidfd;
	op->watch.pid = op->spawned.pid;
	op->watch.on_exit = on_exit_of;
	if (reaper_watch(op->op.node->loop->reaper, &op->watch, err) < 0)
		return STEP_FAILED;
	(void)uv_poll_start(&op->out.poll, UV_READABLE | UV_DISCONNECT, on_readable);
	(void)uv_poll_start(&op->err.poll, UV_READABLE | UV_DISCONNECT, on_readable);
	if (timeout_s > 0)
		(void)uv_timer_start(&op->timer, on_timeout, (uint64_t)timeout_s * 1000, 0);
	return STEP_WAIT;
}

/* ---- drain ---- */

static void resume_when_drained(struct exec_sync *op)
{
	if (op->out.ended && op->err.ended && op->spawned.pidfd < 0)
		task_resume_visit(&op->op.task, op->ticket, 0, NULL);
}

static void on_drain_over(uv_timer_t *timer)
{
	struct exec_sync *op = timer->data;

	op->out.ended = op->err.ended = true;
	resume_when_drained(op);
}

static enum verdict drain(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);

	(void)err;
	op->ticket = task_ticket(task);
	if (op->out.ended && op->err.ended)
		return STEP_DONE;
	(void)uv_timer_start(&op->timer, on_drain_over, DRAIN_MS, 0);
	return STEP_WAIT;
}

/* ---- oom: a kill of this process is not to be taken for one of the container ---- */

static int ask_oom_work(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);

	(void)err;
	op->oom_kills = cgroup_oom_kills(op->container->cgroup);
	return 0;
}

static enum verdict ask_oom(struct task *task, struct error *err)
{
	struct exec_sync *op = exec_sync_of(task);

	if (op->status.code != 128 + SIGKILL || !op->container->cgroup)
		return STEP_DONE;
	return task_run_in_lane(task, op->lane, ask_oom_work, err);
}

/* ---- the operation ---- */

static void settle(struct operation *base, int result, const struct error *err)
{
	struct exec_sync *op = container_of(base, struct exec_sync, op);

	(void)result;
	(void)err;
	container_account_oom(op->container, op->oom_kills);
}

static void reply(struct operation *base, struct call *call)
{
	struct exec_sync *op = container_of(base, struct exec_sync, op);
	Cri__ExecSyncResponse message = CRI__EXEC_SYNC_RESPONSE__INIT;

	message.stdout = (ProtobufCBinaryData){ op->out.bytes.len, (uint8_t *)op->out.bytes.data };
	message.stderr = (ProtobufCBinaryData){ op->err.bytes.len, (uint8_t *)op->err.bytes.data };
	message.exit_code = op->status.known ? op->status.code : 255;
	call_reply(call, &message.base);
}

static void on_poll_closed(uv_handle_t *poll)
{
	struct capture *capture = poll->data;

	close_fd(&capture->read_end);
	operation_drop(&capture->op->op);
}

static void on_timer_closed(uv_handle_t *timer)
{
	struct exec_sync *op = timer->data;

	operation_drop(&op->op);
}

static void close_capture(struct capture *capture)
{
	if (capture->polled)
		uv_close((uv_handle_t *)&capture->poll, on_poll_closed);
}

static void ended(struct operation *base)
{
	struct exec_sync *op = container_of(base, struct exec_sync, op);

	close_capture(&op->out);
	close_capture(&op->err);
	uv_close((uv_handle_t *)&op->timer, on_timer_closed);
}

static void release_capture(struct capture *capture)
{
	close_fd(&capture->read_end);
	close_fd(&capture->write_end);
	capture->op->op.node->captured_bytes -= capture->bytes.len;
	buffer_release(&capture->bytes);
}

static void release(struct operation *base)
{
	struct exec_sync *op = container_of(base, struct exec_sync, op);

	release_capture(&op->out);
	release_capture(&op->err);
	close_fd(&op->target_pidfd);
	close_fd(&op->spawned.pidfd);
	plan_free(op->plan);
	free(op->spawned.times);
	message_free(op->request);
	lane_close(op->lane);
	container_drop_cgroup(op->container);
	container_unref(op->container);
}

static enum admission admit(struct operation *base, struct error *err)
{
	const struct exec_sync *op = container_of(base, struct exec_sync, op);

	if (op->container->state == CONTAINER_STATE_RUNNING)
		return ADMIT_RUN;
	(void)error_set(err, ERR_STATE, "the container is %s, not running", container_state_name(op->container->state));
	return ADMIT_REFUSED;
}

static const struct operation_kind kind = {
	.machine = &exec_sync_machine,
	.size = sizeof(struct exec_sync),
	.admit = admit,
	.settle = settle,
	.reply = reply,
	.ended = ended,
	.release = release,
};

static void init_capture(struct exec_sync *op, struct capture *capture)
{
	capture->op = op;
	capture->read_end = capture->write_end = -1;
	buffer_init(&capture->bytes, CAPTURE_MAX);
}

static void init(struct exec_sync *op, struct container *container)
{
	op->container = container_ref(container);
	container_hold_cgroup(container);
	op->target_pidfd = op->spawned.pidfd = op->spawned.console_fd = -1;
	init_capture(op, &op->out);
	init_capture(op, &op->err);
	(void)uv_timer_init(&container->node->loop->uv, &op->timer);
	op->timer.data = op;
	operation_hold(&op->op);
	operation_title(&op->op, "exec in container %s", container->config->metadata->name);
}

static int begin(struct container *container, struct call *call, struct error *err)
{
	struct exec_sync *op = operation_new(container->node, &kind, call, err);

	if (!op)
		return -1;
	init(op, container);
	op->request = message_copy(call->request, err);
	if (!op->request || lane_open(container->node->loop->lanes, "exec", &op->lane, err) < 0) {
		operation_discard(&op->op);
		return -1;
	}
	operation_begin(&op->op, NULL);
	return 0;
}

void op_exec_sync(struct node *node, struct call *call)
{
	const Cri__ExecSyncRequest *request = (const Cri__ExecSyncRequest *)call->request;
	struct container *container = container_find(node, request->container_id);
	struct error err = ERROR_INIT;
	int result;

	if (!container || !container_is_public(container))
		result = error_set(&err, ERR_NOT_FOUND, "there is no container %s", request->container_id);
	else if (request->n_cmd == 0 || !*request->cmd[0])
		result = error_set(&err, ERR_INVALID, "cmd is empty");
	else if (request->timeout < 0)
		result = error_set(&err, ERR_INVALID, "timeout: %lld is negative", (long long)request->timeout);
	else
		result = begin(container, call, &err);
	if (result < 0)
		call_fail(call, &err);
}
