/* What a process inherits through exec besides its identity, and exec itself. */
#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

#define N_SIGNALS 64

/* The kernel's struct sigaction is four words on both architectures; all zero is SIG_DFL. */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

/* exec keeps what is ignored, and the daemon ignores SIGPIPE. */
int op_signals(struct run *run, const struct plan_op *op)
{
	struct kernel_sigaction def = { 0 };
	uint64_t none = 0;

	(void)run, (void)op;
	for (int signo = 1; signo <= N_SIGNALS; signo++)
		(void)SYS(rt_sigaction, signo, &def, 0, sizeof(def.mask)); /* SIGKILL and SIGSTOP refuse */
	return (int)SYS(rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof(none));
}

int op_session(struct run *run, const struct plan_op *op)
{
	long result = SYS(setsid, 0);

	(void)run;
	if (result < 0)
		return (int)result;
	return op->flags & PLAN_TTY ? (int)SYS(ioctl, 0, TIOCSCTTY, 0) : 0;
}

int op_rlimit(struct run *run, const struct plan_op *op)
{
	(void)run;
	return (int)SYS(prlimit64, 0, op->mode, op->value, 0);
}

int op_umask(struct run *run, const struct plan_op *op)
{
	(void)run;
	(void)SYS(umask, op->mode);
	return 0;
}

/*
 * The directory is resolved in the root, without magic links, and then looked at from inside: the kernel begins the path of a
 * directory that the root does not reach with "(unreachable)" (CVE-2024-21626).
 */
static int enter(const struct run *run, const char *path)
{
	char where[PATH_SIZE];
	int fd = path_open(run, path, O_PATH | O_DIRECTORY, 0);
	long result;

	if (fd < 0)
		return fd;
	result = SYS(fchdir, fd);
	(void)SYS(close, fd);
	if (result < 0)
		return (int)result;
	where[0] = '\0';
	result = SYS(getcwd, where, sizeof(where));
	if (result < 0)
		return (int)result;
	return where[0] == '/' ? 0 : -EPERM;
}

int op_chdir(struct run *run, const struct plan_op *op)
{
	int result;

	if ((op->flags & PLAN_RETRY) && !run->chdir_refused)
		return 0;
	result = enter(run, op_text(run, op));
	if (result != -EACCES || !(op->flags & PLAN_LATER))
		return result;
	/* a network file system may trust the container's user more than root */
	run->chdir_refused = true;
	return 0;
}

int op_close_on_exec(struct run *run, const struct plan_op *op)
{
	(void)run, (void)op;
	return (int)SYS(close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
}

static int try_lookup(const char *path)
{
	uint32_t type = 0;
	/* real and effective ids are the same by now; the older call, because filters know it */
	int result = (int)SYS(faccessat, AT_FDCWD, path, 1 /* X_OK */);
	struct statx st = { .stx_mode = 0 };

	if (result == 0)
		result = (int)SYS(statx, AT_FDCWD, path, 0, STATX_TYPE, &st);
	type = st.stx_mode & S_IFMT;
	return result == 0 && type != S_IFREG ? -EACCES : result;
}

/* Whoever creates a container hears at once that its command is not there, not only when it is started. */
int op_lookup(struct run *run, const struct plan_op *op)
{
	const uint32_t *candidates = plan_list(run->plan, op);
	int refused = -ENOENT;

	for (uint32_t i = 0; i < op->n_list; i++) {
		int result = candidates[i] ? try_lookup(plan_text(run->plan, candidates[i])) : -ENOENT;

		/* a filter or an old kernel has no opinion; exec will have one */
		if (result == 0 || result == -ENOSYS || result == -EPERM)
			return 0;
		if (result == -EACCES)
			refused = -EACCES;
		else if (result != -ENOENT && result != -ENOTDIR)
			return result;
	}
	return refused;
}

/* Everything that stays moves above the slots and the numbers in question first: a slot may have the number of another's place. */
int op_keep(struct run *run, const struct plan_op *op)
{
	const uint32_t *slots = plan_list(run->plan, op);
	int n = (int)op->n_list;
	int bound = PLAN_FD_SLOTS + (int)run->plan->n_fds + n;
	int result = (int)SYS(dup3, run->report, bound, O_CLOEXEC);

	if (result < 0)
		return result;
	run->report = bound;
	for (int i = 0; i < n && result >= 0; i++)
		result = (int)SYS(dup3, PLAN_FD_SLOTS + (int)slots[i], bound + 1 + i, O_CLOEXEC);
	for (int i = 0; i < n && result >= 0; i++)
		result = (int)SYS(dup3, bound + 1 + i, 3 + i, 0);
	return result < 0 ? result : 0;
}

/* As execvp(3): the first candidate that is there; one that was refused counts only when no other is found. */
int op_exec(struct run *run, const struct plan_op *op)
{
	const uint32_t *candidates = plan_list(run->plan, op);
	int refused = -ENOENT;
	int result = report_done(run);

	if (result < 0)
		return result;
	for (uint32_t i = 0; i < op->n_list; i++) {
		result = (int)SYS(execve, plan_text(run->plan, candidates[i]), (char *)run->plan + run->plan->argv,
				  (char *)run->plan + run->plan->envp);
		if (result == -EACCES)
			refused = -EACCES;
		else if (result != -ENOENT && result != -ENOTDIR)
			return result;
	}
	return refused;
}

/*
 * The init of a PID namespace. Whoever ignores SIGCHLD has no zombies: the kernel reaps what ends here and no instruction of ours
 * runs again. Signals from inside the namespace do not reach its init, so it ends by SIGKILL from outside alone.
 */
int op_stay(struct run *run, const struct plan_op *op)
{
	struct kernel_sigaction ignore = { .handler = 1 /* SIG_IGN */ };
	uint64_t all = ~0ULL;
	int result;

	(void)SYS(prctl, PR_SET_NAME, op_text(run, op));
	(void)SYS(rt_sigprocmask, SIG_SETMASK, &all, 0, sizeof(all));
	result = (int)SYS(rt_sigaction, SIGCHLD, &ignore, 0, sizeof(ignore.mask));
	if (result == 0)
		result = report_done(run);
	if (result < 0)
		return result;
	(void)SYS(close_range, 0, ~0U, 0);
	(void)SYS(munmap, PLAN_ADDRESS, run->plan->size);
	for (;;)
		(void)SYS(ppoll, 0, 0, 0, 0, 0);
}
