/*
 * Which hierarchies there are, and in which of them a container gets a group.
 *
 * Version 1 has a hierarchy per controller, and every one costs each container a mkdir, an open and a write of `tasks`, and a rmdir:
 * 45 us for the cheapest, 120 us for memory (measured on 6.18). So only those are used that hold a limit, a protection, or a counter
 * that kubelets look for by path: cpu, cpuacct, cpuset, memory, pids, devices, hugetlb. Left alone are
 *   - blkio (69 us), net_cls, net_prio, rdma: the CRI has no field for them, and whoever opens the roots says that he needs one;
 *   - perf_event, misc: nobody asks for them;
 *   - freezer (51 us), when version 2 is mounted beside (hybrid): one group there (75 us) gives freezing, killing without a race, and
 *     pressure counters, and a child enters it by CLONE_INTO_CGROUP;
 *   - named ones (43 us), unless systemd runs here: it tracks its units in name=systemd and would end our containers with our unit.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/cgroup_internal.h"
#include "runtime/mountinfo.h"

/* Version 1 name, version 2 name where it is a controller there. */
static const struct {
	const char *v1, *v2;
} controller_names[CONTROLLER_COUNT] = {
	[CONTROLLER_CPU] = { "cpu", "cpu" },          [CONTROLLER_CPUACCT] = { "cpuacct", NULL },
	[CONTROLLER_CPUSET] = { "cpuset", "cpuset" }, [CONTROLLER_MEMORY] = { "memory", "memory" },
	[CONTROLLER_PIDS] = { "pids", "pids" },       [CONTROLLER_HUGETLB] = { "hugetlb", "hugetlb" },
	[CONTROLLER_IO] = { "blkio", "io" },          [CONTROLLER_DEVICES] = { "devices", NULL },
	[CONTROLLER_FREEZER] = { "freezer", NULL },   [CONTROLLER_NET_CLS] = { "net_cls", NULL },
	[CONTROLLER_NET_PRIO] = { "net_prio", NULL }, [CONTROLLER_RDMA] = { "rdma", "rdma" },
};

#define ALWAYS_USED                                                                                                                \
	(CONTROLLER_BIT(CONTROLLER_CPU) | CONTROLLER_BIT(CONTROLLER_CPUACCT) | CONTROLLER_BIT(CONTROLLER_CPUSET) |                 \
	 CONTROLLER_BIT(CONTROLLER_MEMORY) | CONTROLLER_BIT(CONTROLLER_PIDS) | CONTROLLER_BIT(CONTROLLER_HUGETLB) |                \
	 CONTROLLER_BIT(CONTROLLER_DEVICES))

static bool name_is(const char *known, const char *name, size_t len)
{
	return known && strlen(known) == len && !memcmp(known, name, len);
}

int controller_parse(const char *name, size_t len)
{
	for (int c = 0; c < CONTROLLER_COUNT; c++) {
		if (name_is(controller_names[c].v1, name, len) || name_is(controller_names[c].v2, name, len))
			return c;
	}
	return -1;
}

const char *controller_name(enum controller controller, const struct cgroup_version *version)
{
	return version->unified ? controller_names[controller].v2 : controller_names[controller].v1;
}

const struct hierarchy *roots_find(const struct cgroup_roots *roots, enum controller controller)
{
	for (size_t i = 0; i < roots->n; i++) {
		if (roots->hierarchies[i].controllers & CONTROLLER_BIT(controller))
			return &roots->hierarchies[i];
	}
	return NULL;
}

/* Options of a version 1 mount that are not controllers; see cgroup1_fs_parameters in the kernel. */
static bool is_plain_option(const char *option)
{
	static const char *const plain[] = {
		"rw", "ro", "none", "all", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nofavordynmods"
	};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (!strcmp(option, plain[i]))
			return true;
	}
	return !strncmp(option, "release_agent=", strlen("release_agent="));
}

