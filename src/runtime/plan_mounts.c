#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "runtime/cgroup.h"
#include "runtime/plan.h"
#include "runtime/plan_lay.h"
#include "runtime/relabel.h"

int clean_path(char clean[PATH_MAX], const char *path, const char *what, struct error *err)
{
	size_t n = 0;

	if (!path || path[0] != '/')
		return error_set(err, ERR_INVALID, "%s '%s' is not absolute", what, path ? path : "");
	for (const char *p = path; *p;) {
		size_t length = strcspn(p, "/");

		if (length == 2 && p[0] == '.' && p[1] == '.')
			return error_set(err, ERR_INVALID, "%s '%s' contains '..'", what, path);
		if (length > 0 && !(length == 1 && p[0] == '.')) {
			if (length > NAME_MAX || n + 1 + length >= PATH_MAX)
				return error_set(err, ERR_INVALID, "%s '%.64s...' is too long", what, path);
			clean[n++] = '/';
			memcpy(clean + n, p, length);
			n += length;
		}
		p += length + (p[length] == '/');
	}
	if (n == 0)
		clean[n++] = '/';
	clean[n] = '\0';
	return 0;
}

static const struct {
	unsigned long flag;
	uint64_t attribute;
} mount_flags[] = {
	{ MS_RDONLY, MOUNT_ATTR_RDONLY },     { MS_NOSUID, MOUNT_ATTR_NOSUID },         { MS_NODEV, MOUNT_ATTR_NODEV },
	{ MS_NOEXEC, MOUNT_ATTR_NOEXEC },     { MS_NOATIME, MOUNT_ATTR_NOATIME },       { MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
	{ MS_RELATIME, 0 /* the default */ }, { MS_NODIRATIME, MOUNT_ATTR_NODIRATIME }, { MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
};

unsigned long plan_mount_attributes(unsigned long flags, uint64_t *ret_attributes)
{
	uint64_t attributes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(mount_flags); i++) {
		if (flags & mount_flags[i].flag)
			attributes |= mount_flags[i].attribute;
		flags &= ~mount_flags[i].flag;
	}
	*ret_attributes = attributes;
	return flags;
}

static int attributes_of(unsigned long flags, const char *target, uint64_t *ret_attributes, struct error *err)
{
	unsigned long unknown = plan_mount_attributes(flags, ret_attributes);

	return unknown ? error_set(err, ERR_INVALID, "mount on %s has unknown flags %#lx", target, unknown) : 0;
}

/* A file system's name and its options as the interpreter wants them: key and value in turn. */
#define MAX_OPTIONS 64 /* and one for the label; arbitrary; the longest list in use has four */

struct option_list {
	uint32_t items[1 + 2 * (MAX_OPTIONS + 1)];
	size_t n;
	uint32_t source; /* what mount tables show; 0: the file system's name */
};

static void add_option(struct plan_build *build, struct option_list *list, const char *key, size_t key_length, const char *value,
		       size_t value_length)
{
	list->items[list->n++] = plan_add_text_n(build, key, key_length);
	list->items[list->n++] = value ? plan_add_text_n(build, value, value_length) : 0;
}

/* An id as the container knows it, for a file system that the host's root mounts. */
static int add_id(struct plan_build *build, struct option_list *list, const char *key, const char *value, struct error *err)
{
	bool group = !strcmp(key, "gid");
	char text[16], *end;
	unsigned long inside;
	uint32_t outside;

	errno = 0;
	inside = strtoul(value, &end, 10);
	if (errno || end == value || (*end && *end != ',') || inside >= UINT32_MAX)
		return error_set(err, ERR_INVALID, "'%s' is no id", value);
	if ((group ? outside_gid : outside_uid)(build->user_ns, (uint32_t)inside, &outside, err) < 0)
		return -1;
	(void)snprintf(text, sizeof(text), "%u", outside);
	add_option(build, list, key, strlen(key), text, strlen(text));
	return 0;
}

/* tmpfs(5), devpts: uid and gid. Returns 1 when the option is one of them and was added. */
static int translate_option(struct plan_build *build, struct option_list *list, const char *option, size_t key, struct error *err)
{
	bool is_uid = key == 3 && !strncmp(option, "uid=", 4), is_gid = key == 3 && !strncmp(option, "gid=", 4);

	if (!build->user_ns || !(is_uid || is_gid))
		return 0;
	return add_id(build, list, is_uid ? "uid" : "gid", option + 4, err) < 0 ? -1 : 1;
}

static int add_options(struct plan_build *build, struct option_list *list, const char *options, const char *target,
		       struct error *err)
{
	for (const char *p = options ? options : ""; *p;) {
		size_t length = strcspn(p, ",");
		size_t key = strcspn(p, "=,");
		int translated;

		if (list->n + 2 > 1 + 2 * MAX_OPTIONS)
			return error_set(err, ERR_INVALID, "mount on %s has more than %d options", target, MAX_OPTIONS);
		if (key == 0)
			return error_set(err, ERR_INVALID, "mount on %s: option without a name in '%s'", target, options);
		translated = translate_option(build, list, p, key, err);
		if (translated < 0)
			return error_prefix(err, "mount on %s", target);
		if (key == strlen("source") && !strncmp(p, "source=", key + 1))
			list->source = plan_add_text_n(build, p + key + 1, length - key - 1);
		else if (translated == 0)
			add_option(build, list, p, key, key < length ? p + key + 1 : NULL, key < length ? length - key - 1 : 0);
		p += length + (p[length] == ',');
	}
	return 0;
}

/* The container's root owns their root directories, unless the options say who. */
static bool may_be_owned(const char *fs, const char *options)
{
	if (options && (!strncmp(options, "uid=", 4) || strstr(options, ",uid=")))
		return false;
	return !strcmp(fs, "tmpfs") || !strcmp(fs, "devpts") || !strcmp(fs, "mqueue");
}

/* mount(8), "context": of what is made for this container alone. An mqueue is its IPC namespace's, which has made it already: see
 * PLAN_LABELLED. */
static bool takes_context(const char *fs)
{
	return !strcmp(fs, "tmpfs") || !strcmp(fs, "devpts");
}

/* One mount of a new file system. */
static int lay_fs(struct plan_build *build, const char *fs, const char *options, const char *target, uint64_t attributes,
		  unsigned flags, int fd, struct error *err)
{
	struct option_list list = { .n = 0 };
	struct plan_op *op;
	bool labelled;

	list.items[list.n++] = plan_add_text(build, fs);
	if (add_options(build, &list, options, target, err) < 0)
		return -1;
	if (build->mount_label && takes_context(fs))
		add_option(build, &list, "context", strlen("context"), build->mount_label, strlen(build->mount_label));
	labelled = build->mount_label && !strcmp(fs, "mqueue");
	if (labelled)
		add_option(build, &list, RELABEL_SELINUX, strlen(RELABEL_SELINUX), build->mount_label, strlen(build->mount_label));
	op = plan_add(build, PLAN_MOUNT);
	op->flags |= labelled ? PLAN_LABELLED : 0;
	op->flags |= (uint16_t)(flags | (build->user_ns && may_be_owned(fs, options) ? PLAN_OWNED : 0));
	op->text = plan_add_text(build, target);
	op->list = plan_add_list(build, list.items, list.n, sizeof(list.items[0]));
	op->n_list = (uint32_t)list.n;
	op->mode = list.source;
	op->value[0] = attributes;
	op->fd = fd;
	return 0;
}

static void lay_symlink(struct plan_build *build, const char *path, const char *target)
{
	struct plan_op *op = plan_add(build, PLAN_SYMLINK);
	uint32_t reference = plan_add_text(build, target);

	op->text = plan_add_text(build, path);
	op->list = plan_add_list(build, &reference, 1, sizeof(reference));
	op->n_list = 1;
}

/* Longest name of a hierarchy's directory: every controller in one. */
#define HIERARCHY_SIZE 256

static int hierarchy_path(char path[PATH_MAX], const char *target, const char *name, size_t length, struct error *err)
{
	if (length >= HIERARCHY_SIZE || strlen(target) + 1 + length >= PATH_MAX)
		return error_set(err, ERR_INVALID, "cgroup hierarchy '%.64s' has too long a name", name);
	(void)snprintf(path, PATH_MAX, "%s/%.*s", target, (int)length, name);
	return 0;
}

/* What a cgroup namespace makes of the mount, or else the group itself. */
static int lay_group(struct plan_build *build, const char *fs, const char *options, const char *path, uint64_t attributes, int tree,
		     struct error *err)
{
	struct plan_op *op;

	if (tree < 0)
		return lay_fs(build, fs, options, path, attributes, PLAN_NO_LINKS, -1, err);
	op = plan_add(build, PLAN_BIND);
	op->flags |= PLAN_NO_LINKS;
	op->text = plan_add_text(build, path);
	op->fd = plan_add_fd(build, tree);
	op->value[0] = attributes;
	return 0;
}

/* "cpu,cpuacct" is one hierarchy and has a link for each of its controllers; "name=systemd" has none. */
static int lay_hierarchy(struct plan_build *build, const char *target, const char *name, uint64_t attributes, int tree,
			 struct error *err)
{
	const char *dir = strncmp(name, "name=", 5) ? name : name + 5;
	char path[PATH_MAX], options[HIERARCHY_SIZE + 8];

	if (hierarchy_path(path, target, dir, strlen(dir), err) < 0)
		return -1;
	(void)snprintf(options, sizeof(options), "%s%s", dir == name ? "" : "none,", name);
	if (lay_group(build, "cgroup", options, path, attributes, tree, err) < 0)
		return -1;
	for (const char *p = dir; strchr(dir, ',') && *p;) {
		size_t length = strcspn(p, ",");

		if (hierarchy_path(path, target, p, length, err) < 0)
			return -1;
		lay_symlink(build, path, dir);
		p += length + (p[length] == ',');
	}
	return 0;
}

static void lay_attributes(struct plan_build *build, const char *target, uint64_t attributes)
{
	struct plan_op *op = plan_add(build, PLAN_ATTRIBUTES);

	op->text = plan_add_text(build, target);
	op->value[0] = attributes;
}

/* Version 1: a tmpfs with one mount per hierarchy, read-only in the end if asked for. A hybrid host adds version 2 as "unified". */
static int lay_cgroup_v1(struct plan_build *build, const struct container_spec *spec, const char *target, uint64_t attributes,
			 struct error *err)
{
	uint64_t readonly = attributes & MOUNT_ATTR_RDONLY;
	const char *const *names;
	size_t n = cgroup_hierarchies(spec->cgroup_roots, &names);
	const int *trees = spec->new_cgroup_ns ? NULL : spec->cgroup_trees;
	char path[PATH_MAX];

	if (lay_fs(build, "tmpfs", "mode=755", target, attributes & ~readonly, PLAN_NO_LINKS, -1, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (lay_hierarchy(build, target, names[i], attributes, trees ? trees[i] : -1, err) < 0)
			return -1;
	}
	if (spec->cgroup && cgroup_unified_fd(spec->cgroup) >= 0) {
		if (hierarchy_path(path, target, "unified", strlen("unified"), err) < 0 ||
		    lay_group(build, "cgroup2", NULL, path, attributes, trees ? trees[n] : -1, err) < 0)
			return -1;
	}
	if (readonly)
		lay_attributes(build, target, readonly);
	return 0;
}

/*
 * A mount of the hierarchy is only for a cgroup namespace of the container's own: from the host's, it would show every group of the node,
 * and mounting version 2 would also rewrite the host's mount options. There the container gets its own group alone.
 */
static int lay_cgroup(struct plan_build *build, const struct container_spec *spec, const char *target, uint64_t attributes,
		      struct error *err)
{
	if (!spec->cgroup_roots || (!spec->new_cgroup_ns && !spec->cgroup_trees))
		return error_set(err, ERR_INVALID, "cgroup mount on %s needs a cgroup namespace and the host's hierarchies",
				 target);
	if (cgroup_roots_unified(spec->cgroup_roots))
		return lay_group(build, "cgroup2", NULL, target, attributes, spec->new_cgroup_ns ? -1 : spec->cgroup_trees[0], err);
	return lay_cgroup_v1(build, spec, target, attributes, err);
}

/* What others mount inside /proc (lxcfs does): files that tell about the machine, none that a program is controlled by. */
static const char *const proc_files[] = {
	"cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", NULL
};

static bool may_cover_proc(const char *target)
{
	for (size_t i = 0; proc_files[i]; i++) {
		if (!strncmp(target, "/proc/", 6) && !strcmp(target + 6, proc_files[i]))
			return true;
	}
	return false;
}

bool plan_may_mount_on(const char *target)
{
	return strncmp(target, "/proc/", 6) != 0 || may_cover_proc(target);
}

/* What a container relies on to be where it is spelled (CVE-2023-27561, CVE-2026-41579). */
static bool is_of_system(const char *target)
{
	return !strcmp(target, "/proc") || !strcmp(target, "/sys") || !strcmp(target, "/dev");
}

static int lay_bind(struct plan_build *build, const struct mount_spec *mount, const char *target, uint64_t attributes,
		    struct error *err)
{
	struct plan_op *op;

	if (mount->fd < 0)
		return error_set(err, ERR_INVALID, "mount on %s has no source", target);
	op = plan_add(build, PLAN_BIND);
	op->flags |= (uint16_t)((mount->target_is_file ? PLAN_FILE : 0) | (may_cover_proc(target) ? PLAN_ON_PROC : 0) |
				(is_of_system(target) ? PLAN_NO_LINKS : 0));
	op->text = plan_add_text(build, target);
	op->fd = plan_add_fd(build, mount->fd);
	op->value[0] = attributes;
	return 0;
}

static int lay_mount(struct plan_build *build, const struct container_spec *spec, const struct mount_spec *mount,
		     const char *target, bool late_fork, struct error *err)
{
	bool is_dev = !strcmp(target, "/dev");
	uint64_t attributes;
	int pidns = -1;

	if (attributes_of(mount->flags, target, &attributes, err) < 0)
		return -1;
	switch (mount->kind) {
	case MOUNT_BIND:
		return lay_bind(build, mount, target, attributes, err);
	case MOUNT_PROC:
		/* the procfs of a namespace that this process is not in yet */
		if (late_fork)
			pidns = plan_add_fd(build, spec->pid_ns);
		return lay_fs(build, "proc", mount->options, target, attributes, PLAN_NO_LINKS | PLAN_ON_PROC, pidns, err);
	case MOUNT_SYSFS:
		return lay_fs(build, "sysfs", mount->options, target, attributes, PLAN_NO_LINKS, -1, err);
	case MOUNT_CGROUP:
		return lay_cgroup(build, spec, target, attributes, err);
	case MOUNT_TMPFS:
		return lay_fs(build, "tmpfs", mount->options, target, attributes, is_dev ? PLAN_NO_LINKS : 0, -1, err);
	case MOUNT_DEVPTS:
		return lay_fs(build, "devpts", mount->options, target, attributes, PLAN_NO_LINKS, -1, err);
	case MOUNT_MQUEUE:
		return lay_fs(build, "mqueue", mount->options, target, attributes, PLAN_NO_LINKS, -1, err);
	}
	return error_set(err, ERR_INVALID, "mount on %s is of an unknown kind", target);
}

/* devpts(5), proc(5): what programs expect in /dev besides nodes. */
static void lay_dev_links(struct plan_build *build)
{
	lay_symlink(build, "/dev/fd", "/proc/self/fd");
	lay_symlink(build, "/dev/stdin", "/proc/self/fd/0");
	lay_symlink(build, "/dev/stdout", "/proc/self/fd/1");
	lay_symlink(build, "/dev/stderr", "/proc/self/fd/2");
	lay_symlink(build, "/dev/ptmx", "pts/ptmx");
}

static int lay_device(struct plan_build *build, const struct device_spec *device, struct error *err)
{
	char path[PATH_MAX];
	const struct user_ns_spec *user_ns = device->host_owned ? NULL : build->user_ns;
	uid_t uid;
	gid_t gid;
	struct plan_op *op;

	if (clean_path(path, device->path, "device", err) < 0 || outside_uid(user_ns, device->uid, &uid, err) < 0 ||
	    outside_gid(user_ns, device->gid, &gid, err) < 0)
		return -1;
	if (strncmp(path, "/dev/", 5) || (device->type != S_IFCHR && device->type != S_IFBLK && device->type != S_IFIFO) ||
	    device->major > 0xfff || device->minor > 0xfffff)
		return error_set(err, ERR_INVALID, "device '%s' is not a device or a fifo below /dev", path);
	op = plan_add(build, PLAN_DEVICE);
	op->text = plan_add_text(build, path);
	op->mode = device->type | (device->mode & 07777);
	op->uid = uid;
	op->gid = gid;
	op->value[0] = device->major;
	op->value[1] = device->minor;
	return 0;
}

/* As soon as /dev is mounted, while nobody else can have put anything there. */
static int lay_dev(struct plan_build *build, const struct container_spec *spec, struct error *err)
{
	lay_dev_links(build);
	for (size_t i = 0; i < spec->n_devices; i++) {
		if (lay_device(build, &spec->devices[i], err) < 0)
			return -1;
	}
	return 0;
}

int lay_mounts(struct plan_build *build, const struct container_spec *spec, bool late_fork, struct error *err)
{
	char target[PATH_MAX];
	ssize_t dev = -1;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (clean_path(target, spec->mounts[i].target, "mount target", err) < 0)
			return -1;
		if (!strcmp(target, "/"))
			return error_set(err, ERR_INVALID, "mount target '/' is the root itself");
		if (!strcmp(target, "/dev"))
			dev = (ssize_t)i;
	}
	for (size_t i = 0; i < spec->n_mounts; i++) {
		(void)clean_path(target, spec->mounts[i].target, "mount target", err);
		if (lay_mount(build, spec, &spec->mounts[i], target, late_fork, err) < 0)
			return -1;
		/* a volume on /dev (often the host's) is left as it is */
		if ((ssize_t)i == dev && spec->mounts[i].kind == MOUNT_TMPFS && lay_dev(build, spec, err) < 0)
			return -1;
	}
	return 0;
}

static int lay_path(struct plan_build *build, enum plan_kind kind, const char *path, struct error *err)
{
	char clean[PATH_MAX];

	if (clean_path(clean, path, kind == PLAN_MASK ? "masked path" : "read-only path", err) < 0)
		return -1;
	plan_add(build, kind)->text = plan_add_text(build, clean);
	return 0;
}

int lay_paths(struct plan_build *build, const struct container_spec *spec, struct error *err)
{
	for (const char *const *path = spec->readonly_paths; path && *path; path++) {
		if (lay_path(build, PLAN_READONLY, *path, err) < 0)
			return -1;
	}
	for (const char *const *path = spec->masked_paths; path && *path; path++) {
		if (lay_path(build, PLAN_MASK, *path, err) < 0)
			return -1;
	}
	return 0;
}
