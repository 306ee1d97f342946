/*
 * Groups in all hierarchies at once.
 *
 * Making one: mkdir in each hierarchy, its missing parents too; a failure in the last hierarchy removes what was made in the first.
 * A parent that is made here carries an extended attribute: kubelet makes its groups in other hierarchies than we use, so that one
 * and the same path may be ours in one hierarchy and kubelet's in the next, and only ours may be removed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/cgroup_internal.h"

/* A parent may vanish between the look at it and the mkdir below it, when another pod's end prunes it. Arbitrary, never reached. */
#define MAKE_TRIES 8

/* What was made in one hierarchy: every prefix of the path from `shortest` bytes on. 0: nothing. */
struct made {
	size_t shortest;
};

static int check_component(const char *path, const char *part, size_t len, struct error *err)
{
	if (len == 0)
		return error_set(err, ERR_INVALID, "cgroup path '%.200s': an empty component", path);
	if (part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')))
		return error_set(err, ERR_INVALID, "cgroup path '%.200s': '.' or '..' in it", path);
	if (len > NAME_MAX)
		return error_set(err, ERR_INVALID, "cgroup path '%.200s': a component of more than %d bytes", path, NAME_MAX);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f)
			return error_set(err, ERR_INVALID, "cgroup path: a control byte in it");
	}
	return 0;
}

int cgroup_check_path(const char *path, struct error *err)
{
	const char *part;

	if (!path || path[0] != '/')
		return error_set(err, ERR_INVALID, "cgroup path '%.200s': not absolute", path ? path : "");
	if (strlen(path) > PATH_LEN_MAX)
		return error_set(err, ERR_INVALID, "cgroup path '%.200s...': longer than %d bytes", path, PATH_LEN_MAX);
	part = cgroup_relative(path);
	for (;;) {
		size_t len = strcspn(part, "/");

		if (check_component(path, part, len, err) < 0)
			return -1;
		if (!part[len])
			return 0;
		part += len + 1;
	}
}

/* The first `len` bytes of the path below the root. */
static void copy_prefix(char prefix[PATH_LEN_MAX + 1], const char *relative, size_t len)
{
	memcpy(prefix, relative, len);
	prefix[len] = '\0';
}

/* The length of the prefix that follows the one of `len` bytes; start with 0. */
static size_t next_prefix(const char *relative, size_t len)
{
	size_t from = len ? len + 1 : 0;

	return from + strcspn(relative + from, "/");
}

#define MARK "trusted.monopod"

