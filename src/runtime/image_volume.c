/*
 * An image as a volume: its layers as a read-only file system, or a directory of that.
 *
 * The directory is looked up inside the image's root by descriptor, links and all (RESOLVE_IN_ROOT), and copied as a mount of its own.
 * Kernels before 6.15 copy nothing out of a mount that is attached nowhere: for them it is attached for a moment, in the mount namespace
 * of a thread that lives for the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/rootfs.h"
#include "runtime/rootfs_internal.h"
#include "runtime/spec.h"

/* Where somebody renames all the time a lookup in a root asks to be tried again; nobody does in an image (arbitrary). */
#define MAX_TRIES 16

static int find_dir(int root, const char *sub_path, struct error *err)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = -1;

	errno = EAGAIN;
	for (int i = 0; i < MAX_TRIES && fd < 0 && errno == EAGAIN; i++)
		fd = syscall(SYS_openat2, root, sub_path, &how, sizeof(how));
	if (fd >= 0)
		return (int)fd;
	if (errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "sub path %s does not exist in the image", sub_path);
	(void)error_sys(err, errno, "sub path %s of the image", sub_path);
	if (err->code == ERR_INTERNAL) /* not a directory, links without end */
		err->code = ERR_STATE;
	return -1;
}

struct copy_job {
	int mount, dir;
	const char *place;
	int copy, sys_errno;
};

static int clone_dir(int dir)
{
	return sys_open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

/* Any directory serves as the place, since nobody else sees this namespace. */
static void *run_copy_job(void *arg)
{
	struct copy_job *job = arg;

	if (unshare(CLONE_FS | CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    syscall(SYS_move_mount, job->mount, "", AT_FDCWD, job->place, MOVE_MOUNT_F_EMPTY_PATH) == 0)
		job->copy = clone_dir(job->dir);
	job->sys_errno = errno;
	return NULL;
}

int image_volume_copy_attached(int mount, int dir, const char *place, struct error *err)
{
	struct copy_job job = { .mount = mount, .dir = dir, .place = place, .copy = -1 };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run_copy_job, &job);

	if (r != 0)
		return error_sys(err, r, "image volume: start a thread");
	(void)pthread_join(thread, NULL);
	return job.copy < 0 ? error_sys(err, job.sys_errno, "image volume: copy the mount of the sub path") : job.copy;
}

static int copy_dir(int mount, int dir, const char *place, struct error *err)
{
	int fd = clone_dir(dir);

	if (fd < 0 && errno == EINVAL)
		return image_volume_copy_attached(mount, dir, place, err);
	return fd < 0 ? error_sys(err, errno, "image volume: copy the mount of the sub path") : fd;
}

int image_volume_open(const struct image_volume_spec *spec, struct error *err)
{
	const struct overlay_spec layers = { .lower_dirs = spec->layer_dirs, .n_lower_dirs = spec->n_layers };
	struct mount_attr attr = { .attr_set = spec->attributes | MOUNT_ATTR_RDONLY,
				   .attr_clr = spec->attributes & MOUNT_ATTR__ATIME ? MOUNT_ATTR__ATIME : 0 };
	_cleanup_fd_ int root =
		spec->user_ns ? overlay_open_id_mapped(&layers, spec->user_ns->fd, err) : overlay_open(&layers, err);
	_cleanup_fd_ int dir = -1;
	_cleanup_fd_ int fd = -1;

	if (root < 0)
		return -1;
	if (spec->sub_path && spec->sub_path[0]) {
		dir = find_dir(root, spec->sub_path, err);
		fd = dir < 0 ? -1 : copy_dir(root, dir, spec->layer_dirs[0], err);
	} else {
		fd = steal_fd(&root);
	}
	if (fd < 0)
		return -1;
	if (sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr) < 0)
		return error_sys(err, errno, "image volume: set attributes");
	return steal_fd(&fd);
}
