#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/mem.h"
#include "task/container_spec.h"
#include "task/path.h"

/* A node with many disks, their partitions and its terminals has some hundred; a request that names a directory gets all below. */
#define MAX_DEVICES 4096
#define MAX_DEPTH 8

struct collection {
	struct device_list *list;
	struct arena *arena;
};

static const struct {
	const char *path;
	unsigned major, minor;
} standard[] = {
	/* Documentation/admin-guide/devices.txt */
	{ "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

/* What is not the host's business in a container: the first four are mounts of its own, the rest udev's and the terminal's. */
static const char *const skipped[] = { "pts", "shm", "mqueue", "fd", ".udev", "console", "ptmx", ".lxc", ".lxd-mounts" };

static struct device_spec *find_device(const struct device_list *list, const char *path)
{
	for (size_t i = 0; i < list->n_devices; i++)
		if (!strcmp(list->devices[i].path, path))
			return &list->devices[i];
	return NULL;
}

static int grow(struct collection *c, struct error *err)
{
	struct device_list *list = c->list;
	size_t room = list->room ? 2 * list->room : 32;
	struct device_spec *devices = arena_new_array(c->arena, struct device_spec, room);
	struct device_rule *rules = arena_new_array(c->arena, struct device_rule, room);

	if (!devices || !rules)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (list->n_devices > 0)
		memcpy(devices, list->devices, list->n_devices * sizeof(*devices));
	if (list->n_rules > 0)
		memcpy(rules, list->rules, list->n_rules * sizeof(*rules));
	list->devices = devices;
	list->rules = rules;
	list->room = room;
	return 0;
}

/* A device of the host stays its owner's: with users of its own a container reaches what its mode lets others do. */
static struct device_spec device_of(const char *path, const struct stat *st, bool of_host)
{
	return (struct device_spec){
		.path = path,
		.type = st->st_mode & S_IFMT,
		.mode = st->st_mode & 07777,
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.uid = st->st_uid,
		.gid = st->st_gid,
		.host_owned = of_host,
	};
}

/* The first of a path stays. */
static int add_device(struct collection *c, const char *path, const struct stat *st, bool of_host, struct error *err)
{
	struct device_list *list = c->list;

	if (find_device(list, path))
		return 0;
	if (list->n_devices == MAX_DEVICES)
		return error_set(err, ERR_INVALID, "devices: more than %d", MAX_DEVICES);
	if (list->n_devices == list->room && grow(c, err) < 0)
		return -1;
	path = arena_strdup(c->arena, path);
	if (!path)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	list->devices[list->n_devices++] = device_of(path, st, of_host);
	return 0;
}

static int add_standard(struct collection *c, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(standard); i++) {
		struct stat st = { .st_mode = S_IFCHR | 0666, .st_rdev = makedev(standard[i].major, standard[i].minor) };

		if (add_device(c, standard[i].path, &st, false, err) < 0)
			return -1;
	}
	return 0;
}

/* The cgroup is told only of what the request names; rules for the standard devices are the cgroup code's own. */
static int add_rule(struct collection *c, const struct stat *st, const char *permissions, struct error *err)
{
	struct device_list *list = c->list;

	if (list->n_rules == MAX_DEVICES)
		return error_set(err, ERR_INVALID, "devices: more than %d", MAX_DEVICES);
	if (list->n_rules == list->room && grow(c, err) < 0)
		return -1;
	list->rules[list->n_rules++] = (struct device_rule){
		.type = S_ISBLK(st->st_mode) ? 'b' : 'c',
		.major = (int)major(st->st_rdev),
		.minor = (int)minor(st->st_rdev),
		.access = permissions,
	};
	return 0;
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

static bool is_skipped(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
		if (!strcmp(name, skipped[i]))
			return true;
	return false;
}

static int add_tree(struct collection *c, const char *host, const char *inside, const char *permissions, unsigned depth,
		    struct error *err);

static int add_entry(struct collection *c, const char *host, const char *inside, const char *permissions, unsigned depth,
		     struct error *err)
{
	struct stat st;

	/* What vanishes while we look was never there. */
	if (lstat(host, &st) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return depth < MAX_DEPTH ? add_tree(c, host, inside, permissions, depth + 1, err) : 0;
	if (!is_device(&st))
		return 0;
	if (permissions && add_rule(c, &st, permissions, err) < 0)
		return -1;
	return add_device(c, inside, &st, true, err);
}

static int add_tree(struct collection *c, const char *host, const char *inside, const char *permissions, unsigned depth,
		    struct error *err)
{
	_cleanup_dir_ DIR *dir = opendir(host);
	const struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : error_sys(err, errno, "devices: list %s", host);
	while ((entry = readdir(dir))) {
		char host_path[PATH_MAX], inside_path[PATH_MAX];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || is_skipped(entry->d_name))
			continue;
		if (path_format(host_path, err, "%s/%s", host, entry->d_name) < 0 ||
		    path_format(inside_path, err, "%s/%s", inside, entry->d_name) < 0)
			return error_prefix(err, "devices");
		if (add_entry(c, host_path, inside_path, permissions, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int add_requested(struct collection *c, const Cri__Device *device, struct error *err)
{
	const char *inside = *device->container_path ? device->container_path : device->host_path;
	const char *permissions = *device->permissions ? device->permissions : "rwm";
	struct stat st;

	if (stat(device->host_path, &st) < 0)
		return error_sys(err, errno, "devices: %s", device->host_path);
	if (S_ISDIR(st.st_mode))
		return add_tree(c, device->host_path, inside, permissions, 0, err);
	if (!is_device(&st))
		return error_set(err, ERR_INVALID, "devices: %s is not a device", device->host_path);
	if (add_rule(c, &st, permissions, err) < 0)
		return -1;
	return add_device(c, inside, &st, true, err);
}

int container_devices(const Cri__ContainerConfig *config, bool host_devices, struct arena *arena, struct device_list *ret_list,
		      struct error *err)
{
	struct collection c = { .list = ret_list, .arena = arena };

	*ret_list = (struct device_list){ .restricted = !container_is_privileged(config) || !host_devices };
	for (size_t i = 0; i < config->n_devices; i++)
		if (add_requested(&c, config->devices[i], err) < 0)
			return -1;
	if (!ret_list->restricted && add_tree(&c, "/dev", "/dev", NULL, 0, err) < 0)
		return -1;
	return add_standard(&c, err);
}

int device_list_put(struct device_list *list, struct arena *arena, const char *path, const struct stat *st, const char *access,
		    struct error *err)
{
	struct collection c = { .list = list, .arena = arena };
	struct device_spec *known = find_device(list, path);

	if (*access && add_rule(&c, st, access, err) < 0)
		return -1;
	if (!known)
		return add_device(&c, path, st, false, err);
	*known = device_of(known->path, st, false);
	return 0;
}
