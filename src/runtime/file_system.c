/*
 * Any file system, by mount(2).
 *
 * fsopen(2) would need no place to mount on, but takes no value of 256 bytes or more, as overlays of many layers have, and old file systems
 * parse their options as a whole. So a thread makes itself a mount namespace, mounts there, and takes a detached copy of the mount along.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/rootfs.h"

/* A directory that is there for certain and that no source of a file system lies below. */
#define PLACE "/proc/sys"

struct mounting {
	const char *type, *source, *options;
	unsigned long flags;
	int mount;
	struct error *err;
};

static int mount_and_take(const struct mounting *m, struct error *err)
{
	int fd;

	if (unshare(CLONE_FS | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, errno, "make a mount namespace");
	if (mount(m->source ? m->source : m->type, PLACE, m->type, m->flags, m->options) < 0) {
		if (errno == ENODEV)
			return error_set(err, ERR_NOT_FOUND, "this kernel knows no file system '%.64s'", m->type);
		return error_sys(err, errno, "mount %.64s %.200s", m->type, m->source ? m->source : "");
	}
	fd = sys_open_tree(AT_FDCWD, PLACE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "detach the mount of %.64s", m->type) : fd;
}

static void *run(void *arg)
{
	struct mounting *m = arg;

	m->mount = mount_and_take(m, m->err);
	return NULL;
}

int file_system_open(const char *type, const char *source, unsigned long flags, const char *options, struct error *err)
{
	struct mounting m = { type, source, options, flags, -1, err };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run, &m);

	if (r != 0)
		return error_sys(err, r, "mount %.64s: start a thread", type);
	(void)pthread_join(thread, NULL);
	return m.mount;
}
