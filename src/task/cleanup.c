#include "task/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "runtime/cgroup.h"
#include "runtime/namespaces.h"
#include "runtime/process.h"
#include "task/path.h"

/* A process that has not gone this long after SIGKILL waits in the kernel for a device or a dead server. */
#define DEATH_MS 10000

/* Between two looks at a group that empties: it doubles from the first to the last. */
#define FIRST_PAUSE_MS 1
#define LAST_PAUSE_MS 64

int end_process(int pidfd, struct error *err)
{
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };
	siginfo_t info;
	int n;

	if (process_signal(pidfd, SIGKILL, err) < 0)
		return -1;
	do {
		n = poll(&wait, 1, DEATH_MS);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return error_set(err, ERR_DEADLINE, "the process does not end %d s after SIGKILL", DEATH_MS / 1000);
	/* Somebody else's child after a restart (ECHILD): its parent reaps it. */
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	return 0;
}

static void pause_ms(unsigned ms)
{
	const struct timespec time = { .tv_nsec = (long)ms * 1000000 };

	(void)nanosleep(&time, NULL);
}

int remove_cgroup(struct cgroup_roots *roots, const char *path, struct error *err)
{
	int64_t until_us = clock_monotonic_us() + DEATH_MS * INT64_C(1000);
	unsigned ms = FIRST_PAUSE_MS;

	for (;;) {
		struct error busy = ERROR_INIT;

		if (cgroup_remove(roots, path, &busy) == 0)
			return 0;
		if (busy.code != ERR_STATE || clock_monotonic_us() > until_us) {
			*err = busy;
			return -1;
		}
		if (cgroup_kill(roots, path, err) < 0)
			return -1;
		pause_ms(ms);
		ms = ms < LAST_PAUSE_MS ? 2 * ms : ms;
	}
}

/* Whatever is mounted at `path`, however often; it need not be there. */
static int unmount_all(const char *path, struct error *err)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno == EINVAL || errno == ENOENT)
		return 0;
	return error_sys(err, errno, "unmount %s", path);
}

int remove_pod_dir(const char *dir, struct error *err)
{
	char fs[PATH_MAX];

	if (path_format(fs, err, "%s/fs", dir) < 0 || unmount_all(fs, err) < 0 || pod_namespaces_unpin(dir, err) < 0)
		return -1;
	return io_remove_tree(AT_FDCWD, dir, err);
}
