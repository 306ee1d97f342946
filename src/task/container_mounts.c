#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/sandbox_spec.h"

#define NO_FLAGS (MS_NOSUID | MS_NOEXEC | MS_NODEV)

/* What every container has (OCI runtime-spec, "Default Filesystems"), parents first. A mount of the request on the same place takes
 * its place; one on /dev also that of everything below. */
static const struct {
	const char *target;
	enum mount_kind kind;
	unsigned long flags;
	const char *options;
} standard[] = {
	{ "/proc", MOUNT_PROC, NO_FLAGS, NULL },
	{ "/dev", MOUNT_TMPFS, MS_NOSUID | MS_STRICTATIME, "size=65536k,mode=755" },
	{ "/dev/pts", MOUNT_DEVPTS, MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "/dev/mqueue", MOUNT_MQUEUE, NO_FLAGS, NULL },
	{ "/sys", MOUNT_SYSFS, NO_FLAGS, NULL },
	{ "/sys/fs/cgroup", MOUNT_CGROUP, NO_FLAGS | MS_RELATIME, NULL },
};

/* The pod's files, as they lie in its directory. */
static const struct {
	const char *target, *file;
} pod_files[] = {
	{ "/dev/shm", "shm" },
	{ "/etc/hosts", "hosts" },
	{ "/etc/hostname", "hostname" },
	{ "/etc/resolv.conf", "resolv.conf" },
};

/* The path without doubled, single-dot and trailing components; ".." is refused elsewhere. */
static char *clean(const char *path, struct arena *arena)
{
	char *text = arena_alloc(arena, strlen(path) + 2), *end = text;

	if (!text)
		return NULL;
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len > 0 && !(len == 1 && path[0] == '.')) {
			*end++ = '/';
			memcpy(end, path, len);
			end += len;
		}
		path += len + (path[len] == '/');
	}
	if (end == text)
		*end++ = '/';
	*end = '\0';
	return text;
}

/* True when the request mounts something on `target`, or on /dev when the target lies there. */
static bool is_replaced(const struct mount_list *requested, const char *target)
{
	bool in_dev = !strncmp(target, "/dev/", 5);

	for (size_t i = 0; i < requested->n; i++) {
		const char *other = requested->entries[i].spec.target;

		if (!strcmp(other, target) || (in_dev && !strcmp(other, "/dev")))
			return true;
	}
	return false;
}

static unsigned long flags_of(const Cri__ContainerConfig *config, size_t which)
{
	bool readonly = !strncmp(standard[which].target, "/sys", 4) && !container_is_privileged(config);

	return standard[which].flags | (readonly ? MS_RDONLY : 0);
}

static void add_standard(const Cri__ContainerConfig *config, const struct mount_list *requested, struct mount_list *list)
{
	for (size_t i = 0; i < ARRAY_SIZE(standard); i++) {
		if (is_replaced(requested, standard[i].target))
			continue;
		list->entries[list->n++] = (struct mount_entry){
			.spec = {
				.kind = standard[i].kind,
				.target = standard[i].target,
				.fd = -1,
				.flags = flags_of(config, i),
				.options = standard[i].options,
			},
		};
	}
}

static int add_pod_files(const struct sandbox *sandbox, const Cri__ContainerConfig *config, const struct mount_list *requested,
			 struct arena *arena, struct mount_list *list, struct error *err)
{
	bool readonly = container_security(config)->readonly_rootfs;

	for (size_t i = 0; i < ARRAY_SIZE(pod_files); i++) {
		bool is_shm = i == 0;
		bool of_host = is_shm && sandbox_host_ipc(sandbox->config);
		const char *path = of_host ? "/dev/shm" : arena_printf(arena, "%s/fs/%s", sandbox->dir, pod_files[i].file);

		if (is_replaced(requested, pod_files[i].target))
			continue;
		if (!path)
			return error_set(err, ERR_EXHAUSTED, "out of memory");
		list->entries[list->n++] = (struct mount_entry){
			.spec = { .kind = MOUNT_BIND, .target = pod_files[i].target, .fd = -1 },
			.is_volume = true,
			.volume = { .host_path = path, .readonly = readonly && !is_shm },
		};
	}
	return 0;
}

/* mount_options of newer clients; ro and rw have fields of their own. */
static int convert_options(const Cri__Mount *from, unsigned long *flags, struct error *err)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = { { "noexec", MS_NOEXEC }, { "nodev", MS_NODEV }, { "nosuid", MS_NOSUID } };

	for (size_t i = 0; i < from->n_mount_options; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(known) && strcmp(known[k].name, from->mount_options[i]) != 0)
			k++;
		if (k == ARRAY_SIZE(known))
			return error_set(err, ERR_INVALID, "mount_options: '%s' is none of noexec, nodev, nosuid",
					 from->mount_options[i]);
		*flags |= known[k].flag;
	}
	return 0;
}

