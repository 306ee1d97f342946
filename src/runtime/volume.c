/* A directory or file of the host as a detached mount, with the propagation and the attributes that the request asks for. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/mountinfo.h"
#include "runtime/relabel.h"
#include "runtime/rootfs.h"

#define COPY (OPEN_TREE_CLONE | AT_RECURSIVE)

/* The inode number of the root of every procfs (PROC_ROOT_INO of the kernel). */
#define PROC_ROOT_INO 1

/* ---- the host path ---- */

/* What is wrong with the node, not with the request or with us, is FAILED_PRECONDITION. */
static int path_error(const struct volume_spec *spec, int sys_errno, struct error *err)
{
	(void)error_sys(err, sys_errno, "open host path %s", spec->host_path);
	if (sys_errno == ELOOP || sys_errno == ENOTDIR)
		err->code = ERR_STATE;
	return -1;
}

/* As containerd and CRI-O: what is missing becomes a directory. Not behind a link that leads nowhere: whose is its target? */
static int make_missing(const struct volume_spec *spec, struct error *err)
{
	struct stat st;

	if (lstat(spec->host_path, &st) == 0 && S_ISLNK(st.st_mode))
		return error_set(err, ERR_STATE, "open host path %s: it is a symbolic link to nothing", spec->host_path);
	if (io_make_dirs(spec->host_path, 0755, err) == 0)
		return 0;
	if (err->code == ERR_INTERNAL || err->code == ERR_EXISTS)
		err->code = ERR_STATE;
	return error_prefix(err, "host path %s", spec->host_path);
}

/* open_tree(2) of the path. Links are followed on the host's side, as every engine does; the object itself is not opened: it may be
 * a device, a pipe, a socket. */
static int open_path(const struct volume_spec *spec, unsigned flags, struct error *err)
{
	int fd = sys_open_tree(AT_FDCWD, spec->host_path, flags | OPEN_TREE_CLOEXEC);

	if (fd < 0 && errno == ENOENT && spec->create_missing_dir) {
		if (make_missing(spec, err) < 0)
			return -1;
		fd = sys_open_tree(AT_FDCWD, spec->host_path, flags | OPEN_TREE_CLOEXEC);
	}
	return fd < 0 ? path_error(spec, errno, err) : fd;
}

/* ---- propagation ---- */

struct mount_search {
	uint64_t id;
	bool shared, slave;
	char mount_point[PATH_MAX];
};

static int on_mount(const struct mount_line *line, void *data, struct error *err)
{
	struct mount_search *search = data;
	size_t length = strlen(line->mount_point);

	(void)err;
	if (line->id != search->id || length >= sizeof(search->mount_point))
		return 0;
	search->shared = strstr(line->optional, "shared:") != NULL;
	search->slave = strstr(line->optional, "master:") != NULL;
	memcpy(search->mount_point, line->mount_point, length + 1);
	return 1;
}

/* The mount that holds the path must take part in propagation, or the container would silently get none: refused as by containerd and
 * CRI-O. Who may ask for Bidirectional is the API server's to check (privileged containers): the CRI does not restrict it. */
static int check_propagation(const struct volume_spec *spec, int fd, struct error *err)
{
	bool both_ways = spec->propagation == PROPAGATION_BIDIRECTIONAL;
	struct mount_search search = { .mount_point = "?" };
	struct statx st;

	if (spec->propagation == PROPAGATION_PRIVATE)
		return 0;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
		return error_sys(err, errno, "stat host path %s", spec->host_path);
	search.id = st.stx_mnt_id;
	if (mountinfo_scan(on_mount, &search, err) < 0)
		return -1;
	if (search.shared || (!both_ways && search.slave))
		return 0;
	return error_set(err, ERR_STATE,
			 "host path %s: it is on the mount %s, which is not a shared%s mount, as %s propagation needs it",
			 spec->host_path, search.mount_point, both_ways ? "" : " or slave",
			 both_ways ? "bidirectional" : "host-to-container");
}

static uint64_t propagation_flag(const struct volume_spec *spec)
{
	switch (spec->propagation) {
	case PROPAGATION_HOST_TO_CONTAINER:
		return MS_SLAVE;
	case PROPAGATION_BIDIRECTIONAL:
		return MS_SHARED;
	case PROPAGATION_PRIVATE:
	default:
		return spec->lets_go && !spec->recursive_readonly ? MS_SLAVE : MS_PRIVATE;
	}
}

