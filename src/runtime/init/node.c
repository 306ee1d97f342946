/* Directories, links and device nodes that the compiler asked for. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

int op_mkdir(struct run *run, const struct plan_op *op)
{
	int fd = path_make_dir_for(run, op, op->mode, op->uid, op->gid);

	if (fd < 0)
		return fd;
	(void)SYS(close, fd);
	return 0;
}

static bool has_slash(const char *text)
{
	while (*text != '\0' && *text != '/')
		text++;
	return *text == '/';
}

static int open_tmpfs_parent(const struct run *run, const char *path, const char **ret_name)
{
	int dir = path_make_parent(run, path, ret_name);

	if (dir < 0 || is_on(dir, TMPFS_MAGIC))
		return dir;
	(void)SYS(close, dir);
	return -EPERM;
}

/*
 * Nodes and links are made on a tmpfs that this plan has just mounted, never in the image (CVE-2026-41579). /dev itself, where nearly
 * all of them are, is looked up once. run->dev stays open; any other directory is closed by close_parent().
 */
static int open_parent(struct run *run, const char *path, const char **ret_name)
{
	static const char dev[] = "/dev/";
	size_t n = 0;

	while (n < sizeof(dev) - 1 && path[n] == dev[n])
		n++;
	if (n < sizeof(dev) - 1 || has_slash(path + n))
		return open_tmpfs_parent(run, path, ret_name);
	if (run->dev < 0)
		run->dev = open_tmpfs_parent(run, path, ret_name);
	*ret_name = path + n;
	return run->dev;
}

static void close_parent(const struct run *run, int dir)
{
	if (dir != run->dev)
		(void)SYS(close, dir);
}

int op_symlink(struct run *run, const struct plan_op *op)
{
	const char *target = plan_text(run->plan, plan_list(run->plan, op)[0]);
	const char *name;
	int dir = open_parent(run, op_text(run, op), &name);
	int result;

	if (dir < 0)
		return dir;
	result = (int)SYS(symlinkat, target, dir, name);
	if (result == 0 && (run->uid != 0 || run->gid != 0))
		result = (int)SYS(fchownat, dir, name, run->uid, run->gid, AT_SYMLINK_NOFOLLOW);
	close_parent(run, dir);
	return result;
}

/* As the kernel encodes a device number for user space (MKDEV of include/linux/kdev_t.h, new_encode_dev()). */
static uint32_t encode_device(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (major << 8) | ((minor & ~0xffU) << 12);
}

int op_device(struct run *run, const struct plan_op *op)
{
	const char *name;
	int dir = open_parent(run, op_text(run, op), &name);
	int result;

	if (dir < 0)
		return dir;
	result = (int)SYS(mknodat, dir, name, op->mode, encode_device((uint32_t)op->value[0], (uint32_t)op->value[1]));
	if (result == 0 && (op->uid != 0 || op->gid != 0))
		result = (int)SYS(fchownat, dir, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW);
	close_parent(run, dir);
	return result;
}

bool is_null(int fd)
{
	struct statx st = { .stx_mode = 0 };

	return SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 && (st.stx_mode & S_IFMT) == S_IFCHR &&
	       st.stx_rdev_major == 1 && st.stx_rdev_minor == 3;
}