/* Splits "rw,cpu,cpuacct" into the part that names the hierarchy, "cpu,cpuacct", and the set of what we know of it. */
static char *parse_v1_options(const char *options, unsigned *ret_controllers)
{
	_cleanup_free_
	char *copy = strdup(options);
	char *name = calloc(1, strlen(options) + 1), *end = name, *rest = copy, *option;

	*ret_controllers = 0;
	while (copy && name && (option = strsep(&rest, ","))) {
		int c = controller_parse(option, strlen(option));

		if (is_plain_option(option) || !*option)
			continue;
		if (end > name)
			*end++ = ',';
		end = stpcpy(end, option);
		*ret_controllers |= c >= 0 ? CONTROLLER_BIT(c) : 0;
	}
	if (!copy)
		free(name);
	return copy ? name : NULL;
}

/* "cpuset cpu io\n" */
static unsigned parse_v2_controllers(char *text)
{
	unsigned set = 0;
	char *word;

	while ((word = strsep(&text, " \n"))) {
		int c = *word ? controller_parse(word, strlen(word)) : -1;

		set |= c >= 0 ? CONTROLLER_BIT(c) : 0;
	}
	return set;
}

static int read_v2_controllers(int root, unsigned *ret_controllers, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(4096);

	if (io_read_file(root, "cgroup.controllers", &text, err) < 0)
		return -1;
	*ret_controllers = text.data ? parse_v2_controllers(text.data) : 0;
	return 0;
}

struct search {
	struct cgroup_roots *roots;
	const char *where; /* NULL: anywhere */
};

static bool is_below(const char *path, const char *where)
{
	size_t len = where ? strlen(where) : 0;

	while (len > 0 && where[len - 1] == '/')
		len--;
	return !strncmp(path, where ? where : "", len) && (len == 0 || path[len] == '/' || path[len] == '\0');
}

static bool is_known(const struct cgroup_roots *roots, const char *name)
{
	for (size_t i = 0; i < roots->n; i++) {
		if (!strcmp(roots->hierarchies[i].name, name))
			return true;
	}
	return false;
}

/* Adds a hierarchy; takes `name` over. The same one mounted twice counts once. */
static int add(struct cgroup_roots *roots, const struct cgroup_version *version, const char *mount_point, char *name,
	       unsigned controllers, struct error *err)
{
	_cleanup_free_
	char *owned = name;
	_cleanup_fd_ int root = -1;

	if (!owned)
		return error_sys(err, ENOMEM, "find cgroup hierarchies");
	if (is_known(roots, owned) || roots->n == HIERARCHIES_MAX)
		return 0;
	root = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_sys(err, errno, "open cgroup hierarchy %s", mount_point);
	if (version->unified && read_v2_controllers(root, &controllers, err) < 0)
		return error_prefix(err, "open cgroup hierarchy %s", mount_point);
	roots->hierarchies[roots->n++] = (struct hierarchy){ version, steal_fd(&root), controllers, steal_ptr(&owned) };
	return 0;
}

static int on_mount(const struct mount_line *line, void *data, struct error *err)
{
	const struct search *search = data;
	unsigned controllers;
	char *name;

	if (!is_below(line->mount_point, search->where))
		return 0;
	if (!strcmp(line->fs_type, "cgroup2"))
		return add(search->roots, &cgroup_v2, line->mount_point, strdup("unified"), 0, err);
	if (strcmp(line->fs_type, "cgroup") != 0)
		return 0;
	name = parse_v1_options(line->super_options, &controllers);
	return add(search->roots, &cgroup_v1, line->mount_point, name, controllers, err);
}

static bool has_v2(const struct cgroup_roots *roots)
{
	for (size_t i = 0; i < roots->n; i++) {
		if (roots->hierarchies[i].version->unified)
			return true;
	}
	return false;
}

/* The rule at the top of this file. */
static bool is_used(const struct hierarchy *h, unsigned more, bool hybrid, bool systemd)
{
	unsigned used = ALWAYS_USED | more | (hybrid ? 0 : CONTROLLER_BIT(CONTROLLER_FREEZER));

	if (h->version->unified || (h->controllers & used))
		return true;
	return systemd && !strncmp(h->name, "name=", strlen("name="));
}

/* Remembers the name of a hierarchy that is left alone, and forgets the rest of it. */
static int discard(struct cgroup_roots *roots, struct hierarchy *h, struct error *err)
{
	const char *before = roots->unused ? roots->unused : "";
	char *unused = NULL;

	if (asprintf(&unused, "%s %s", before, h->name) < 0)
		return error_sys(err, ENOMEM, "find cgroup hierarchies");
	free(roots->unused);
	roots->unused = unused;
	close_fd(&h->root);
	free(h->name);
	return 0;
}

