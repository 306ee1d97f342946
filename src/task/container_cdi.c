#include "task/container_cdi.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/mem.h"
#include "task/node_impl.h"

int container_cdi(const struct container *container, struct arena *arena, struct cdi_edits *ret_edits, struct error *err)
{
	const Cri__ContainerConfig *config = container->config;
	char **names = arena_new_array(arena, char *, config->n_cdi_devices + 1);

	if (!names)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < config->n_cdi_devices; i++)
		names[i] = config->cdi_devices[i]->name;
	return cdi_resolve(container->node->config->cdi_dirs, names, config->n_cdi_devices, arena, ret_edits, err);
}

/* ---- environment ---- */

static size_t find_variable(char *const *env, size_t n, const char *text)
{
	size_t len = strcspn(text, "=") + 1, i = 0;

	while (i < n && strncmp(env[i], text, len) != 0)
		i++;
	return i;
}

int cdi_add_env(const struct cdi_edits *edits, struct arena *arena, char ***env, struct error *err)
{
	size_t n = 0;
	char **list;

	if (edits->n_env == 0)
		return 0;
	while ((*env)[n])
		n++;
	list = arena_new_array(arena, char *, n + edits->n_env + 1);
	if (!list)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	memcpy(list, *env, n * sizeof(*list));
	for (size_t i = 0; i < edits->n_env; i++) {
		size_t at = find_variable(list, n, edits->env[i]);

		list[at] = arena_strdup(arena, edits->env[i]);
		if (!list[at])
			return error_set(err, ERR_EXHAUSTED, "out of memory");
		n += at == n;
	}
	*env = list;
	return 0;
}

/* ---- groups ---- */

static bool has_group(const struct container_user *user, gid_t gid)
{
	for (size_t i = 0; i < user->n_groups; i++) {
		if (user->groups[i] == gid)
			return true;
	}
	return false;
}

int cdi_add_groups(const struct cdi_edits *edits, struct arena *arena, struct container_user *user, struct error *err)
{
	gid_t *groups;

	if (edits->n_gids == 0)
		return 0;
	groups = arena_new_array(arena, gid_t, user->n_groups + edits->n_gids);
	if (!groups)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (user->n_groups > 0)
		memcpy(groups, user->groups, user->n_groups * sizeof(*groups));
	user->groups = groups;
	for (size_t i = 0; i < edits->n_gids; i++) {
		if (!has_group(user, edits->gids[i]))
			user->groups[user->n_groups++] = edits->gids[i];
	}
	return 0;
}

/* ---- mounts ---- */

struct mount_reading {
	struct mount_entry *entry;
	bool is_bind;
	char *rest; /* options of the file system, separated by commas */
};

/* The options of mount(8) that have a meaning for a mount of a container. */
static bool take_option(struct mount_reading *reading, const char *option)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} flags[] = { { "nosuid", MS_NOSUID },          { "nodev", MS_NODEV },           { "noexec", MS_NOEXEC },
		      { "noatime", MS_NOATIME },        { "nodiratime", MS_NODIRATIME }, { "relatime", MS_RELATIME },
		      { "strictatime", MS_STRICTATIME } };
	static const struct {
		const char *name;
		enum propagation propagation;
	} propagations[] = { { "private", PROPAGATION_PRIVATE },         { "rprivate", PROPAGATION_PRIVATE },
			     { "slave", PROPAGATION_HOST_TO_CONTAINER }, { "rslave", PROPAGATION_HOST_TO_CONTAINER },
			     { "shared", PROPAGATION_BIDIRECTIONAL },    { "rshared", PROPAGATION_BIDIRECTIONAL } };
	static const char *const idle[] = { "rw", "suid", "dev", "exec", "defaults", "async" };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!strcmp(option, flags[i].name)) {
			reading->entry->spec.flags |= flags[i].flag;
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(propagations); i++) {
		if (!strcmp(option, propagations[i].name)) {
			reading->entry->volume.propagation = propagations[i].propagation;
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
		if (!strcmp(option, idle[i]))
			return true;
	}
	return false;
}

