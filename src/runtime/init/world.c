/* Cgroups and namespaces, and the change of process that some of them need. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

int op_oom_score(struct run *run, const struct plan_op *op)
{
	const char *text = op_text(run, op);
	long n = SYS(write, op_slot(op), text, text_length(text));

	return n < 0 ? (int)n : 0;
}

/* 0 is the writer itself, the one form that needs no grace period: 60 us instead of 11 ms. */
int op_cgroup(struct run *run, const struct plan_op *op)
{
	long n = SYS(write, op_slot(op), "0", 1);

	(void)run;
	return n < 0 ? (int)n : 0;
}

static long clone_process(const struct plan_op *op)
{
	struct clone_args args = { .flags = CLONE_PARENT | CLONE_INTO_CGROUP | op->value[0] };

	/* the older call where it does: seccomp filters refuse clone3(2), whose flags they cannot see */
	if (op->fd < 0)
		return SYS(clone, CLONE_PARENT | op->value[0] | SIGCHLD, 0, 0, 0, 0);
	args.cgroup = (uint64_t)op_slot(op);
	return SYS(clone3, &args, sizeof(args));
}

/* The child does nothing until its parent has told the daemon about it: one byte, or the end of the pipe when it could not. */
static void wait_for_go(const int go[2])
{
	char byte;

	(void)SYS(close, go[1]);
	if (SYS(read, go[0], &byte, 1) != 1)
		leave(1);
	(void)SYS(close, go[0]);
}

/*
 * The child is the daemon's (CLONE_PARENT) and copies this small address space: it may be visible to the processes of a joined PID
 * namespace. This process leads a group of its own, so that the daemon can reap a child that it was not told about.
 */
int op_fork(struct run *run, const struct plan_op *op)
{
	int go[2] = { -1, -1 };
	long pid = SYS(pipe2, go, O_CLOEXEC);

	if (pid < 0)
		return (int)pid;
	/* not a session: where the scheduler groups by session, a new one waits for its first turn on a busy machine */
	(void)SYS(setpgid, 0, 0); /* refused for the leader of a session: as good */
	pid = clone_process(op);
	if (pid < 0)
		return (int)pid;
	if (pid == 0) {
		wait_for_go(go);
		return 0;
	}
	if (report_forked(run, (int)pid) < 0)
		leave(1);
	(void)SYS(write, go[1], "", 1);
	leave(0);
}

static void forget(int *fd)
{
	if (*fd >= 0)
		(void)SYS(close, *fd);
	*fd = -1;
}

/* Both calls moved / to where it is in the new mount namespace; what was open leads to the former one. */
static int change_root(struct run *run)
{
	forget(&run->root);
	forget(&run->dev);
	forget(&run->below);
	forget(&run->empty);
	forget(&run->null);
	run->root = (int)SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return run->root < 0 ? run->root : 0;
}

int op_join(struct run *run, const struct plan_op *op)
{
	int result = (int)SYS(setns, op_slot(op), op->value[0]);

	return result < 0 || !(op->value[0] & CLONE_NEWNS) ? result : change_root(run);
}

/* Of the kernel's include/linux/socket.h and net.h, which its exported headers leave out. */
#define AF_UNIX 1
#define SOCK_STREAM 1

/* In a process of its own: makes the namespaces, says how that went, and stays until the other end is closed. */
static _Noreturn void make_owned(const struct plan_op *op, int said)
{
	int result = (int)SYS(setns, op_slot(op), CLONE_NEWUSER);
	char byte;

	if (result == 0)
		result = (int)SYS(unshare, op->value[0]);
	(void)SYS(write, said, &result, sizeof(result));
	(void)SYS(read, said, &byte, 1);
	leave(0);
}

/*
 * Whoever makes a namespace owns it with his user namespace, and there is no way back out of that. So another process goes there and
 * this one, still the host's root, takes the namespaces from it. It is a copy of these few pages and as hard to look into.
 */
static int take_owned(const struct plan_op *op)
{
	struct clone_args args = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
	int pair[2] = { -1, -1 }, pidfd = -1, result = 0;
	long pid = SYS(socketpair, AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, pair);

	if (pid < 0)
		return (int)pid;
	args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	pid = SYS(clone3, &args, sizeof(args));
	if (pid == 0) {
		(void)SYS(close, pair[0]);
		make_owned(op, pair[1]);
	}
	(void)SYS(close, pair[1]);
	if (pid < 0)
		result = (int)pid;
	else if (SYS(read, pair[0], &result, sizeof(result)) != sizeof(result))
		result = -ECHILD;
	if (result == 0)
		result = (int)SYS(setns, pidfd, op->value[0]);
	(void)SYS(close, pair[0]);
	if (pid > 0) {
		(void)SYS(wait4, pid, 0, 0, 0);
		(void)SYS(close, pidfd);
	}
	return result;
}

int op_unshare(struct run *run, const struct plan_op *op)
{
	int result = op->fd >= 0 ? take_owned(op) : (int)SYS(unshare, op->value[0]);

	return result < 0 || !(op->value[0] & CLONE_NEWNS) ? result : change_root(run);
}

int op_owner(struct run *run, const struct plan_op *op)
{
	run->uid = op->uid;
	run->gid = op->gid;
	return 0;
}
