/*
 * Stops of a plan, and programs of others that run in the middle of it.
 *
 * A stop never outlasts who it is for: the answer, or the end of the socket, which is the end of this process. Only op_wait() waits
 * for somebody who may come days later; then whoever may connect decides, and that is who can reach the socket's file.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

int op_sync(struct run *run, const struct plan_op *op)
{
	char answer;
	int result = op->flags & PLAN_LATER ? 0 : report_sync(run);

	if (result < 0)
		return result;
	if (SYS(read, run->report, &answer, 1) != 1)
		leave(1);
	return 0;
}

int op_wait(struct run *run, const struct plan_op *op)
{
	int slot = op_slot(op);
	int fd = (int)SYS(accept4, slot, 0, 0, O_CLOEXEC);
	long result;

	if (fd < 0)
		return fd;
	/* nobody else is answered */
	(void)SYS(close, slot);
	result = SYS(dup3, fd, run->report, O_CLOEXEC);
	(void)SYS(close, fd);
	return result < 0 ? (int)result : 0;
}

/* Two vectors on the stack of the child, each ended by NULL. */
struct vectors {
	const char *argv[PLAN_HOOK_STRINGS + 1];
	const char *envp[PLAN_HOOK_STRINGS + 1];
};

static int fill_vectors(const struct run *run, const struct plan_op *op, struct vectors *v)
{
	const uint32_t *list = plan_list(run->plan, op);
	const char **at = v->argv;
	uint32_t n = 0;

	for (uint32_t i = 0; i < op->n_list; i++) {
		if (list[i] == 0 && at == v->argv) {
			at[n] = NULL;
			at = v->envp;
			n = 0;
			continue;
		}
		if (n == PLAN_HOOK_STRINGS)
			return -E2BIG;
		at[n++] = list[i] ? plan_text(run->plan, list[i]) : "";
	}
	at[n] = NULL;
	if (at == v->argv)
		v->envp[0] = NULL;
	return 0;
}

/* The child. What goes wrong before exec is told through the pipe, which exec closes. */
static _Noreturn void become_hook(const struct run *run, const struct plan_op *op, int tell)
{
	struct vectors v;
	int state = op_slot(op), output = op->value[1] ? PLAN_FD_SLOTS - 1 + (int)op->value[1] : -1;
	int result = fill_vectors(run, op, &v);

	(void)SYS(setpgid, 0, 0); /* so that what it leaves behind ends with it */
	if (result >= 0)
		result = (int)SYS(lseek, state, 0, 0);
	if (result >= 0)
		result = (int)SYS(dup3, state, 0, 0);
	for (int fd = 1; fd < 3 && output >= 0 && result >= 0; fd++)
		result = (int)SYS(dup3, output, fd, 0);
	if (result >= 0)
		result = (int)SYS(execve, op_text(run, op), v.argv, v.envp);
	(void)SYS(write, tell, &result, sizeof(result));
	leave(127);
}

/* 1 when it has ended, 0 when it has not in time. */
static int await_end(int pidfd, uint64_t timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	struct {
		int64_t seconds, nanoseconds;
	} timeout = { (int64_t)(timeout_ms / 1000), (int64_t)(timeout_ms % 1000) * 1000000 };

	return (int)SYS(ppoll, &p, 1, &timeout, 0, 0);
}

static int finish_hook(struct run *run, const struct plan_op *op, int pid, int pidfd)
{
	int ended = await_end(pidfd, op->value[0]);
	int status = 0;
	long result;

	/* and what it has started: one that ended well may leave a helper behind, as hooks that watch a container do */
	if (ended <= 0)
		(void)SYS(kill, -pid, SIGKILL);
	result = SYS(wait4, pid, &status, 0, 0);
	if (ended <= 0)
		return ended < 0 ? ended : -ETIMEDOUT;
	if (result < 0)
		return (int)result;
	run->hook_status = status;
	return status == 0 ? 0 : -ECANCELED;
}

static int start_hook(const struct run *run, const struct plan_op *op, int *ret_pidfd)
{
	int pipe[2] = { -1, -1 };
	int error = 0;
	long pid = SYS(pipe2, pipe, O_CLOEXEC), n;

	if (pid < 0)
		return (int)pid;
	/* the older call: seccomp filters refuse clone3(2) */
	pid = SYS(clone, CLONE_PIDFD | SIGCHLD, 0, ret_pidfd, 0, 0);
	if (pid == 0)
		become_hook(run, op, pipe[1]);
	(void)SYS(close, pipe[1]);
	n = pid < 0 ? 0 : SYS(read, pipe[0], &error, sizeof(error));
	(void)SYS(close, pipe[0]);
	if (n != sizeof(error))
		return (int)pid;
	(void)SYS(wait4, pid, 0, 0, 0);
	(void)SYS(close, *ret_pidfd);
	return error;
}

int op_hook(struct run *run, const struct plan_op *op)
{
	int pidfd = -1, result;
	int pid = start_hook(run, op, &pidfd);

	if (pid < 0)
		return pid;
	result = finish_hook(run, op, pid, pidfd);
	(void)SYS(close, pidfd);
	return result;
}
