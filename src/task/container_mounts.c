#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/requested_mounts.h"
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

/* True when the request mounts something on `target`, or on /dev or /sys when the target lies there: who brings all of it brings that,
 * too. */
static bool is_replaced(const struct mount_list *requested, const char *target)
{
	for (size_t i = 0; i < requested->n; i++) {
		const char *other = requested->entries[i].spec.target;

		if (!strcmp(other, target) || ((!strcmp(other, "/dev") || !strcmp(other, "/sys")) && path_is_below(target, other)))
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
		size_t deep = depth(&entry), at = i;

		for (; at > 0 && depth(&list->entries[at - 1]) > deep; at--)
			list->entries[at] = list->entries[at - 1];
		list->entries[at] = entry;
	}
}

static void append(struct mount_list *list, const struct mount_list *more)
{
	memcpy(list->entries + list->n, more->entries, more->n * sizeof(*more->entries));
	list->n += more->n;
}

/* The pod's files are sorted in with the request's mounts: a volume on /etc does not hide /etc/resolv.conf (as in containerd). */
int container_mounts(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		     struct mount_list *ret_list, struct error *err)
{
	struct mount_list requested = { 0 }, files = { 0 };

	if (requested_mounts(sandbox, config, arena, &requested, err) < 0)
		return -1;
	files.entries = arena_new_array(arena, struct mount_entry, ARRAY_SIZE(pod_files) + requested.n);
	ret_list->n = 0;
	ret_list->entries = arena_new_array(arena, struct mount_entry, ARRAY_SIZE(standard) + ARRAY_SIZE(pod_files) + requested.n);
	if (!ret_list->entries || !files.entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	add_standard(config, &requested, ret_list);
	if (add_pod_files(sandbox, config, &requested, arena, &files, err) < 0)
		return -1;
	append(&files, &requested);
	sort(&files);
	append(ret_list, &files);
	return 0;
}
