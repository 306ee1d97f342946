#include "net/cni_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"

#define CHANGES (IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)

/* Above the directory only what may make it, or its parent, appear. */
#define APPEARANCES (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)

static int add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return fd < 0 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int cni_watch_open(struct cni_watch *watch, struct error *err)
{
	watch->fd = epoll_create1(EPOLL_CLOEXEC);
	watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	watch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	watch->directory = -1;
	if (watch->fd >= 0 && add(watch->fd, watch->inotify) == 0 && add(watch->fd, watch->timer) == 0)
		return 0;
	(void)error_sys(err, errno, "watch the network configuration");
	cni_watch_close(watch);
	return -1;
}

void cni_watch_close(struct cni_watch *watch)
{
	close_fd(&watch->inotify);
	close_fd(&watch->timer);
	close_fd(&watch->fd);
}

static void drain(int fd)
{
	char data[4096] __attribute__((aligned(8)));

	while (read(fd, data, sizeof(data)) > 0)
		;
}

/* A directory that cannot be watched is found again by the clock alone. */
/* The nearest directory that is there; `below` gets what is missing in it, or "". A directory that cannot be watched is found again by
 * whoever asks. */
static void watch_nearest(struct cni_watch *watch, const char *dir, char below[PATH_MAX])
{
	unsigned events = CHANGES;
	char path[PATH_MAX];

	*below = '\0';
	(void)snprintf(path, sizeof(path), "%s", dir);
	for (;;) {
		char *slash = strrchr(path, '/');

		watch->directory = inotify_add_watch(watch->inotify, *path ? path : "/", events | IN_ONLYDIR);
		if (watch->directory >= 0 || !slash)
			return;
		(void)snprintf(below, PATH_MAX, "%s", path);
		*slash = '\0';
		events = APPEARANCES;
	}
}

/* What appears between the look for it and the watch above it would never be told: so look again. A few times, since there may be
 * something that is no directory. */
static void watch_directory(struct cni_watch *watch, const char *dir)
{
	char below[PATH_MAX];

	for (int tries = 0; tries < 4; tries++) {
		if (watch->directory >= 0)
			(void)inotify_rm_watch(watch->inotify, watch->directory);
		drain(watch->inotify);
		watch_nearest(watch, dir, below);
		if (!*below || access(below, F_OK) < 0)
			return;
	}
}

/* The clock goes on when its period stays: who asks more often than that would stop it for ever. */
void cni_watch_again(struct cni_watch *watch, const char *dir, unsigned period_s)
{
	const struct itimerspec period = { .it_value.tv_sec = period_s, .it_interval.tv_sec = period_s };

	drain(watch->timer);
	if (period_s != watch->period_s)
		(void)timerfd_settime(watch->timer, 0, &period, NULL);
	watch->period_s = period_s;
	watch_directory(watch, dir);
}