static void mark_as_ours(const struct hierarchy *h, const char *relative)
{
	_cleanup_fd_ int fd = openat(h->root, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Without the mark the group is only not pruned. */
	if (fd >= 0)
		(void)fsetxattr(fd, MARK, "1", 1, 0);
}

bool group_is_ours(const struct hierarchy *h, const char *relative)
{
	_cleanup_fd_ int fd = openat(h->root, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char value;

	return fd >= 0 && fgetxattr(fd, MARK, &value, sizeof(value)) == 1;
}

/* Whatever our umask is: a container's users read their limits there, who are not the host's root. */
static int make_group(const struct hierarchy *h, const char *relative)
{
	int r = mkdirat(h->root, relative, 0755);

	return r == 0 ? fchmodat(h->root, relative, 0755, 0) : r;
}

/* Makes every component that is missing. Returns an errno; EEXIST when the last one was there. */
static int make_components(const struct hierarchy *h, const char *relative, struct made *made)
{
	char prefix[PATH_LEN_MAX + 1];
	size_t total = strlen(relative);

	for (size_t len = next_prefix(relative, 0);; len = next_prefix(relative, len)) {
		copy_prefix(prefix, relative, len);
		if (make_group(h, prefix) == 0) {
			if (made->shortest == 0)
				made->shortest = len;
			if (len < total)
				mark_as_ours(h, prefix);
		} else if (errno != EEXIST || len == total) {
			return errno;
		}
		if (len == total)
			return 0;
	}
}

static void remove_made(const struct hierarchy *h, const char *relative, const struct made *made)
{
	char prefix[PATH_LEN_MAX + 1];
	size_t len = strlen(relative);

	if (made->shortest == 0)
		return;
	copy_prefix(prefix, relative, len);
	while (len >= made->shortest && unlinkat(h->root, prefix, AT_REMOVEDIR) == 0) {
		char *slash = strrchr(prefix, '/');

		if (!slash)
			return;
		*slash = '\0';
		len = strlen(prefix);
	}
}

static int make_in_hierarchy(const struct hierarchy *h, const char *relative, struct made *made, struct error *err)
{
	int r = ENOENT;

	/* The usual case: the parents are there. */
	if (make_group(h, relative) == 0) {
		made->shortest = strlen(relative);
		return 0;
	}
	if (errno != ENOENT)
		return error_sys(err, errno, "make it in hierarchy %s", h->name);
	for (int i = 0; i < MAKE_TRIES && r == ENOENT; i++)
		r = make_components(h, relative, made);
	return r ? error_sys(err, r, "make it in hierarchy %s", h->name) : 0;
}

/* A cpuset of version 1 takes no process before it has CPUs and memory nodes, and a new one has none: cgroup-v1/cpusets.rst. */
static const char *const cpuset_files[] = { "cpuset.cpus", "cpuset.mems" };

static int cpuset_read(const struct hierarchy *h, const char *group, const char *file, struct buffer *value, struct error *err)
{
	char path[PATH_LEN_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s%s%s", group, *group ? "/" : "", file);
	buffer_clear(value);
	if (io_read_file(h->root, path, value, err) < 0)
		return -1;
	while (value->len > 0 && value->data[value->len - 1] == '\n')
		value->data[--value->len] = '\0';
	return 0;
}

static int cpuset_write(const struct hierarchy *h, const char *group, const char *file, const char *value, struct error *err)
{
	char path[PATH_LEN_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/%s", group, file);
	return io_write_value(h->root, path, value, err);
}

/* From the root down, each group that has none gets its parent's. */
static int cpuset_inherit(const struct hierarchy *h, const char *relative, const char *file, struct error *err)
{
	_cleanup_buffer_ struct buffer parent = BUFFER_INIT(4096), own = BUFFER_INIT(4096);
	char prefix[PATH_LEN_MAX + 1];
	size_t total = strlen(relative);

	if (cpuset_read(h, "", file, &parent, err) < 0)
		return -1;
	for (size_t len = next_prefix(relative, 0);; len = next_prefix(relative, len)) {
		copy_prefix(prefix, relative, len);
		if (cpuset_read(h, prefix, file, &own, err) < 0)
			return -1;
		if (own.len == 0 && cpuset_write(h, prefix, file, parent.data ? parent.data : "", err) < 0)
			return -1;
		if (len == total)
			return 0;
		if (own.len > 0) {
			struct buffer swap = parent;

			parent = own;
			own = swap;
		}
	}
}

/* The usual case: the parent has its set already. */
static int cpuset_fill(const struct hierarchy *h, const char *relative, const char *file, struct error *err)
{
	_cleanup_buffer_ struct buffer value = BUFFER_INIT(4096);
	const char *slash = strrchr(relative, '/');
	char parent[PATH_LEN_MAX + 1];

	copy_prefix(parent, relative, slash ? (size_t)(slash - relative) : 0);
	if (cpuset_read(h, parent, file, &value, err) < 0)
		return -1;
	if (value.len > 0)
		return cpuset_write(h, relative, file, value.data, err);
	return cpuset_inherit(h, relative, file, err);
}

static int prepare(const struct cgroup_roots *roots, const struct hierarchy *h, const char *path, struct error *err)
{
	const char *relative = cgroup_relative(path);
	struct error ignored = ERROR_INIT;

	/* On a host with version 2 alone every controller is wanted, for its counters too; whether one is missing shows when a limit
	 * needs it. In hybrid mode they are turned on when a limit needs one. */
	if (h->version->unified && cgroup_roots_unified(roots))
		(void)v2_enable(h, path, h->controllers, &ignored);
	if (h->version->unified || !(h->controllers & CONTROLLER_BIT(CONTROLLER_CPUSET)))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(cpuset_files); i++) {
		if (cpuset_fill(h, relative, cpuset_files[i], err) < 0)
			return error_prefix(err, "hierarchy %s", h->name);
	}
	return 0;
}

static int make_everywhere(const struct cgroup_roots *roots, const char *path, struct made made[HIERARCHIES_MAX], struct error *err)
{
	for (size_t i = 0; i < roots->n; i++) {
		const struct hierarchy *h = &roots->hierarchies[i];

		if (make_in_hierarchy(h, cgroup_relative(path), &made[i], err) < 0 || prepare(roots, h, path, err) < 0)
			return -1;
	}
	return 0;
}

static void remove_everywhere(const struct cgroup_roots *roots, const char *path, const struct made made[HIERARCHIES_MAX])
{
	for (size_t i = 0; i < roots->n; i++)
		remove_made(&roots->hierarchies[i], cgroup_relative(path), &made[i]);
}

static struct cgroup *new_handle(const struct cgroup_roots *roots, const char *path)
{
	_cleanup_free_
	struct cgroup *cgroup = calloc(1, sizeof(*cgroup));

	if (!cgroup)
		return NULL;
	cgroup->path = strdup(path);
	if (!cgroup->path)
		return NULL;
	cgroup->roots = roots;
	cgroup->unified_fd = -1;
	return steal_ptr(&cgroup);
}

static int open_entries(struct cgroup *cgroup, struct error *err)
{
	for (size_t i = 0; i < cgroup->roots->n; i++) {
		const struct hierarchy *h = &cgroup->roots->hierarchies[i];
		int fd = group_open(cgroup, h, h->version->unified ? "" : "tasks",
				    h->version->unified ? O_RDONLY | O_DIRECTORY : O_WRONLY, err);

		if (fd < 0)
			return -1;
		if (h->version->unified)
			cgroup->unified_fd = fd;
		else
			cgroup->task_fds[cgroup->n_task_fds++] = fd;
	}
	return 0;
}

int cgroup_open(struct cgroup_roots *roots, const char *path, struct cgroup **ret_cgroup, struct error *err)
{
	struct cgroup *cgroup;

	if (cgroup_check_path(path, err) < 0)
		return -1;
	cgroup = new_handle(roots, path);
	if (!cgroup) {
		(void)error_sys(err, ENOMEM, "open cgroup %s", path);
		return -1;
	}
	if (open_entries(cgroup, err) < 0) {
		cgroup_close(cgroup);
		(void)error_prefix(err, "open cgroup %s", path);
		return -1;
	}
	*ret_cgroup = cgroup;
	return 0;
}

int cgroup_move(struct cgroup_roots *roots, const char *path, pid_t pid, struct error *err)
{
	char file[PATH_LEN_MAX + 32], text[16];
	struct made made = { 0 };

	if (cgroup_check_path(path, err) < 0)
		return -1;
	(void)snprintf(file, sizeof(file), "%s/cgroup.procs", cgroup_relative(path));
	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	if (make_in_hierarchy(&roots->hierarchies[0], cgroup_relative(path), &made, err) < 0 ||
	    io_write_value(roots->hierarchies[0].root, file, text, err) < 0)
		return error_prefix(err, "move process %d into cgroup %s", (int)pid, path);
	return 0;
}

void cgroup_close(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	for (size_t i = 0; i < cgroup->n_task_fds; i++)
		(void)close(cgroup->task_fds[i]);
	close_fd(&cgroup->unified_fd);
	free(cgroup->path);
	free(cgroup);
}

/* The shortest prefix in this hierarchy that is ours, given that the one of `len` bytes is: climbs while the marks go. */
static size_t climb(const struct hierarchy *h, const char *relative, size_t len)
{
	char prefix[PATH_LEN_MAX + 1], *slash;

	copy_prefix(prefix, relative, len);
	while ((slash = strrchr(prefix, '/'))) {
		*slash = '\0';
		if (!group_is_ours(h, prefix))
			return len;
		len = strlen(prefix);
	}
	return len;
}

/*
 * The topmost group of the path that is there for our sake: one that this call made, or that an earlier call made as a parent. So the
 * last of several pods under one parent can remove it, whoever came first. The unified hierarchy comes last in the usual order of
 * mounts and is the one where kubelet of a hybrid host makes nothing: looking there first mostly ends the search.
 */
static char *find_topmost(const struct cgroup_roots *roots, const char *path, const struct made made[HIERARCHIES_MAX])
{
	const char *relative = cgroup_relative(path);
	size_t best = strlen(relative), least = next_prefix(relative, 0);

	for (size_t i = roots->n; i-- > 0 && best > least;) {
		size_t len = climb(&roots->hierarchies[i], relative, made[i].shortest);

		best = len < best ? len : best;
	}
	return strndup(path, best + 1);
}

int cgroup_create(struct cgroup_roots *roots, const char *path, struct cgroup **ret_cgroup, char **ret_topmost_made,
		  struct error *err)
{
	struct made made[HIERARCHIES_MAX] = { 0 };
	char *topmost = NULL;
	struct cgroup *cgroup = NULL;

	if (cgroup_check_path(path, err) < 0)
		return -1;
	if (make_everywhere(roots, path, made, err) < 0) {
		remove_everywhere(roots, path, made);
		return error_prefix(err, "create cgroup %s", path);
	}
	if (cgroup_open(roots, path, &cgroup, err) < 0) {
		remove_everywhere(roots, path, made);
		return -1;
	}
	if (ret_topmost_made && !(topmost = find_topmost(roots, path, made))) {
		cgroup_close(cgroup);
		remove_everywhere(roots, path, made);
		return error_sys(err, ENOMEM, "create cgroup %s", path);
	}
	cgroup->fresh = true;
	*ret_cgroup = cgroup;
	if (ret_topmost_made)
		*ret_topmost_made = topmost;
	return 0;
}

const char *cgroup_path(const struct cgroup *cgroup)
{
	return cgroup->path;
}

int cgroup_unified_fd(const struct cgroup *cgroup)
{
	return cgroup->unified_fd;
}

size_t cgroup_task_fds(const struct cgroup *cgroup, const int **ret_fds)
{
	*ret_fds = cgroup->task_fds;
	return cgroup->n_task_fds;
}
