/* The processes of a group, and holding them still. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/cgroup_internal.h"
#include "runtime/cgroup_stat.h"

#define PROCESSES_MAX 32768
#define DEPTH_MAX 64

/* Processes in uninterruptible sleep cannot be stopped before they wake (arbitrary). */
#define FREEZE_TIMEOUT_MS 2000

struct listing {
	struct buffer pids; /* of pid_t */
	struct error *err;
};

static int read_procs(struct listing *listing, int dirfd)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT((size_t)1 << 20);
	char *line, *rest;

	if (io_read_file(dirfd, "cgroup.procs", &text, listing->err) < 0) {
		/* the group has gone meanwhile, or is threaded and has none */
		bool harmless = listing->err->code == ERR_NOT_FOUND || listing->err->sys_errno == ENODEV ||
				listing->err->sys_errno == EOPNOTSUPP;

		if (harmless)
			*listing->err = (struct error)ERROR_INIT;
		return harmless ? 0 : -1;
	}
	rest = text.data;
	while (rest && (line = strsep(&rest, "\n"))) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		if (pid > 0 && buffer_append(&listing->pids, &pid, sizeof(pid), listing->err) < 0)
			return -1;
	}
	return 0;
}

static int list_tree(struct listing *listing, int dirfd, unsigned depth)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		close_fd(&fd);
	if (read_procs(listing, dirfd) < 0)
		return -1;
	while (dir && depth < DEPTH_MAX && (entry = readdir(dir))) {
		_cleanup_fd_ int child = -1;

		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		child = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (child >= 0 && list_tree(listing, child, depth + 1) < 0)
			return -1;
	}
	return 0;
}

/* The hierarchy that knows every process: version 2 where it is, else any, since a child enters them all. */
static const struct hierarchy *choose(const struct cgroup *cgroup)
{
	const struct cgroup_roots *roots = cgroup->roots;

	for (size_t i = 0; i < roots->n; i++) {
		if (roots->hierarchies[i].version->unified)
			return &roots->hierarchies[i];
	}
	return &roots->hierarchies[0];
}

int cgroup_list_processes(const struct cgroup *cgroup, struct arena *arena, pid_t **ret_pids, size_t *ret_n, struct error *err)
{
	struct listing listing = { .pids = BUFFER_INIT(PROCESSES_MAX * sizeof(pid_t)), .err = err };
	_cleanup_fd_ int dirfd = group_open(cgroup, choose(cgroup), "", O_RDONLY | O_DIRECTORY, err);
	int result = dirfd < 0 ? -1 : list_tree(&listing, dirfd, 0);

	if (result == 0) {
		*ret_n = listing.pids.len / sizeof(pid_t);
		*ret_pids = arena_memdup(arena, listing.pids.data ? listing.pids.data : "", listing.pids.len);
		if (!*ret_pids)
			result = error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	buffer_release(&listing.pids);
	return result < 0 ? error_prefix(err, "list processes of cgroup %s", cgroup->path) : 0;
}

size_t cgroup_count_processes(const struct cgroup *cgroup)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error ignored = ERROR_INIT;
	pid_t *pids;
	size_t n = 0;

	return cgroup_list_processes(cgroup, &arena, &pids, &n, &ignored) < 0 ? 0 : n;
}

/* How each version says it: the file, the two values, and where it says that it is done. */
static const struct freezer {
	const char *file, *frozen, *thawed;
	const char *report, *is_frozen;
} v2_freezer = { "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1" },
  v1_freezer = { "freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN" };

static const struct freezer *find_freezer(const struct cgroup *cgroup, const struct hierarchy **ret_hierarchy)
{
	const struct hierarchy *h = choose(cgroup);

	if (h->version->unified && group_has(cgroup, h, v2_freezer.file)) {
		*ret_hierarchy = h;
		return &v2_freezer;
	}
	*ret_hierarchy = roots_find(cgroup->roots, CONTROLLER_FREEZER);
	return *ret_hierarchy ? &v1_freezer : NULL;
}

static bool says_frozen(const struct cgroup *cgroup, const struct freezer *freezer, const struct hierarchy *h)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error ignored = ERROR_INIT;
	const char *text = group_read(cgroup, h, freezer->report, &arena, &ignored);

	return text && strstr(text, freezer->is_frozen);
}

bool cgroup_is_frozen(const struct cgroup *cgroup)
{
	const struct hierarchy *h;
	const struct freezer *freezer = find_freezer(cgroup, &h);

	return freezer && says_frozen(cgroup, freezer, h);
}

static int write_freezer(const struct cgroup *cgroup, const struct freezer *freezer, const struct hierarchy *h, bool frozen,
			 struct error *err)
{
	const char *value = frozen ? freezer->frozen : freezer->thawed;
	_cleanup_fd_ int fd = group_open(cgroup, h, freezer->file, O_WRONLY, err);

	if (fd < 0)
		return -1;
	return write(fd, value, strlen(value)) < 0 ? error_sys(err, errno, "write %s to %s", value, freezer->file) : 0;
}

int cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct error *err)
{
	const struct hierarchy *h;
	const struct freezer *freezer = find_freezer(cgroup, &h);
	struct error ignored = ERROR_INIT;

	if (!freezer)
		return error_set(err, ERR_STATE, "this host has no freezer of cgroups");
	if (write_freezer(cgroup, freezer, h, frozen, err) < 0)
		return -1;
	for (int ms = 0; ms < FREEZE_TIMEOUT_MS; ms++) {
		if (says_frozen(cgroup, freezer, h) == frozen)
			return 0;
		(void)poll(NULL, 0, 1);
	}
	if (frozen)
		(void)write_freezer(cgroup, freezer, h, false, &ignored);
	return error_set(err, ERR_DEADLINE, "cgroup %s did not %s within %d ms", cgroup->path, frozen ? "freeze" : "thaw",
			 FREEZE_TIMEOUT_MS);
}
