/*
 * Killing everything in a group.
 *
 * Version 2 has a file for it (cgroup.kill, Linux 5.14) that misses no fork. On version 1 alone the group is read and its processes
 * are killed until it is empty, for a bounded time. A pid is signalled by a pidfd, and only when it is still listed after the pidfd
 * was opened: then that pidfd cannot mean a process outside of the group that got the number meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/cgroup_internal.h"
#include "runtime/kernel.h"

/* Pids handled at a time, which bounds the descriptors; the next round takes the others. */
#define BATCH 128

/* Rounds with 2 ms between them: 200 ms for a fork bomb to lose; a process that cannot die is not waited for (arbitrary). */
#define ROUNDS 100
#define ROUND_WAIT_NS 2000000L

/* Groups below a container's that are looked at, depth first. */
#define DEPTH_MAX 64

struct batch {
	pid_t pids[BATCH];
	size_t n;
	size_t total; /* seen, of which the first BATCH are kept */
};

static void cleanup_file(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

static void read_procs(int dirfd, struct batch *batch)
{
	int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	__attribute__((cleanup(cleanup_file))) FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	pid_t pid;

	if (!file) {
		close_fd(&fd);
		return;
	}
	while (fscanf(file, "%d", &pid) == 1) {
		/* 0: a process of a PID namespace that we do not see into. */
		if (pid > 0 && batch->n < BATCH)
			batch->pids[batch->n++] = pid;
		batch->total++;
	}
}

static void collect(int dirfd, unsigned depth, struct batch *batch)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	read_procs(dirfd, batch);
	if (!dir)
		close_fd(&fd);
	while (dir && depth < DEPTH_MAX && (entry = readdir(dir))) {
		_cleanup_fd_ int child = -1;

		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		child = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (child >= 0)
			collect(child, depth + 1, batch);
	}
}

static bool lists(const struct batch *batch, pid_t pid)
{
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->pids[i] == pid)
			return true;
	}
	return false;
}

static void kill_batch(int dirfd, const struct batch *before)
{
	struct batch after = { 0 };
	int pidfds[BATCH];

	for (size_t i = 0; i < before->n; i++)
		pidfds[i] = sys_pidfd_open(before->pids[i], 0);
	collect(dirfd, 0, &after);
	for (size_t i = 0; i < before->n; i++) {
		/* A failure is ESRCH: it has ended by itself. */
		if (pidfds[i] >= 0 && lists(&after, before->pids[i]))
			(void)sys_pidfd_send_signal(pidfds[i], SIGKILL);
		close_fd(&pidfds[i]);
	}
}

/* On version 1 a frozen process takes no signal, not even this one, before it is thawed. Hybrid hosts have no freezer of ours. */
static void thaw(const struct cgroup_roots *roots, const char *path)
{
	const struct hierarchy *h = roots_find(roots, CONTROLLER_FREEZER);
	struct error ignored = ERROR_INIT;
	char file[PATH_LEN_MAX + 32];

	(void)snprintf(file, sizeof(file), "%s/freezer.state", cgroup_relative(path));
	if (h)
		(void)io_write_value(h->root, file, "THAWED", &ignored);
}

static int kill_by_pid(int dirfd)
{
	const struct timespec wait = { .tv_nsec = ROUND_WAIT_NS };
	size_t seen = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct batch batch = { 0 };

		collect(dirfd, 0, &batch);
		if (batch.total > seen)
			seen = batch.total;
		if (batch.n == 0)
			break;
		kill_batch(dirfd, &batch);
		(void)nanosleep(&wait, NULL);
	}
	return seen > INT_MAX ? INT_MAX : (int)seen;
}

/* The hierarchy that knows every process of a group: version 2 where it is, else any, since a child enters them all. */
static const struct hierarchy *choose(const struct cgroup_roots *roots)
{
	for (size_t i = 0; i < roots->n; i++) {
		if (roots->hierarchies[i].version->unified)
			return &roots->hierarchies[i];
	}
	return &roots->hierarchies[0];
}

int cgroup_kill(struct cgroup_roots *roots, const char *path, struct error *err)
{
	const struct hierarchy *h = choose(roots);
	struct batch batch = { 0 };
	_cleanup_fd_ int dirfd = -1, kill_file = -1;

	if (cgroup_check_path(path, err) < 0)
		return -1;
	dirfd = openat(h->root, cgroup_relative(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "kill cgroup %s", path);
	kill_file = h->version->unified ? openat(dirfd, "cgroup.kill", O_WRONLY | O_CLOEXEC) : -1;
	if (kill_file < 0) {
		thaw(roots, path);
		return kill_by_pid(dirfd);
	}
	collect(dirfd, 0, &batch);
	if (write(kill_file, "1", 1) < 0)
		return error_sys(err, errno, "write cgroup.kill of %s", path);
	return batch.total > INT_MAX ? INT_MAX : (int)batch.total;
}