static int read_option(struct mount_reading *reading, const char *option, struct arena *arena, struct error *err)
{
	if (!strcmp(option, "bind") || !strcmp(option, "rbind"))
		reading->is_bind = true;
	else if (!strcmp(option, "ro"))
		reading->entry->volume.readonly = true;
	else if (!take_option(reading, option))
		reading->rest = reading->rest ? arena_printf(arena, "%s,%s", reading->rest, option) : arena_strdup(arena, option);
	return arena_failed(arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

static int finish_mount(const struct mount_reading *reading, const struct cdi_mount *mount, struct error *err)
{
	struct mount_entry *entry = reading->entry;

	if (reading->is_bind || !*mount->type || !strcmp(mount->type, "bind")) {
		if (reading->rest)
			return error_set(err, ERR_INVALID, "unknown option '%s'", reading->rest);
		entry->spec.kind = MOUNT_BIND;
		entry->is_volume = true;
		entry->volume.host_path = mount->host_path;
		return mount->host_path[0] == '/' ? 0
						  : error_set(err, ERR_INVALID, "hostPath '%s' is not absolute", mount->host_path);
	}
	if (strcmp(mount->type, "tmpfs") != 0)
		return error_set(err, ERR_INVALID, "type '%s' is neither bind nor tmpfs", mount->type);
	entry->spec.kind = MOUNT_TMPFS;
	entry->spec.options = reading->rest;
	entry->spec.flags |= entry->volume.readonly ? MS_RDONLY : 0;
	return 0;
}

/* Without doubled, single-dot and trailing components. */
static int clean_target(const char *path, struct arena *arena, const char **ret_target, struct error *err)
{
	char *text = arena_alloc(arena, strlen(path) + 2), *end = text;

	if (!text)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			return error_set(err, ERR_INVALID, "the path contains '..'");
		if (len > 0 && !(len == 1 && p[0] == '.')) {
			*end++ = '/';
			memcpy(end, p, len);
			end += len;
		}
		p += len + (p[len] == '/');
	}
	if (end == text || !strcmp(text, "/proc"))
		return error_set(err, ERR_INVALID, "cannot be mounted on");
	*ret_target = text;
	return 0;
}

static int convert_mount(const struct cdi_mount *mount, struct arena *arena, struct mount_entry *to, struct error *err)
{
	struct mount_reading reading = { .entry = to };

	*to = (struct mount_entry){ .spec = { .fd = -1 } };
	for (size_t i = 0; mount->options[i]; i++) {
		if (read_option(&reading, mount->options[i], arena, err) < 0)
			return -1;
	}
	if (clean_target(mount->container_path, arena, &to->spec.target, err) < 0)
		return -1;
	return finish_mount(&reading, mount, err);
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && path[len] == '/';
}

/* In the place of a mount on the same target, else in front of the first that lies below it: what has parents stands behind them. */
static void put_mount(struct mount_list *list, const struct mount_entry *entry)
{
	size_t at = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (!strcmp(list->entries[i].spec.target, entry->spec.target)) {
			list->entries[i] = *entry;
			return;
		}
	}
	while (at < list->n && !is_below(list->entries[at].spec.target, entry->spec.target))
		at++;
	memmove(&list->entries[at + 1], &list->entries[at], (list->n - at) * sizeof(*entry));
	list->entries[at] = *entry;
	list->n++;
}

int cdi_add_mounts(const struct cdi_edits *edits, struct arena *arena, struct mount_list *list, struct error *err)
{
	struct mount_entry *entries, entry;

	if (edits->n_mounts == 0)
		return 0;
	entries = arena_new_array(arena, struct mount_entry, list->n + edits->n_mounts);
	if (!entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	memcpy(entries, list->entries, list->n * sizeof(*entries));
	list->entries = entries;
	for (size_t i = 0; i < edits->n_mounts; i++) {
		if (convert_mount(&edits->mounts[i], arena, &entry, err) < 0)
			return error_prefix(err, "CDI mount on %s", edits->mounts[i].container_path);
		put_mount(list, &entry);
	}
	return 0;
}

/* ---- devices ---- */

/* What the Spec does not say stands at the host's node. A complete one needs none there. */
static int fill_node(const struct cdi_node *node, const struct container_user *user, struct stat *ret_st, struct error *err)
{
	bool complete = node->type == 'p' || (node->type && node->major != 0);
	mode_t type = node->type == 'b' ? S_IFBLK : node->type == 'p' ? S_IFIFO : S_IFCHR;
	struct stat st = { .st_mode = 0666 };

	if (lstat(node->host_path, &st) < 0 && !complete)
		return error_sys(err, errno, "look at %s", node->host_path);
	if (!complete && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISFIFO(st.st_mode))
		return error_set(err, ERR_INVALID, "%s is not a device", node->host_path);
	if (!complete && node->type && (st.st_mode & S_IFMT) != type)
		return error_set(err, ERR_INVALID, "%s is not of type %c", node->host_path, node->type);
	*ret_st = (struct stat){
		.st_mode = (complete ? type : st.st_mode & S_IFMT) | (node->has_mode ? node->mode : st.st_mode & 07777),
		.st_rdev = complete ? makedev((unsigned)node->major, (unsigned)node->minor) : st.st_rdev,
		.st_uid = node->has_uid ? node->uid : user->uid,
		.st_gid = node->has_gid ? node->gid : user->gid,
	};
	return 0;
}

int cdi_add_devices(const struct cdi_edits *edits, const struct container_user *user, struct arena *arena, struct device_list *list,
		    struct error *err)
{
	for (size_t i = 0; i < edits->n_nodes; i++) {
		const struct cdi_node *node = &edits->nodes[i];
		struct stat st;

		if (fill_node(node, user, &st, err) < 0 ||
		    device_list_put(list, arena, node->path, &st, S_ISFIFO(st.st_mode) ? "" : node->access, err) < 0)
			return error_prefix(err, "CDI device node %s", node->path);
	}
	return 0;
}