/* Propagation counts for the whole tree; read-only for its top mount, as every engine has it, unless asked for otherwise. */
static int set_attributes(int fd, const struct volume_spec *spec, struct error *err)
{
	struct mount_attr tree = { .propagation = propagation_flag(spec), .attr_set = spec->tree_attributes };
	struct mount_attr top = { .attr_set = spec->attributes };

	if (spec->recursive_readonly)
		tree.attr_set |= MOUNT_ATTR_RDONLY;
	else if (spec->readonly)
		top.attr_set |= MOUNT_ATTR_RDONLY;
	/* the time attributes are one field: setting it asks for clearing it */
	tree.attr_clr = tree.attr_set & MOUNT_ATTR__ATIME ? MOUNT_ATTR__ATIME : 0;
	top.attr_clr = top.attr_set & MOUNT_ATTR__ATIME ? MOUNT_ATTR__ATIME : 0;
	if (sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &tree) < 0)
		return error_sys(err, errno, "set propagation of host path %s", spec->host_path);
	if (top.attr_set && sys_mount_setattr(fd, "", AT_EMPTY_PATH, &top) < 0)
		return error_sys(err, errno, "set attributes of host path %s", spec->host_path);
	return 0;
}

/* ---- together ---- */

static int check_spec(const struct volume_spec *spec, struct error *err)
{
	if (!spec->host_path || spec->host_path[0] != '/')
		return error_set(err, ERR_INVALID, "host path '%.100s': not absolute", spec->host_path ? spec->host_path : "");
	if (strlen(spec->host_path) >= PATH_MAX)
		return error_set(err, ERR_INVALID, "host path '%.100s...': longer than %d bytes", spec->host_path, PATH_MAX - 1);
	if (spec->recursive_readonly && !spec->readonly)
		return error_set(err, ERR_INVALID, "host path %s: recursively read-only but not read-only", spec->host_path);
	if (spec->recursive_readonly && spec->propagation != PROPAGATION_PRIVATE)
		return error_set(err, ERR_INVALID, "host path %s: recursively read-only needs private propagation",
				 spec->host_path);
	return 0;
}

/* For a mount on /proc, on which programs and our masks rely (CVE-2019-16884): the root of a procfs and nothing else. */
static int check_procfs(const struct volume_spec *spec, int fd, struct error *err)
{
	struct statfs fs;
	struct stat st;

	if (!spec->must_be_procfs)
		return 0;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return error_sys(err, errno, "stat host path %s", spec->host_path);
	if (fs.f_type != PROC_SUPER_MAGIC || st.st_ino != PROC_ROOT_INO)
		return error_set(err, ERR_INVALID, "host path %s: only a procfs may be mounted on /proc", spec->host_path);
	return 0;
}

/* What has to be looked at first is opened first: the copy is of that very object, whatever the path leads to by then. */
static int open_copy(const struct volume_spec *spec, struct error *err)
{
	_cleanup_fd_ int path = -1;
	int fd;

	if (spec->propagation == PROPAGATION_PRIVATE && !spec->must_be_procfs && !spec->label)
		return open_path(spec, COPY, err);
	path = open_path(spec, 0, err);
	if (path < 0 || check_procfs(spec, path, err) < 0 || check_propagation(spec, path, err) < 0)
		return -1;
	if (spec->label && relabel_tree(path, RELABEL_SELINUX, spec->label, err) < 0)
		return error_prefix(err, "host path %s", spec->host_path);
	fd = sys_open_tree(path, "", COPY | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	return fd < 0 ? error_sys(err, errno, "copy the mount of host path %s", spec->host_path) : fd;
}

int volume_open(const struct volume_spec *spec, bool *ret_is_file, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (check_spec(spec, err) < 0)
		return -1;
	fd = open_copy(spec, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat host path %s", spec->host_path);
	if (set_attributes(fd, spec, err) < 0)
		return -1;
	*ret_is_file = !S_ISDIR(st.st_mode);
	return steal_fd(&fd);
}

bool volume_takes_recursive_readonly(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_fd_ int fd = sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd >= 0 && sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr) == 0;
}
