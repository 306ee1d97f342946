/* The terminal of a container: a pty of its own devpts, and the ownership of its standard streams. */
#include <asm/ioctls.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

/* The multiplexer of a real devpts: nothing but the kernel can put a "ptmx" into one, and no mount on top of it is crossed. */
static int open_master(const struct run *run)
{
	struct open_how how = { .flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
				.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
	int dir = path_open(run, "/dev/pts", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	int fd;

	if (dir < 0)
		return dir;
	fd = is_on(dir, DEVPTS_SUPER_MAGIC) ? (int)SYS(openat2, dir, "ptmx", &how, sizeof(how)) : -ENODEV;
	(void)SYS(close, dir);
	return fd;
}

/* The peer by ioctl: no path leads to it that somebody could swap. */
static int open_slave(int master)
{
	int unlocked = 0;
	int result = (int)SYS(ioctl, master, TIOCSPTLCK, &unlocked);

	return result < 0 ? result : (int)SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static int show_as_console(const struct run *run, const struct plan_op *op, int slave)
{
	const char *name;
	int dir = path_make_parent(run, "/dev/console", &name);
	int target, tree, result;

	(void)op;
	if (dir < 0)
		return dir;
	if (!is_on(dir, TMPFS_MAGIC)) {
		(void)SYS(close, dir);
		return -EPERM;
	}
	target = (int)SYS(openat, dir, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	(void)SYS(close, dir);
	if (target < 0)
		return target;
	tree = (int)SYS(open_tree, slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	result = tree < 0 ? tree : (int)SYS(move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (tree >= 0)
		(void)SYS(close, tree);
	(void)SYS(close, target);
	return result;
}

static int use_slave(const struct run *run, const struct plan_op *op, int slave)
{
	int result = 0;

	if (op->flags & PLAN_FILE)
		result = show_as_console(run, op, slave);
	if (result == 0)
		result = (int)SYS(fchown, slave, op->uid, -1);
	for (int fd = 0; fd < 3 && result == 0; fd++) {
		long copy = SYS(dup3, slave, fd, 0);

		result = copy < 0 ? (int)copy : 0;
	}
	return result;
}

int op_console(struct run *run, const struct plan_op *op)
{
	int master = open_master(run);
	int slave, result;

	if (master < 0)
		return master;
	slave = open_slave(master);
	result = slave < 0 ? slave : use_slave(run, op, slave);
	if (result == 0)
		result = report_console(run, master);
	if (slave >= 0)
		(void)SYS(close, slave);
	(void)SYS(close, master);
	return result;
}

/*
 * The null device that stood in for a missing stream belongs to the spawner; a container gets its own, whose mode and times are its
 * own business. Without a /dev/null that is one, the spawner's stays.
 */
static int use_own_null(struct run *run, int number)
{
	/* a look first: opening what is no null device may have an effect */
	int place = path_open(run, "/dev/null", O_PATH, RESOLVE_NO_SYMLINKS);
	int fd, result = 0;

	if (place < 0)
		return 0;
	fd = is_null(place) ? path_open(run, "/dev/null", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS) : -ENODEV;
	(void)SYS(close, place);
	if (fd < 0)
		return 0;
	if (is_null(fd))
		result = (int)SYS(dup3, fd, number, 0);
	(void)SYS(close, fd);
	return result < 0 ? result : 0;
}

/* A process reopens /dev/stdout through /proc, where the owner of the pipe counts. Files and other devices keep their owner. */
int op_stdio(struct run *run, const struct plan_op *op)
{
	for (int fd = 0; fd < 3; fd++) {
		int result = 0;

		if (is_null(fd))
			result = op->flags & PLAN_LATER ? 0 : use_own_null(run, fd);
		else if (op->uid != 0 && !(op->flags & PLAN_RETRY) && file_type(fd) == S_IFIFO)
			result = (int)SYS(fchown, fd, op->uid, -1);
		if (result < 0)
			return result;
	}
	return 0;
}
