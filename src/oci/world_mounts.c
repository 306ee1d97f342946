/*
 * The mounts of a configuration: binds and what is made outside become detached mounts here, the rest is left to the plan.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "oci/world_internal.h"
#include "runtime/kernel.h"
#include "runtime/plan.h"
#include "runtime/rootfs.h"

static const char *skip_idle(const char *path)
{
	while (*path == '/' || (*path == '.' && (path[1] == '/' || path[1] == '\0')))
		path++;
	return path;
}

/* However it is written: "/dev/.", "/./dev", "//dev/". */
static bool is_dev(const char *target)
{
	const char *first = skip_idle(target);

	return !strncmp(first, "dev", 3) && (first[3] == '/' || first[3] == '\0') && *skip_idle(first + 3) == '\0';
}

/* Those that are made inside, since they show the container's namespaces or its users own them. */
static const struct {
	const char *type;
	enum mount_kind kind;
} file_systems[] = {
	{ "proc", MOUNT_PROC },     { "sysfs", MOUNT_SYSFS },   { "tmpfs", MOUNT_TMPFS },    { "devpts", MOUNT_DEVPTS },
	{ "mqueue", MOUNT_MQUEUE }, { "cgroup", MOUNT_CGROUP }, { "cgroup2", MOUNT_CGROUP },
};

/* The time attributes are one field: a change of any asks for clearing it. */
static struct mount_attr attributes_of(unsigned long flags, unsigned long cleared)
{
	const unsigned long times = MS_NOATIME | MS_STRICTATIME | MS_RELATIME;
	struct mount_attr attr = { 0 };
	uint64_t set = 0, clear = 0;

	(void)plan_mount_attributes(flags, &set);
	(void)plan_mount_attributes(cleared, &clear);
	attr.attr_set = set;
	attr.attr_clr = (clear & ~(uint64_t)MOUNT_ATTR__ATIME) | ((flags | cleared) & times ? MOUNT_ATTR__ATIME : 0);
	return attr;
}

/* Propagation is everybody's in the tree unless a word says otherwise; then what the options say of the tree, and of its top. */
static int set_tree(int fd, const struct mount_config *mount, struct error *err)
{
	struct mount_attr tree = attributes_of(mount->tree_flags, mount->tree_cleared),
			  top = attributes_of(mount->flags, mount->cleared);

	if (mount->propagation && !mount->propagation_recursive)
		top.propagation = mount->propagation;
	else
		tree.propagation = mount->propagation ? mount->propagation : MS_PRIVATE;
	if (sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &tree) < 0 ||
	    ((top.attr_set || top.attr_clr || top.propagation) && sys_mount_setattr(fd, "", AT_EMPTY_PATH, &top) < 0))
		return error_sys(err, errno, "%s: set attributes and propagation", mount->place);
	return 0;
}

static int open_bind(struct world *world, struct arena *arena, const struct mount_config *mount, const char *bundle,
		     struct mount_spec *spec, struct error *err)
{
	const char *source = world_in_bundle(arena, bundle, mount->source);
	struct stat st;
	int fd;

	if (!source)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	fd = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (mount->recursive ? AT_RECURSIVE : 0U));
	if (fd < 0)
		return error_sys(err, errno, "%s.source %s", mount->place, source);
	spec->kind = MOUNT_BIND;
	spec->fd = world_keep(world, fd);
	spec->flags = 0;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "%s.source %s", mount->place, source);
	spec->target_is_file = !S_ISDIR(st.st_mode);
	return set_tree(fd, mount, err);
}

/* mount(8), "context"; quoted, because a level has commas. */
static const char *labelled(const struct world *world, struct arena *arena, const char *options)
{
	const char *label = world->spec.mount_label;

	return label ? arena_printf(arena, "%s%scontext=\"%s\"", options, *options ? "," : "", label) : options;
}

/* Made here, where the paths in its options are those that whoever wrote the configuration means. */
static int open_other(struct world *world, struct arena *arena, const struct mount_config *mount, struct mount_spec *spec,
		      struct error *err)
{
	const char *source = mount->source && *mount->source ? mount->source : NULL;
	const char *options = labelled(world, arena, mount->data);
	int fd = -1;

	if (!options)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	fd = file_system_open(mount->type, source, mount->flags & MS_RDONLY, *options ? options : NULL, err);
	if (fd < 0)
		return error_prefix(err, "%s", mount->place);
	spec->kind = MOUNT_BIND;
	spec->fd = world_keep(world, fd);
	spec->flags = 0;
	return set_tree(fd, mount, err);
}

static bool has_option(const char *data, const char *key)
{
	size_t length = strlen(key);

	for (const char *p = data; *p; p += strcspn(p, ","), p += *p == ',') {
		if (!strncmp(p, key, length) && p[length] == '=')
			return true;
	}
	return false;
}

static bool has_entries(int dir)
{
	char entries[512];

	/* "." and ".." come first, but need not */
	for (ssize_t n; (n = getdents64(dir, entries, sizeof(entries))) > 0;) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);

			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
				return true;
			at += entry->d_reclen;
		}
	}
	return false;
}

/* With the mode of the directory that it covers unless the options have one, as other runtimes do. */
static const char *tmpfs_options(struct arena *arena, const char *data, const struct stat *covered)
{
	if (has_option(data, "mode"))
		return data;
	return arena_printf(arena, "%s%smode=%o", data, *data ? "," : "", covered->st_mode & 07777);
}

