/* One run of a plan, from the clone to the last word on the report socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/launch.h"
#include "runtime/spawner.h"

struct run {
	struct spawner *spawner;
	const struct plan *plan;
	int64_t began_us, deadline_us;
	unsigned timeout_ms;
	int report; /* our end */
	pid_t pid;  /* who executes the plan now; the only one whose reports count */
	int pidfd;
	int console;
	const struct sync_handler *handler; /* or NULL */
	size_t forks;                       /* until the process is the one that will be the command */
	bool asks_at_birth;                 /* of that one */
	bool done;                          /* all but exec */
	bool waits;                         /* for its start: nothing more is to be heard here */
	bool failed;
	struct plan_report last;
	struct plan_time *times;
};

static int plan_copy(const struct plan *plan, struct error *err)
{
	_cleanup_fd_ int fd =
		memfd_create("monopod-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x0008U /* MFD_NOEXEC_SEAL, Linux 6.3 */);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("monopod-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_sys(err, errno, "create memory file");
	if (io_write_all(fd, plan->block, plan->block->size, "plan", err) < 0)
		return -1;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_sys(err, errno, "seal plan");
	return steal_fd(&fd);
}

/* A pidfd for a child that nobody but us reaps, so its number cannot have passed to another process. */
static int open_child(pid_t pid, struct error *err)
{
	_cleanup_fd_ int fd = sys_pidfd_open(pid, 0);
	siginfo_t info;

	if (fd < 0)
		return error_sys(err, errno, "open process %d", pid);
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return error_sys(err, errno, "process %d is no child of ours", pid);
	return steal_fd(&fd);
}

/* An abandoned socket: whoever still wants to report is ended by SIGPIPE instead of going on. */
static void give_up(struct run *run)
{
	if (run->report >= 0)
		(void)shutdown(run->report, SHUT_RDWR);
	if (run->pid > 0 && run->pidfd >= 0)
		child_end(run->spawner, run->pid, steal_fd(&run->pidfd));
	close_fd(&run->console);
}

static int launch(struct run *run, const int stdio[3], struct error *err)
{
	_cleanup_fd_ int plan_fd = plan_copy(run->plan, err);
	_cleanup_fd_ int theirs = -1;
	struct launch l = { .plan = run->plan, .plan_fd = plan_fd, .stdio = { stdio[0], stdio[1], stdio[2] } };
	int pair[2];

	if (plan_fd < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "make report socket");
	run->report = pair[0];
	theirs = pair[1];
	/* every report comes with its sender's pid, by the kernel */
	if (setsockopt(run->report, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0)
		return error_sys(err, errno, "configure report socket");
	l.report = theirs;
	if (launch_run(run->spawner, &l, run->deadline_us, err) < 0)
		return -1;
	run->pid = l.pid;
	run->pidfd = open_child(l.pid, err);
	return run->pidfd < 0 ? -1 : 0;
}

struct control {
	pid_t sender;
	int fd;
};

static void read_control(struct msghdr *message, struct control *control)
{
	*control = (struct control){ .sender = -1, .fd = -1 };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred creds;

			memcpy(&creds, CMSG_DATA(c), sizeof(creds));
			control->sender = creds.pid;
		} else if (c->cmsg_type == SCM_RIGHTS && control->fd < 0) {
			memcpy(&control->fd, CMSG_DATA(c), sizeof(int));
		}
	}
}