static int keep_used(struct cgroup_roots *roots, unsigned more, struct error *err)
{
	/* sd_booted(3): this directory is how systemd says that it is the init here. */
	bool hybrid = has_v2(roots), systemd = access("/run/systemd/system", F_OK) == 0;
	size_t n = roots->n;
	int r = 0;

	roots->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct hierarchy h = roots->hierarchies[i];

		/* On failure the others are kept, so that the caller can close them. */
		if (r == 0 && !is_used(&h, more, hybrid, systemd) && (r = discard(roots, &h, err)) == 0)
			continue;
		roots->hierarchies[roots->n++] = h;
		if (!h.version->unified)
			roots->v1_names[roots->n_v1_names++] = h.name;
	}
	return r;
}

/* As controllers of the enum. */
static unsigned more_controllers(unsigned more)
{
	return (more & CGROUP_BLKIO ? CONTROLLER_BIT(CONTROLLER_IO) : 0) |
	       (more & CGROUP_NET_CLS ? CONTROLLER_BIT(CONTROLLER_NET_CLS) : 0) |
	       (more & CGROUP_NET_PRIO ? CONTROLLER_BIT(CONTROLLER_NET_PRIO) : 0) |
	       (more & CGROUP_RDMA ? CONTROLLER_BIT(CONTROLLER_RDMA) : 0);
}

int cgroup_roots_open(const char *where, struct cgroup_roots **ret_roots, struct error *err)
{
	return cgroup_roots_open_with(where, 0, ret_roots, err);
}

int cgroup_roots_open_with(const char *where, unsigned more, struct cgroup_roots **ret_roots, struct error *err)
{
	struct cgroup_roots *roots = calloc(1, sizeof(*roots));
	struct search search = { roots, strcmp(where, "auto") ? where : NULL };

	if (!roots)
		return error_sys(err, ENOMEM, "find cgroup hierarchies");
	if (mountinfo_scan(on_mount, &search, err) < 0 || keep_used(roots, more_controllers(more), err) < 0) {
		cgroup_roots_close(roots);
		return -1;
	}
	if (roots->n == 0) {
		cgroup_roots_close(roots);
		return error_set(err, ERR_NOT_FOUND, "find cgroup hierarchies: none is mounted%s%s", search.where ? " below " : "",
				 search.where ? search.where : "");
	}
	*ret_roots = roots;
	return 0;
}

void cgroup_roots_close(struct cgroup_roots *roots)
{
	if (!roots)
		return;
	for (size_t i = 0; i < roots->n; i++) {
		close_fd(&roots->hierarchies[i].root);
		free(roots->hierarchies[i].name);
	}
	free(roots->unused);
	free(roots);
}

bool cgroup_roots_unified(const struct cgroup_roots *roots)
{
	return roots->n == 1 && roots->hierarchies[0].version->unified;
}

size_t cgroup_hierarchies(const struct cgroup_roots *roots, const char *const **ret_names)
{
	*ret_names = roots->v1_names;
	return roots->n_v1_names;
}

static void describe_v2(const struct hierarchy *h, FILE *out)
{
	(void)fputs("cgroup v2:", out);
	for (int c = 0; c < CONTROLLER_COUNT; c++) {
		if (h->controllers & CONTROLLER_BIT(c))
			(void)fprintf(out, " %s", controller_names[c].v2);
	}
	if (h->controllers == 0)
		(void)fputs(" no controllers", out);
}

void cgroup_roots_describe(const struct cgroup_roots *roots, FILE *out)
{
	if (roots->n_v1_names > 0)
		(void)fputs("cgroup v1:", out);
	for (size_t i = 0; i < roots->n_v1_names; i++)
		(void)fprintf(out, " %s", roots->v1_names[i]);
	for (size_t i = 0; i < roots->n; i++) {
		if (!roots->hierarchies[i].version->unified)
			continue;
		if (roots->n_v1_names > 0)
			(void)fputs("; ", out);
		describe_v2(&roots->hierarchies[i], out);
	}
	if (roots->unused)
		(void)fprintf(out, "; not used:%s", roots->unused);
}