static int convert_propagation(const Cri__Mount *from, enum propagation *to, struct error *err)
{
	static const enum propagation kinds[] = {
		[CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE] = PROPAGATION_PRIVATE,
		[CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER] = PROPAGATION_HOST_TO_CONTAINER,
		[CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL] = PROPAGATION_BIDIRECTIONAL,
	};

	if (from->propagation > CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL)
		return error_set(err, ERR_INVALID, "propagation: unknown value %d", (int)from->propagation);
	*to = kinds[from->propagation];
	return 0;
}

static int check_supported(const Cri__Mount *mount, struct error *err)
{
	if ((mount->image && *mount->image->image) || *mount->image_sub_path)
		return error_set(err, ERR_UNIMPLEMENTED, "ImageVolumeMountFailed: images as volumes are not supported");
	if (mount->n_uidmappings > 0 || mount->n_gidmappings > 0)
		return error_set(err, ERR_UNIMPLEMENTED, "uidMappings: id-mapped mounts are not supported");
	if (mount->recursive_read_only && (!mount->readonly || mount->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE))
		return error_set(err, ERR_INVALID, "recursive_read_only needs readonly and private propagation");
	if (mount->host_path[0] != '/')
		return error_set(err, ERR_INVALID, "host_path '%s' is not absolute", mount->host_path);
	return 0;
}

static int check_target(const char *target, struct error *err)
{
	if (target[0] != '/')
		return error_set(err, ERR_INVALID, "container_path '%s' is not absolute", target);
	for (const char *p = strstr(target, ".."); p; p = strstr(p + 1, ".."))
		if (p[-1] == '/' && (p[2] == '/' || p[2] == '\0'))
			return error_set(err, ERR_INVALID, "container_path '%s' contains '..'", target);
	return 0;
}

static int convert(const Cri__Mount *from, struct arena *arena, struct mount_entry *to, struct error *err)
{
	if (check_target(from->container_path, err) < 0 || check_supported(from, err) < 0 ||
	    convert_options(from, &to->spec.flags, err) < 0 || convert_propagation(from, &to->volume.propagation, err) < 0)
		return -1;
	to->spec.kind = MOUNT_BIND;
	to->spec.target = clean(from->container_path, arena);
	to->spec.fd = -1;
	to->is_volume = true;
	to->volume.host_path = from->host_path;
	to->volume.readonly = from->readonly;
	to->volume.recursive_readonly = from->recursive_read_only;
	to->volume.create_missing_dir = true;
	if (!to->spec.target)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (!strcmp(to->spec.target, "/") || !strcmp(to->spec.target, "/proc"))
		return error_set(err, ERR_INVALID, "container_path '%s' cannot be mounted on", to->spec.target);
	return 0;
}

static size_t depth(const struct mount_entry *entry)
{
	size_t n = 0;

	for (const char *p = entry->spec.target; *p; p++)
		n += *p == '/';
	return n;
}

/* Parents before what lies below them, else in the order of the request: a stable sort. Mounts are few and mostly in order. */
static void sort(struct mount_list *list)
{
	for (size_t i = 1; i < list->n; i++) {
		struct mount_entry entry = list->entries[i];
		size_t at = i;

		for (; at > 0 && depth(&list->entries[at - 1]) > depth(&entry); at--)
			list->entries[at] = list->entries[at - 1];
		list->entries[at] = entry;
	}
}

/* More than a pod's volumes and files; the plan has a limit of its own. */
#define MAX_MOUNTS 2048

static int convert_all(const Cri__ContainerConfig *config, struct arena *arena, struct mount_list *ret_list, struct error *err)
{
	if (config->n_mounts > MAX_MOUNTS)
		return error_set(err, ERR_INVALID, "config.mounts: more than %d", MAX_MOUNTS);
	ret_list->entries = arena_new_array(arena, struct mount_entry, config->n_mounts + 1);
	ret_list->n = config->n_mounts;
	if (!ret_list->entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < config->n_mounts; i++)
		if (convert(config->mounts[i], arena, &ret_list->entries[i], err) < 0)
			return error_prefix(err, "config.mounts[%zu]", i);
	sort(ret_list);
	return 0;
}

int container_mounts(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		     struct mount_list *ret_list, struct error *err)
{
	struct mount_list requested = { 0 };

	if (convert_all(config, arena, &requested, err) < 0)
		return -1;
	ret_list->n = 0;
	ret_list->entries = arena_new_array(arena, struct mount_entry, ARRAY_SIZE(standard) + ARRAY_SIZE(pod_files) + requested.n);
	if (!ret_list->entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	add_standard(config, &requested, ret_list);
	if (add_pod_files(sandbox, config, &requested, arena, ret_list, err) < 0)
		return -1;
	memcpy(ret_list->entries + ret_list->n, requested.entries, requested.n * sizeof(*requested.entries));
	ret_list->n += requested.n;
	return 0;
}
