/*
 * Removing groups. A container that may write to its cgroup mount can have made any number of groups below its own, as deep as it
 * likes, so the walk holds one descriptor and no stack, and counts its steps.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/cgroup_internal.h"

/* Groups that one call removes at most; the next call goes on from there. */
#define STEPS_MAX 100000

/* A process that was just reaped may keep its group busy for a moment longer: waits of 0.25, 0.5, ... 8 ms, 16 ms together. */
#define BUSY_WAITS 6
#define FIRST_WAIT_NS 250000L

/* The name of any group in the directory; *ret_name is "" when there is none. */
static int first_child(int dirfd, char ret_name[NAME_MAX + 1])
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		close_fd(&fd);
		return -1;
	}
	ret_name[0] = '\0';
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		(void)snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
		break;
	}
	return 0;
}

static int step_into(int *dirfd, const char *name)
{
	int next = openat(*dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (next < 0)
		return -1;
	(void)close(*dirfd);
	*dirfd = next;
	return 0;
}

/* Removes everything below *dirfd, which moves; returns an errno. A group that stays busy after its own children went ends it. */
static int remove_below(int *dirfd)
{
	char name[NAME_MAX + 1];
	bool came_up = false;
	unsigned depth = 0;

	for (unsigned step = 0; step < STEPS_MAX; step++) {
		if (first_child(*dirfd, name) < 0)
			return errno;
		if (!*name && depth == 0)
			return 0;
		if (*name && (unlinkat(*dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)) {
			came_up = false;
			continue;
		}
		if (*name && (came_up || errno != EBUSY))
			return errno;
		if (step_into(dirfd, *name ? name : "..") < 0)
			return errno;
		came_up = !*name;
		depth += *name ? 1U : -1U;
	}
	return EBUSY;
}

/* One attempt at the group and what is below; returns an errno. */
static int try_remove(const struct hierarchy *h, const char *relative)
{
	_cleanup_fd_ int fd = -1;
	int r;

	if (unlinkat(h->root, relative, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return errno;
	fd = openat(h->root, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	r = remove_below(&fd);
	if (r != 0)
		return r;
	return unlinkat(h->root, relative, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

static int remove_from(const struct hierarchy *h, const char *relative)
{
	struct timespec wait = { .tv_nsec = FIRST_WAIT_NS };
	int r = try_remove(h, relative);

	for (int i = 0; r == EBUSY && i < BUSY_WAITS; i++) {
		(void)nanosleep(&wait, NULL);
		wait.tv_nsec *= 2;
		r = try_remove(h, relative);
	}
	return r;
}

static int remove_in(const struct hierarchy *h, const char *path, struct error *err)
{
	int r = remove_from(h, cgroup_relative(path));

	if (r == EBUSY)
		return error_set(err, ERR_STATE, "remove cgroup %s: still in use in hierarchy %s", path, h->name);
	return r ? error_sys(err, r, "remove cgroup %s from hierarchy %s", path, h->name) : 0;
}

/* Version 2 goes first, since a child is in it from its first instruction on: a group in use stays whole. */
int cgroup_remove(struct cgroup_roots *roots, const char *path, struct error *err)
{
	if (cgroup_check_path(path, err) < 0)
		return -1;
	for (size_t i = 0; i < roots->n; i++) {
		if (roots->hierarchies[i].version->unified && remove_in(&roots->hierarchies[i], path, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < roots->n; i++) {
		if (!roots->hierarchies[i].version->unified && remove_in(&roots->hierarchies[i], path, err) < 0)
			return -1;
	}
	return 0;
}

/* Removes the parents of the path that are ours and empty, down to a prefix of `least` bytes. */
static void prune_parents(const struct hierarchy *h, const char *relative, size_t least)
{
	char prefix[PATH_LEN_MAX + 1], *slash;

	(void)snprintf(prefix, sizeof(prefix), "%s", relative);
	while ((slash = strrchr(prefix, '/'))) {
		*slash = '\0';
		if (strlen(prefix) < least || !group_is_ours(h, prefix) || unlinkat(h->root, prefix, AT_REMOVEDIR) < 0)
			return;
	}
}

void cgroup_prune(struct cgroup_roots *roots, const char *path, const char *topmost)
{
	struct error ignored = ERROR_INIT;

	if (cgroup_check_path(path, &ignored) < 0)
		return;
	(void)cgroup_remove(roots, path, &ignored);
	for (size_t i = 0; i < roots->n; i++)
		prune_parents(&roots->hierarchies[i], cgroup_relative(path), topmost && *topmost ? strlen(topmost) - 1 : 0);
}
