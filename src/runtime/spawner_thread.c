/*
 * The thread that clones. Its world: a mount namespace with one read-only tmpfs, whose two entries cover masked paths of containers,
 * a descriptor table with the four service descriptors below, all signals blocked. Its children run child_main() on a stack of their own in the daemon's memory, with the
 * thread suspended (CLONE_VFORK: it also exempts them from the OOM killer, which would take the daemon with them), and leave it by
 * exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "runtime/init/sys.h"
#include "runtime/init_image.h"
#include "runtime/kernel.h"
#include "runtime/launch.h"

/* Service descriptors, below the first that the interpreter is given. */
enum {
	FD_IMAGE = 3,  /* the interpreter, sealed */
	FD_NULL = 4,   /* a null device of our own */
	FD_PROC = 5,   /* a procfs that is mounted nowhere */
	FD_DAEMON = 6, /* pidfd of this process, whose descriptors are fetched */
};

_Static_assert(FD_DAEMON + 1 == PLAN_FD_REPORT && PLAN_FD_REPORT + 1 == PLAN_FD_PLAN && PLAN_FD_PLAN + 1 == PLAN_FD_SLOTS,
	       "descriptors are fetched in this order");

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

static int image_create(struct error *err)
{
	size_t size = (size_t)(init_image_end - init_image_start);
	_cleanup_fd_ int fd = memfd_create("monopod-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("monopod-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_sys(err, errno, "create executable memory file (vm.memfd_noexec must be below 2)");
	if (write(fd, init_image_start, size) != (ssize_t)size)
		return error_sys(err, errno, "write interpreter");
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_sys(err, errno, "seal interpreter");
	return steal_fd(&fd);
}

/* A detached mount of `fs`; `attributes` as of mount_setattr(2). The context is for the caller to configure it further, and to close. */
static int detached_fs(const char *fs, unsigned attributes, int *ret_context, struct error *err)
{
	_cleanup_fd_ int context = sys_fsopen(fs, FSOPEN_CLOEXEC);
	int fd;

	if (context < 0)
		return error_sys(err, errno, "open file system %s", fs);
	if (sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_sys(err, errno, "create %s", fs);
	fd = sys_fsmount(context, FSMOUNT_CLOEXEC, attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (fd >= 0 && ret_context)
		*ret_context = steal_fd(&context);
	return fd < 0 ? error_sys(err, errno, "mount %s", fs) : fd;
}

/*
 * A null device for streams that the caller leaves out, on a file system of its own: the host's would let a container's root change
 * the mode of the host's /dev/null through its descriptor.
 */
static int null_create(struct error *err)
{
	_cleanup_fd_ int dir = detached_fs("tmpfs", 0, NULL, err);
	int fd;

	if (dir < 0)
		return -1;
	if (mknodat(dir, "null", S_IFCHR | 0666, makedev(1, 3)) < 0)
		return error_sys(err, errno, "make null device");
	fd = openat(dir, "null", O_RDWR | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "open null device") : fd;
}

/* Moves `fd` to its place; takes it. */
static int place(int fd, int number, struct error *err)
{
	if (fd < 0)
		return -1;
	if (fd == number)
		return 0;
	if (dup3(fd, number, O_CLOEXEC) < 0) {
		(void)error_sys(err, errno, "place descriptor %d", number);
		(void)close(fd);
		return -1;
	}
	(void)close(fd);
	return 0;
}

static int own_pidfd(struct error *err)
{
	int fd = sys_pidfd_open(getpid(), 0);

	return fd < 0 ? error_sys(err, errno, "open own process") : fd;
}

/* The null device and the procfs, in their places. */
static int open_extras(struct error *err)
{
	return place(null_create(err), FD_NULL, err) < 0 ||
			       place(detached_fs("proc", MOUNT_ATTR_NODEV, NULL, err), FD_PROC, err) < 0
		       ? -1
		       : 0;
}

/* Numbers are counted on: until the real ones are there, the interpreter stands in their places. */
static int hold_places(struct error *err)
{
	for (int fd = FD_NULL; fd <= FD_PROC; fd++) {
		if (dup3(FD_IMAGE, fd, O_CLOEXEC) < 0)
			return error_sys(err, errno, "place descriptor %d", fd);
	}
	return 0;
}

static int open_services(const struct spawner *spawner, struct error *err)
{
	/* from here on this thread has a table of its own; 0, 1 and 2 stay for messages of a sanitizer */
	if (close_range(FD_IMAGE, ~0U, CLOSE_RANGE_UNSHARE) < 0)
		return error_sys(err, errno, "unshare descriptors");
	if (place(image_create(err), FD_IMAGE, err) < 0 || (spawner->once ? hold_places(err) : open_extras(err)) < 0 ||
	    place(own_pidfd(err), FD_DAEMON, err) < 0)
		return -1;
	return 0;
}

/* A container that may mount can make the file system writable again; what it puts into the directory would show in all others. Where
 * tmpfs knows the flag (Linux 6.6) it takes one right more. */
static void make_immutable(int dir, const char *name)
{
	_cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int flags = FS_IMMUTABLE_FL;

	if (fd >= 0)
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/*
 * The root that every child starts from. Nobody in a container sees it, but for what covers masked paths: an empty directory and a null
 * device. They are all containers' in common, so the file system is made read-only when they are in it: their mode and owner stay.
 */
static int root_create(struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_fd_ int context = -1;
	_cleanup_fd_ int fd = detached_fs("tmpfs", 0, &context, err);

	if (fd < 0)
		return -1;
	if (mkdirat(fd, PLAN_EMPTY_DIR, 0) < 0 || fchmodat(fd, PLAN_EMPTY_DIR, 0555, 0) < 0 ||
	    mknodat(fd, PLAN_NULL_DEVICE, S_IFCHR, makedev(1, 3)) < 0 || fchmodat(fd, PLAN_NULL_DEVICE, 0666, 0) < 0)
		return error_sys(err, errno, "make covers of masked paths");
	make_immutable(fd, PLAN_EMPTY_DIR);
	if (sys_fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    sys_fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0 ||
	    sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr) < 0)
		return error_sys(err, errno, "make root read-only");
	return steal_fd(&fd);
}

/*
 * Leaves the host's mounts: first nothing that happens here is seen there any more (private), then / becomes a tmpfs of ours, then the
 * old tree is let go.
 */
static int leave_host(struct error *err)
{
	_cleanup_fd_ int root = -1;

	if (unshare(CLONE_FS) < 0 || unshare(CLONE_NEWNS) < 0)
		return error_sys(err, errno, "unshare mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, errno, "make mounts private");
	root = root_create(err);
	if (root < 0)
		return -1;
	if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_sys(err, errno, "attach own root");
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return error_sys(err, errno, "change root");
	/* the old root now lies on top of the new one */
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_sys(err, errno, "leave host's mounts");
	return 0;
}

static int make_stack(struct spawner *spawner, struct error *err)
{
	long page = sysconf(_SC_PAGESIZE);

	spawner->stack = mmap(NULL, LAUNCH_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (spawner->stack == MAP_FAILED)
		return error_sys(err, errno, "map stack");
	/* a guard below: an overrun must not reach the daemon's memory */
	if (mprotect(spawner->stack, (size_t)page, PROT_NONE) < 0)
		return error_sys(err, errno, "protect stack");
	return 0;
}

/* What child_main() needs; in the daemon's memory. */
struct child_args {
	int stdio[3];
	int last;     /* highest descriptor that the interpreter gets */
	int oom_file; /* the one that is this child's own oom_score_adj, or -1 */
	char *argv[2];
	char *envp[1];
	int error; /* errno, by the child */
};

/*
 * Runs in the daemon's memory while the thread is suspended: system calls only, nothing that touches errno or takes a lock, no
 * instrumentation that would.
 */
__attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined"))) static int child_main(void *arg)
{
	struct child_args *child = arg;
	long result = 0;

	for (int i = 0; i < 3 && result >= 0; i++)
		result = SYS(dup3, child->stdio[i], i, 0);
	if (child->oom_file >= 0 && result >= 0) {
		long fd = SYS(openat, FD_PROC, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);

		result = fd < 0 ? fd : SYS(dup3, fd, child->oom_file, 0);
	}
	for (int fd = PLAN_FD_REPORT; fd <= child->last && result >= 0; fd++)
		result = SYS(fcntl, fd, F_SETFD, 0);
	if (result >= 0)
		result = SYS(execveat, FD_IMAGE, "", child->argv, child->envp, AT_EMPTY_PATH);
	child->error = (int)-result;
	(void)SYS(exit_group, 127);
	return 127;
}

/*
 * Copies a descriptor of the daemon to the lowest free number, which is known. By system call: the thread sanitizer follows
 * descriptors by number and does not know of a second table.
 */
static int fetch(int fd, int number, const char *what, struct error *err)
{
	int got = (int)(fd < 0 ? syscall(SYS_dup3, FD_NULL, number, O_CLOEXEC) : syscall(SYS_pidfd_getfd, FD_DAEMON, fd, 0));

	if (got < 0)
		return error_sys(err, errno, "fetch %s (descriptor %d)", what, fd);
	if (got != number)
		return error_set(err, ERR_INTERNAL, "fetch %s: got descriptor %d, not %d", what, got, number);
	return 0;
}

/* Puts every descriptor of the child into this thread's table, at its number. Standard streams go behind the rest. */
static int fetch_all(const struct launch *launch, struct child_args *child, struct error *err)
{
	const struct plan *plan = launch->plan;
	int number = PLAN_FD_SLOTS;

	if (fetch(launch->report, PLAN_FD_REPORT, "report", err) < 0 || fetch(launch->plan_fd, PLAN_FD_PLAN, "plan", err) < 0)
		return -1;
	for (unsigned i = 0; i < plan->n_fds; i++) {
		if (plan->fds[i] < 0)
			return error_set(err, ERR_INVALID, "plan: slot %u has no descriptor", i);
		if (fetch(plan->fds[i], number++, "slot", err) < 0)
			return -1;
	}
	child->oom_file = -1;
	if (plan->block->own_oom_file) {
		child->oom_file = number;
		if (fetch(-1, number++, "", err) < 0)
			return -1;
	}
	child->last = number - 1;
	for (int i = 0; i < 3; i++) {
		child->stdio[i] = number;
		if (fetch(launch->stdio[i], number++, "standard stream", err) < 0)
			return -1;
	}
	return 0;
}

/*
 * The C library's clone() under its other name. The thread sanitizer takes clone() for a fork and switches itself off in the child,
 * which here is to do so in the memory of both.
 */
extern int __clone(int (*run)(void *arg), void *stack, int flags, void *arg, ...);

/* What is cloned for this child; what the thread has made in advance, it is born in. */
static int clone_flags(struct spawner *spawner, const struct launch *launch, struct error *err)
{
	unsigned prepared = spawner->prepared, flags = launch->plan->block->clone_flags;

	if (prepared & ~flags)
		return error_set(err, ERR_INTERNAL, "the plan has no use for a namespace that was made for it");
	/* the next child's are its own */
	spawner->prepared = 0;
	return CLONE_VM | CLONE_VFORK | SIGCHLD | (int)(flags & ~prepared);
}

/* Makes what was left out and is needed now. */
static int complete(struct spawner *spawner, struct launch *launch)
{
	bool needed = launch->plan->block->own_oom_file || launch->stdio[0] < 0 || launch->stdio[1] < 0 || launch->stdio[2] < 0;

	if (!spawner->once || !needed)
		return 0;
	if (open_extras(&launch->error) < 0)
		return -1;
	spawner->once = false;
	return 0;
}

static void do_launch(struct spawner *spawner, struct launch *launch)
{
	char name[sizeof(launch->plan->name)];
	struct child_args child = { .argv = { name, NULL }, .envp = { NULL } };
	int flags = clone_flags(spawner, launch, &launch->error);
	int pid = -1;

	memcpy(name, launch->plan->name, sizeof(name));
	if (flags >= 0 && complete(spawner, launch) == 0 && fetch_all(launch, &child, &launch->error) == 0) {
		pid = __clone(child_main, (char *)spawner->stack + LAUNCH_STACK_SIZE, flags, &child);
		if (pid < 0)
			(void)error_sys(&launch->error, errno, "clone");
	}
	(void)close_range(PLAN_FD_REPORT, ~0U, 0);
	if (pid > 0 && child.error != 0) {
		(void)error_sys(&launch->error, child.error, "exec interpreter");
		(void)waitid(P_PID, (id_t)pid, NULL, WEXITED);
		pid = -1;
	}
	launch->pid = pid;
}

static struct launch *take_next(struct spawner *spawner)
{
	struct launch *launch;

	while (!spawner->queue && !spawner->closing)
		(void)pthread_cond_wait(&spawner->wake, &spawner->lock);
	launch = spawner->queue;
	if (!launch)
		return NULL;
	spawner->queue = launch->next;
	if (!spawner->queue)
		spawner->queue_end = &spawner->queue;
	launch->state = LAUNCH_TAKEN;
	return launch;
}

static int settle(struct spawner *spawner, struct error *err)
{
	(void)prctl(PR_SET_NAME, "spawner");
	if (spawner->prepared && unshare((int)spawner->prepared) < 0)
		return error_sys(err, errno, "start spawner: make namespaces");
	if (make_stack(spawner, err) < 0 || open_services(spawner, err) < 0 || leave_host(err) < 0)
		return error_prefix(err, "start spawner");
	return 0;
}

void *spawner_thread(void *arg)
{
	struct spawner *spawner = arg;
	int result = settle(spawner, &spawner->error);
	struct launch *launch;

	(void)pthread_mutex_lock(&spawner->lock);
	spawner->ready = result == 0;
	/* or whoever opened it wanted it no more before this thread had begun */
	spawner->closing = spawner->closing || result < 0;
	(void)pthread_cond_broadcast(&spawner->over);
	while ((launch = take_next(spawner))) {
		(void)pthread_mutex_unlock(&spawner->lock);
		do_launch(spawner, launch);
		(void)pthread_mutex_lock(&spawner->lock);
		launch->state = LAUNCH_OVER;
		(void)pthread_cond_broadcast(&spawner->over);
	}
	(void)pthread_mutex_unlock(&spawner->lock);
	(void)close_range(FD_IMAGE, ~0U, 0);
	return NULL;
}
