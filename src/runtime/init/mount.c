/* Mounts: made detached, configured, and only then attached to a descriptor. No path string reaches the kernel after resolution. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

#define AT_RECURSIVE 0x8000
#define MNT_DETACH 2

bool is_on(int fd, long magic)
{
	/* struct statfs of both architectures begins with a long f_type and is 120 bytes long */
	long st[120 / sizeof(long)] = { 0 };

	return SYS(fstatfs, fd, st) == 0 && st[0] == magic;
}

static int set_attributes(int fd, uint64_t attributes, bool recursive)
{
	struct mount_attr attr = { .attr_set = attributes };

	if (attributes == 0)
		return 0;
	/* the time attributes are one field: setting it asks for clearing it */
	if (attributes & MOUNT_ATTR__ATIME)
		attr.attr_clr = MOUNT_ATTR__ATIME;
	return (int)SYS(mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

static int attach(int mount, int target)
{
	return (int)SYS(move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int attach_to_root(int fd)
{
	return (int)SYS(move_mount, fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
}

static int make_root(int fd)
{
	int result = (int)SYS(fchdir, fd);

	return result == 0 ? (int)SYS(chroot, ".") : result;
}

/* The spawner's root, from before anything covers it: with hooks that is the copy of the host's. */
static int keep_below(struct run *run)
{
	if (run->below < 0)
		run->below = (int)SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return run->below < 0 ? run->below : 0;
}

/*
 * The only mount in this namespace so far is the spawner's, a read-only tmpfs. The container's root covers it, and / moves there.
 * Nothing is unmounted (an unmount costs an RCU grace period, milliseconds under load): what lies below holds nothing but the covers of
 * masked paths, and neither ".." from the root nor a namespace joined from outside ever shows it.
 */
int op_root(struct run *run, const struct plan_op *op)
{
	/* mounts on a root that shares with the host would appear there */
	struct mount_attr attr = { .propagation = op->value[0] ? op->value[0] : MS_PRIVATE };
	const char *where = op->flags & PLAN_LATER ? op_text(run, op) : "/";
	int fd = op_slot(op);
	int result = (int)SYS(mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));

	if (result == 0)
		result = keep_below(run);
	if (result == 0)
		result = (int)SYS(move_mount, fd, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH);
	if (result == 0 && !(op->flags & PLAN_LATER))
		result = make_root(fd);
	run->root = fd;
	return result;
}

/*
 * Hooks that come from the host find the host's files, with the container's root at its place among them. The copy is private: what
 * they mount is seen in the container alone.
 */
int op_host_root(struct run *run, const struct plan_op *op)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	int fd = op_slot(op);
	int result = (int)SYS(mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));

	if (result == 0)
		result = keep_below(run);
	if (result == 0)
		result = attach_to_root(fd);
	return result == 0 ? make_root(fd) : result;
}

/* Here something has to be unmounted: the host's tree, which lies on the new root after the exchange. */
int op_pivot(struct run *run, const struct plan_op *op)
{
	int result = (int)SYS(fchdir, run->root);

	(void)op;
	if (result == 0)
		result = (int)SYS(pivot_root, ".", ".");
	if (result == 0)
		result = (int)SYS(umount2, ".", MNT_DETACH);
	return result == 0 ? (int)SYS(chdir, "/") : result;
}

int op_propagation(struct run *run, const struct plan_op *op)
{
	struct mount_attr attr = { .propagation = op->value[0] };
	int fd = path_open(run, op_text(run, op), O_PATH, RESOLVE_NO_SYMLINKS);
	int result;

	if (fd < 0)
		return fd;
	result = (int)SYS(mount_setattr, fd, "", AT_EMPTY_PATH | (op->flags & PLAN_RECURSIVE ? AT_RECURSIVE : 0), &attr,
			  sizeof(attr));
	(void)SYS(close, fd);
	return result;
}

static bool is_labelled(const struct plan_op *op)
{
	return (op->flags & PLAN_LABELLED) && op->n_list >= 3;
}

static uint32_t n_options(const struct plan_op *op)
{
	return is_labelled(op) ? op->n_list - 2 : op->n_list;
}

static int configure(const struct run *run, const struct plan_op *op, int fs)
{
	const uint32_t *list = plan_list(run->plan, op);
	/* the name that mount tables show */
	int result = (int)SYS(fsconfig, fs, FSCONFIG_SET_STRING, "source", plan_text(run->plan, op->mode ? op->mode : list[0]), 0);

	if (op->fd >= 0 && result == 0)
		result = (int)SYS(fsconfig, fs, FSCONFIG_SET_FD, "pidns", 0, op_slot(op));
	for (uint32_t i = 1; i < n_options(op) && result == 0; i += 2) {
		const char *key = plan_text(run->plan, list[i]);

		if (list[i + 1] == 0)
			result = (int)SYS(fsconfig, fs, FSCONFIG_SET_FLAG, key, 0, 0);
		else
			result = (int)SYS(fsconfig, fs, FSCONFIG_SET_STRING, key, plan_text(run->plan, list[i + 1]), 0);
	}
	return result == 0 ? (int)SYS(fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0) : result;
}

static int new_mount(const struct run *run, const struct plan_op *op)
{
	int fs = (int)SYS(fsopen, plan_text(run->plan, plan_list(run->plan, op)[0]), FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return fs;
	fd = configure(run, op, fs);
	if (fd == 0)
		fd = (int)SYS(fsmount, fs, FSMOUNT_CLOEXEC, op->value[0]);
	(void)SYS(close, fs);
	return fd;
}

/* Nothing is mounted inside a procfs unless the compiler knows the place: it would hide what programs trust (CVE-2019-19921). */
static int check_target(const struct plan_op *op, int target)
{
	return !(op->flags & PLAN_ON_PROC) && is_on(target, PROC_SUPER_MAGIC) ? -EPERM : 0;
}

/* A read-only one keeps its owner: nothing can be made in it anyhow. */
static int give_to_owner(const struct run *run, int mount)
{
	int result = (int)SYS(fchownat, mount, "", run->uid, run->gid, AT_EMPTY_PATH);

	return result == -EROFS ? 0 : result;
}

/* Of a file system that is older than this mount: its labels are its own, and an attribute is set instead. */
static int give_label(const struct run *run, const struct plan_op *op, int mount)
{
	const uint32_t *pair = plan_list(run->plan, op) + n_options(op);
	const char *label = plan_text(run->plan, pair[1]);
	int result = (int)SYS(fchdir, mount);

	/* the kernel's labels end in a NUL */
	if (result == 0)
		result = (int)SYS(setxattr, ".", plan_text(run->plan, pair[0]), label, text_length(label) + 1, 0);
	return result == 0 ? (int)SYS(chdir, "/") : result;
}

int op_mount(struct run *run, const struct plan_op *op)
{
	int target = path_make_dir(run, op);
	int fd, result;

	if (target < 0)
		return target;
	result = check_target(op, target);
	fd = result < 0 ? result : new_mount(run, op);
	if (fd >= 0) {
		result = op->flags & PLAN_OWNED ? give_to_owner(run, fd) : 0;
		if (result == 0 && is_labelled(op))
			result = give_label(run, op, fd);
		if (result == 0)
			result = attach(fd, target);
		(void)SYS(close, fd);
	} else {
		result = fd;
	}
	(void)SYS(close, target);
	return result;
}

int op_bind(struct run *run, const struct plan_op *op)
{
	int target = op->flags & PLAN_FILE ? path_make_file(run, op) : path_make_dir(run, op);
	int result;

	if (target < 0)
		return target;
	/* the kernel's answer to the attempt says nothing (EINVAL) */
	result = (op->flags & PLAN_FILE) && file_type(target) == S_IFDIR ? -EISDIR : check_target(op, target);
	if (result == 0)
		result = set_attributes(op_slot(op), op->value[0], false);
	if (result == 0)
		result = attach(op_slot(op), target);
	(void)SYS(close, target);
	return result;
}

int op_attributes(struct run *run, const struct plan_op *op)
{
	int fd = path_open(run, op_text(run, op), O_PATH, RESOLVE_NO_SYMLINKS);
	int result;

	if (fd < 0)
		return fd;
	result = set_attributes(fd, op->value[0], false);
	(void)SYS(close, fd);
	return result;
}

static int clone_and_attach(int from, int target, bool recursive, uint64_t attributes)
{
	int fd =
		(int)SYS(open_tree, from, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
	int result;

	if (fd < 0)
		return fd;
	result = set_attributes(fd, attributes, recursive);
	if (result == 0)
		result = attach(fd, target);
	(void)SYS(close, fd);
	return result;
}

/*
 * What covers a masked path stands on the spawner's own root, below the container's: no name in the container leads to it, so nothing
 * in there can be exchanged for something else (CVE-2025-31133), whatever lies on /dev. The first cover is cloned from there and gets
 * its attributes; the others are clones of the first. The file system is read-only, the device node's mode and owner with it.
 */
static int cover(const struct run *run, int *first, const char *name, uint64_t attributes, int target)
{
	int fd, result;

	if (*first >= 0)
		return clone_and_attach(*first, target, false, 0);
	fd = (int)SYS(open_tree, run->below, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (fd < 0)
		return fd;
	*first = fd;
	result = set_attributes(fd, attributes, false);
	return result == 0 ? attach(fd, target) : result;
}

int op_mask(struct run *run, const struct plan_op *op)
{
	const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	int target = path_open(run, op_text(run, op), O_PATH, 0);
	int result;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return target;
	if (file_type(target) == S_IFDIR)
		result = cover(run, &run->empty, PLAN_EMPTY_DIR, attributes | MOUNT_ATTR_NODEV, target);
	else
		result = cover(run, &run->null, PLAN_NULL_DEVICE, attributes, target);
	(void)SYS(close, target);
	return result;
}

int op_readonly(struct run *run, const struct plan_op *op)
{
	int target = path_open(run, op_text(run, op), O_PATH, 0);
	int result;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return target;
	result = clone_and_attach(target, target, true, MOUNT_ATTR_RDONLY);
	(void)SYS(close, target);
	return result;
}
