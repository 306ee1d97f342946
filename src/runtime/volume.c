/* A directory or file of the host as a detached mount, with the propagation that the CRI asks for. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/mountinfo.h"
#include "runtime/rootfs.h"

#define TREE_FLAGS (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)

static int open_tree_of(const struct volume_spec *spec, struct error *err)
{
	int fd = sys_open_tree(AT_FDCWD, spec->host_path, TREE_FLAGS);

	if (fd < 0 && errno == ENOENT && spec->create_missing_dir) {
		if (io_make_dirs(spec->host_path, 0755, err) < 0)
			return -1;
		fd = sys_open_tree(AT_FDCWD, spec->host_path, TREE_FLAGS);
	}
	return fd < 0 ? error_sys(err, errno, "open host path %s", spec->host_path) : fd;
}

struct shared_search {
	uint64_t mount_id;
	bool shared;
};

static int on_mount(const struct mount_line *line, void *data, struct error *err)
{
	struct shared_search *search = data;

	(void)err;
	if (line->id != search->mount_id)
		return 0;
	search->shared = strstr(line->optional, "shared:") != NULL;
	return 1;
}

/* The mount that holds the path must be shared, or nothing that the container mounts could reach the host. */
static int check_shared(const char *path, struct error *err)
{
	struct shared_search search = { 0 };
	struct statx st;

	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) < 0)
		return error_sys(err, errno, "stat host path %s", path);
	search.mount_id = st.stx_mnt_id;
	if (mountinfo_scan(on_mount, &search, err) < 0)
		return -1;
	if (!search.shared)
		return error_set(err, ERR_INVALID,
				 "host path %s: bidirectional propagation needs a shared mount, and it is not one", path);
	return 0;
}

static uint64_t propagation_flag(enum propagation propagation)
{
	switch (propagation) {
	case PROPAGATION_HOST_TO_CONTAINER:
		return MS_SLAVE;
	case PROPAGATION_BIDIRECTIONAL:
		return MS_SHARED;
	case PROPAGATION_PRIVATE:
	default:
		return MS_PRIVATE;
	}
}

/* Propagation counts for the whole tree; read-only for its top mount, as every engine has it, unless asked for otherwise. */
static int set_attributes(int fd, const struct volume_spec *spec, struct error *err)
{
	struct mount_attr tree = { .propagation = propagation_flag(spec->propagation) };
	struct mount_attr top = { .attr_set = MOUNT_ATTR_RDONLY };

	if (spec->recursive_readonly)
		tree.attr_set = MOUNT_ATTR_RDONLY;
	if (sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &tree) < 0)
		return error_sys(err, errno, "set propagation of host path %s", spec->host_path);
	if (spec->readonly && !spec->recursive_readonly && sys_mount_setattr(fd, "", AT_EMPTY_PATH, &top) < 0)
		return error_sys(err, errno, "make host path %s read-only", spec->host_path);
	return 0;
}

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

int volume_open(const struct volume_spec *spec, bool *ret_is_file, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (check_spec(spec, err) < 0)
		return -1;
	fd = open_tree_of(spec, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat host path %s", spec->host_path);
	if (spec->propagation == PROPAGATION_BIDIRECTIONAL && check_shared(spec->host_path, err) < 0)
		return -1;
	if (set_attributes(fd, spec, err) < 0)
		return -1;
	*ret_is_file = !S_ISDIR(st.st_mode);
	return steal_fd(&fd);
}