/*
 * "tmpcopyup": what the image has at the place is in the new tmpfs, too; it is made and filled here. What other mounts of the container
 * would have put there is not.
 */
static int fill_tmpfs(struct world *world, struct arena *arena, const struct mount_config *mount, int covered,
		      const struct stat *st, struct mount_spec *spec, struct error *err)
{
	bool owned = has_option(mount->data, "uid") || has_option(mount->data, "gid");
	const char *options = labelled(world, arena, spec->options);
	_cleanup_fd_ int to = -1;
	int fd;

	if (owned && world->has_user_ns)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "%s.options: 'tmpcopyup' with uid or gid in a user namespace is not supported", mount->place);
	fd = options ? file_system_open("tmpfs", mount->source, 0, options, err) : error_set(err, ERR_EXHAUSTED, "out of memory");
	if (fd < 0)
		return error_prefix(err, "%s", mount->place);
	spec->fd = world_keep(world, fd);
	spec->kind = MOUNT_BIND;
	spec->flags = 0;
	to = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0 || (!owned && fchown(to, st->st_uid, st->st_gid) < 0))
		return error_sys(err, errno, "%s: fill the tmpfs", mount->place);
	return copy_up(covered, to, err) < 0 ? error_prefix(err, "%s", mount->place) : set_tree(fd, mount, err);
}

static int open_tmpfs(struct world *world, struct arena *arena, const struct mount_config *mount, struct mount_spec *spec,
		      struct error *err)
{
	struct error cause = ERROR_INIT;
	_cleanup_fd_ int covered = -1;
	struct stat st = { 0 };

	if (has_option(mount->data, "mode") && !mount->copy_up)
		return 0;
	covered = io_open_in_root(world->spec.rootfs, mount->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &cause);
	if (covered < 0 && mount->copy_up && cause.code != ERR_NOT_FOUND) {
		*err = cause;
		return error_prefix(err, "%s: what 'tmpcopyup' is to copy", mount->place);
	}
	if (covered < 0)
		return 0;
	if (fstat(covered, &st) < 0)
		return error_sys(err, errno, "%s: %s", mount->place, mount->target);
	spec->options = tmpfs_options(arena, mount->data, &st);
	if (!spec->options)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return mount->copy_up && !is_dev(mount->target) && has_entries(covered)
		       ? fill_tmpfs(world, arena, mount, covered, &st, spec, err)
		       : 0;
}

static int add_source(struct arena *arena, const struct mount_config *mount, struct mount_spec *spec, struct error *err)
{
	const char *data = spec->options;

	if (spec->kind != MOUNT_BIND && mount->source && *mount->source && !strchr(mount->source, ','))
		spec->options = arena_printf(arena, "%s%ssource=%s", data, *data ? "," : "", mount->source);
	if (spec->kind == MOUNT_CGROUP)
		spec->options = NULL;
	return spec->kind == MOUNT_CGROUP || spec->options ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int open_mount(struct world *world, struct arena *arena, const struct mount_config *mount, const char *bundle,
		      struct mount_spec *spec, struct error *err)
{
	*spec = (struct mount_spec){ .target = mount->target, .fd = -1, .flags = mount->flags, .options = mount->data };
	if (mount->bind)
		return open_bind(world, arena, mount, bundle, spec, err);
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++) {
		if (strcmp(file_systems[i].type, mount->type) != 0)
			continue;
		spec->kind = file_systems[i].kind;
		if (spec->kind == MOUNT_TMPFS && open_tmpfs(world, arena, mount, spec, err) < 0)
			return -1;
		return add_source(arena, mount, spec, err);
	}
	return open_other(world, arena, mount, spec, err);
}

static bool mounts_dev(const struct config *config)
{
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (is_dev(config->mounts[i].target))
			return true;
	}
	return false;
}

/* Devices are never made in the image (CVE-2026-41579): a configuration that mounts nothing on /dev gets a file system there. */
static size_t add_dev(const struct config *config, struct mount_spec *mounts)
{
	if (mounts_dev(config))
		return 0;
	mounts[0] = (struct mount_spec){ .kind = MOUNT_TMPFS,
					 .target = "/dev",
					 .fd = -1,
					 .flags = MS_NOSUID | MS_STRICTATIME,
					 .options = "mode=755,size=65536k" };
	return 1;
}

/* Without a cgroup namespace of its own a container sees its group where the host's are mounted. */
static int open_cgroup_trees(struct world *world, struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < world->spec.n_mounts; i++) {
		if (world->spec.mounts[i].kind != MOUNT_CGROUP || world->spec.new_cgroup_ns || n > 0)
			continue;
		if (cgroup_open_trees(world->spec.cgroup, world->cgroup_trees, &n, err) < 0)
			return -1;
		for (size_t j = 0; j < n; j++)
			(void)world_keep(world, world->cgroup_trees[j]);
		world->spec.cgroup_trees = world->cgroup_trees;
	}
	return 0;
}

int world_open_mounts(struct world *world, struct arena *arena, const struct config *config, const char *bundle, struct error *err)
{
	struct mount_spec *mounts = arena_new_array(arena, struct mount_spec, config->n_mounts + 1);
	size_t n;

	if (!mounts)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	n = add_dev(config, mounts);
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (open_mount(world, arena, &config->mounts[i], bundle, &mounts[n++], err) < 0)
			return -1;
	}
	world->spec.mounts = mounts;
	world->spec.n_mounts = n;
	return open_cgroup_trees(world, err);
}