/* The next report. Returns 1, 0 at the end, or -1. A descriptor in it is the caller's. */
static int receive(struct run *run, struct plan_report *report, int *ret_fd, struct error *err)
{
	size_t n_ops = plan_length(run->plan);
	struct iovec vectors[2] = { { report, sizeof(*report) }, { run->times, n_ops * sizeof(*run->times) } };
	/* room for one descriptor: the kernel closes what does not fit */
	char buffer[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct msghdr message = { .msg_iov = vectors, .msg_iovlen = 2, .msg_control = buffer, .msg_controllen = sizeof(buffer) };
	struct control control;
	ssize_t n;

	/* reset: the peer ended with something of ours unread, which is said once; what it had to say comes after it */
	do {
		n = recvmsg(run->report, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n == 0)
		return 0;
	if (n < 0)
		return error_sys(err, errno, "receive report");
	read_control(&message, &control);
	*ret_fd = control.fd;
	if (control.sender != run->pid)
		return error_set(err, ERR_INTERNAL, "report from process %d instead of %d", control.sender, run->pid);
	if ((size_t)n < sizeof(*report) || (report->kind == PLAN_REPORT_DONE && (size_t)n != sizeof(*report) + vectors[1].iov_len))
		return error_set(err, ERR_INTERNAL, "report of %zd bytes", n);
	return 1;
}

/* The handler's own time is not the process's fault. */
static int ask(struct run *run, enum sync_point point, struct error *err)
{
	int64_t began_us = clock_monotonic_us();

	if (!run->handler)
		return error_set(err, ERR_INTERNAL, "a stop that nobody asked for");
	if (run->handler->on_sync(run->handler->data, point, run->pid, err) < 0)
		return -1;
	run->deadline_us += clock_monotonic_us() - began_us;
	/* a process that has ended is found out by the next read */
	if (send(run->report, "", 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return error_sys(err, errno, "answer the process");
	return 0;
}

static void look_ahead(struct run *run)
{
	for (size_t i = 0; i < plan_length(run->plan); i++) {
		const struct plan_op *op = plan_ops(run->plan->block) + i;

		run->forks += op->kind == PLAN_FORK;
		run->asks_at_birth |= op->kind == PLAN_SYNC && op->value[0] == SYNC_BORN;
	}
}

static int on_born(struct run *run, struct error *err)
{
	if (!run->asks_at_birth || run->forks > 0)
		return 0;
	run->asks_at_birth = false;
	return ask(run, SYNC_BORN, err);
}

static int on_forked(struct run *run, const struct plan_report *report, struct error *err)
{
	int pidfd = open_child(report->pid, err);

	if (pidfd < 0)
		return -1;
	child_reap(run->spawner, run->pid, run->pidfd);
	run->pid = report->pid;
	run->pidfd = pidfd;
	if (run->forks > 0)
		run->forks--;
	return on_born(run, err);
}

static int on_sync(struct run *run, const struct plan_report *report, struct error *err)
{
	const struct plan_op *op = plan_ops(run->plan->block) + report->op;

	if (report->op >= plan_length(run->plan) || op->kind != PLAN_SYNC || (op->flags & PLAN_LATER))
		return error_set(err, ERR_INTERNAL, "a stop that nobody asked for");
	if (ask(run, (enum sync_point)op->value[0], err) < 0)
		return -1;
	run->waits = op->value[0] == SYNC_READY && plan_after_wait(run->plan) > 0;
	return 0;
}

static int on_report(struct run *run, const struct plan_report *report, int *fd, struct error *err)
{
	run->last = *report;
	switch (report->kind) {
	case PLAN_REPORT_FORKED:
		return on_forked(run, report, err);
	case PLAN_REPORT_CONSOLE:
		close_fd(&run->console);
		run->console = steal_fd(fd);
		return run->console < 0 ? error_set(err, ERR_INTERNAL, "terminal without a descriptor") : 0;
	case PLAN_REPORT_SYNC:
		return on_sync(run, report, err);
	case PLAN_REPORT_DONE:
		run->done = true;
		return 0;
	case PLAN_REPORT_FAILED:
		run->failed = true;
		return 0;
	default:
		return error_set(err, ERR_INTERNAL, "report of unknown kind %u", report->kind);
	}
}

/* Which operation a process that does not answer is in: a look into its memory. */
static uint32_t current_op(const struct run *run)
{
	uint32_t current = PLAN_MAX_OPS;
	struct iovec here = { &current, sizeof(current) };
	struct iovec there = { (char *)PLAN_ADDRESS + offsetof(struct plan_header, current), sizeof(current) };

	return process_vm_readv(run->pid, &here, 1, &there, 1, 0) == sizeof(current) ? current : PLAN_MAX_OPS;
}

static int wait_readable(const struct run *run, struct error *err)
{
	struct pollfd p = { .fd = run->report, .events = POLLIN };
	char text[256];

	for (;;) {
		int64_t left_us = run->deadline_us - clock_monotonic_us();
		int result = left_us > 0 ? poll(&p, 1, (int)((left_us + 999) / 1000)) : 0;

		if (result > 0)
			return 0;
		if (result < 0 && errno != EINTR)
			return error_sys(err, errno, "wait for report");
		if (left_us <= 0)
			break;
	}
	plan_describe(run->plan, current_op(run), text, sizeof(text));
	return error_set(err, ERR_DEADLINE, "%s: timed out after %u ms", text, run->timeout_ms);
}

/* Listens until the socket closes. */
static int listen_to_end(struct run *run, struct error *err)
{
	for (;;) {
		_cleanup_fd_ int fd = -1;
		struct plan_report report;
		int result;

		if (wait_readable(run, err) < 0)
			return -1;
		result = receive(run, &report, &fd, err);
		if (result > 0)
			result = on_report(run, &report, &fd, err) < 0 ? -1 : 1;
		if (result <= 0 || run->waits)
			return result < 0 ? -1 : 0;
	}
}

/* The process went without a word: say how. It is left for give_up() to reap. */
static int explain_silence(const struct run *run, struct error *err)
{
	siginfo_t info = { .si_pid = 0 };
	struct pollfd p = { .fd = run->pidfd, .events = POLLIN };

	/* its descriptors close a moment before it is a zombie */
	(void)poll(&p, 1, 1000);
	if (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return error_set(err, ERR_INTERNAL, "the process closed its report");
	if (info.si_code == CLD_EXITED)
		return error_set(err, ERR_INTERNAL, "the process ended with code %d before its command", info.si_status);
	return error_set(err, ERR_INTERNAL, "the process was killed by signal %d before its command", info.si_status);
}

static int judge(const struct run *run, struct error *err)
{
	if (run->failed)
		return plan_failure(run->plan, &run->last, err);
	return run->done || run->waits ? 0 : explain_silence(run, err);
}

static void hand_over(struct run *run, struct spawn_result *result)
{
	size_t n = plan_length(run->plan);

	*result = (struct spawn_result){
		.pid = run->pid,
		.pidfd = steal_fd(&run->pidfd),
		.console_fd = steal_fd(&run->console),
		.clone_us = (uint32_t)(run->last.began_us - (uint64_t)run->began_us),
		.times = calloc(n, sizeof(*result->times)),
	};
	for (size_t i = 0; result->times && i < n; i++) {
		result->times[i].start_us = result->clone_us + run->times[i].start_us;
		result->times[i].took_us = run->times[i].took_us;
	}
}

int spawner_run_synced(struct spawner *spawner, const struct plan *plan, const int stdio[3], unsigned timeout_ms,
		       const struct sync_handler *handler, struct spawn_result *ret_result, struct error *err)
{
	_cleanup_free_
	struct plan_time *times = calloc(plan_length(plan), sizeof(*times));
	int64_t now_us = clock_monotonic_us();
	struct run run = {
		.spawner = spawner,
		.plan = plan,
		.handler = handler,
		.began_us = now_us,
		.deadline_us = now_us + (int64_t)timeout_ms * 1000,
		.timeout_ms = timeout_ms,
		.report = -1,
		.pidfd = -1,
		.console = -1,
		.times = times,
	};
	int result;

	if (!times)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	stragglers_sweep(spawner);
	look_ahead(&run);
	result = launch(&run, stdio, err);
	if (result == 0)
		result = on_born(&run, err);
	if (result == 0)
		result = listen_to_end(&run, err);
	if (result == 0)
		result = judge(&run, err);
	if (result == 0)
		hand_over(&run, ret_result);
	else
		give_up(&run);
	close_fd(&run.report);
	return result;
}

int spawner_run(struct spawner *spawner, const struct plan *plan, const int stdio[3], unsigned timeout_ms,
		struct spawn_result *ret_result, struct error *err)
{
	return spawner_run_synced(spawner, plan, stdio, timeout_ms, NULL, ret_result, err);
}
