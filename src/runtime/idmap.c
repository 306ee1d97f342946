/*
 * Id-mapped mounts, and overlays of id-mapped layers.
 *
 * An overlay is not id-mapped itself: its layers are, each by a clone of its own, and the upper directory keeps the host's ids, so what
 * a container writes belongs to the host's ids of its users. Since Linux 6.15 the clones may stay detached; before, overlay takes
 * what is attached in the caller's mount namespace alone. For those kernels a thread makes itself a mount namespace for the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/rootfs_internal.h"

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

static int map_ids(int mount, unsigned recursive, int user_ns, const char *what, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user_ns };

	if (sys_mount_setattr(mount, "", AT_EMPTY_PATH | recursive, &attr) == 0)
		return 0;
	if (errno == EINVAL)
		return error_set(err, ERR_UNIMPLEMENTED, "%s: its file system does not know id-mapped mounts", what);
	if (errno == EPERM)
		return error_set(err, ERR_INVALID, "%s: it is an id-mapped mount already", what);
	return error_sys(err, errno, "id-map %s", what);
}

int mount_id_map(int mount, int user_ns, const char *what, struct error *err)
{
	return map_ids(mount, 0, user_ns, what, err);
}

int mount_id_map_tree(int mount, int user_ns, const char *what, struct error *err)
{
	return map_ids(mount, AT_RECURSIVE, user_ns, what, err);
}

/* Room for "/proc/self/fd/" and a number, or for a place below the tmpfs. */
#define NAME_SIZE 64

struct layers {
	const struct overlay_spec *spec;
	int user_ns;
	int *fds; /* id-mapped clones */
	char (*names)[NAME_SIZE];
	const char **dirs; /* the names */
	int mount;
	struct error *err;
};

static void cleanup_layers(struct layers *l)
{
	for (size_t i = 0; l->fds && i < l->spec->n_lower_dirs; i++)
		close_fd(&l->fds[i]);
	free(l->fds);
	free(l->names);
	free(l->dirs);
}

#define _cleanup_layers_ __attribute__((cleanup(cleanup_layers)))

static int clone_layer(const char *dir, int user_ns, struct error *err)
{
	_cleanup_fd_ int fd = sys_open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "open layer %s", dir);
	return mount_id_map(fd, user_ns, dir, err) < 0 ? -1 : steal_fd(&fd);
}

static int clone_layers(struct layers *l, struct error *err)
{
	size_t n = l->spec->n_lower_dirs;

	l->fds = calloc(n, sizeof(*l->fds));
	l->names = calloc(n, sizeof(*l->names));
	l->dirs = calloc(n, sizeof(*l->dirs));
	if (!l->fds || !l->names || !l->dirs) {
		free(l->fds); /* of no descriptors yet */
		l->fds = NULL;
		return error_sys(err, ENOMEM, "overlay");
	}
	for (size_t i = 0; i < n; i++)
		l->fds[i] = -1;
	for (size_t i = 0; i < n; i++) {
		l->fds[i] = clone_layer(l->spec->lower_dirs[i], l->user_ns, err);
		if (l->fds[i] < 0)
			return error_prefix(err, "overlay");
		l->dirs[i] = l->names[i];
	}
	return 0;
}

/* The overlay of the clones by their names. */
static int open_named(const struct layers *l, struct error *err)
{
	struct overlay_spec spec = *l->spec;

	spec.lower_dirs = l->dirs;
	return overlay_open(&spec, err);
}

static int open_detached(struct layers *l, struct error *err)
{
	for (size_t i = 0; i < l->spec->n_lower_dirs; i++)
		(void)snprintf(l->names[i], NAME_SIZE, "/proc/self/fd/%d", l->fds[i]);
	return open_named(l, err);
}

/* Where the layers are attached: a tmpfs over a directory that is there for certain and that no overlay needs. */
#define PLACE "/proc/sys"

static int make_place(struct error *err)
{
	if (unshare(CLONE_FS | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, errno, "overlay: make a mount namespace");
	if (mount("layers", PLACE, "tmpfs", 0, "mode=700") < 0)
		return error_sys(err, errno, "overlay: mount a place for layers");
	return 0;
}

static int attach_layers(struct layers *l, struct error *err)
{
	for (size_t i = 0; i < l->spec->n_lower_dirs; i++) {
		(void)snprintf(l->names[i], NAME_SIZE, PLACE "/%zu", i);
		if (mkdir(l->names[i], 0700) < 0 ||
		    syscall(SYS_move_mount, l->fds[i], "", AT_FDCWD, l->names[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return error_sys(err, errno, "overlay: attach layer %s", l->spec->lower_dirs[i]);
	}
	return 0;
}

static void *run_attached(void *arg)
{
	struct layers *l = arg;

	if (make_place(l->err) == 0 && attach_layers(l, l->err) == 0)
		l->mount = open_named(l, l->err);
	return NULL;
}

static int open_attached(struct layers *l, struct error *err)
{
	pthread_t thread;
	int r;

	l->err = err;
	l->mount = -1;
	r = pthread_create(&thread, NULL, run_attached, l);
	if (r != 0)
		return error_sys(err, r, "overlay: start a thread");
	(void)pthread_join(thread, NULL);
	return l->mount;
}

/* A single layer is no overlay (overlay_open()). */
static int take_single(struct layers *l, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE };

	if (sys_mount_setattr(l->fds[0], "", AT_EMPTY_PATH, &attr) < 0)
		return error_sys(err, errno, "make layer %s read-only", l->spec->lower_dirs[0]);
	return steal_fd(&l->fds[0]);
}

int overlay_open_attached(const struct overlay_spec *spec, int user_ns, struct error *err)
{
	_cleanup_layers_ struct layers l = { .spec = spec, .user_ns = user_ns };

	return clone_layers(&l, err) < 0 ? -1 : open_attached(&l, err);
}

int overlay_open_id_mapped(const struct overlay_spec *spec, int user_ns, struct error *err)
{
	static atomic_bool attach; /* this kernel does not take detached layers */
	_cleanup_layers_ struct layers l = { .spec = spec, .user_ns = user_ns };
	struct error refused = ERROR_INIT;
	int fd;

	if (spec->n_lower_dirs == 0 || clone_layers(&l, err) < 0)
		return spec->n_lower_dirs ? -1 : error_set(err, ERR_INVALID, "overlay: no layers");
	if (spec->n_lower_dirs == 1 && !spec->upper_dir)
		return take_single(&l, err);
	fd = atomic_load(&attach) ? -1 : open_detached(&l, &refused);
	if (fd >= 0)
		return fd;
	fd = open_attached(&l, err);
	if (fd >= 0)
		atomic_store(&attach, true);
	return fd;
}
