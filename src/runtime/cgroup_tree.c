/* A group's directories as mounts. */
#include <errno.h>

#include "base/mem.h"
#include "runtime/cgroup_internal.h"
#include "runtime/cgroup_stat.h"
#include "runtime/kernel.h"

static int copy_group(const struct cgroup *cgroup, const struct hierarchy *h, struct error *err)
{
	int fd = sys_open_tree(h->root, cgroup_relative(cgroup->path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd < 0 ? error_sys(err, errno, "copy cgroup %s of hierarchy %s", cgroup->path, h->name) : fd;
}

static int open_version(const struct cgroup *cgroup, bool unified, int fds[CGROUP_TREES_MAX], size_t *n, struct error *err)
{
	for (size_t i = 0; i < cgroup->roots->n; i++) {
		const struct hierarchy *h = &cgroup->roots->hierarchies[i];

		if (h->version->unified != unified)
			continue;
		fds[*n] = copy_group(cgroup, h, err);
		if (fds[*n] < 0)
			return -1;
		++*n;
	}
	return 0;
}

int cgroup_open_trees(const struct cgroup *cgroup, int fds[CGROUP_TREES_MAX], size_t *ret_n, struct error *err)
{
	size_t n = 0;

	_Static_assert(CGROUP_TREES_MAX > HIERARCHIES_MAX, "one for each hierarchy");
	if (open_version(cgroup, false, fds, &n, err) == 0 && open_version(cgroup, true, fds, &n, err) == 0) {
		*ret_n = n;
		return 0;
	}
	while (n > 0)
		(void)close(fds[--n]);
	return -1;
}
