/* The mounts of a request: from the CRI's words to those of src/runtime. */
#include "task/requested_mounts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "runtime/plan.h"
#include "task/sandbox.h"
#include "task/sandbox_spec.h"
#include "task/user_ns.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000 /* Linux 5.14 */
#endif

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

bool path_is_below(const char *path, const char *top)
{
	size_t length = strlen(top);

	if (!strcmp(top, "/"))
		return true;
	return !strncmp(path, top, length) && (path[length] == '/' || path[length] == '\0');
}

/*
 * CRI Mount.mount_options: "passed as OCI mount options". Those that are attributes of a bind mount (OCI runtime-spec, "Linux mount
 * options"); with an "r" in front for the mounts below it, too. What else there is has a field of its own or is for file systems.
 */
static const struct {
	const char *name;
	uint64_t attribute;
} attributes[] = {
	{ "noexec", MOUNT_ATTR_NOEXEC },           { "nodev", MOUNT_ATTR_NODEV },
	{ "nosuid", MOUNT_ATTR_NOSUID },           { "noatime", MOUNT_ATTR_NOATIME },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME },   { "strictatime", MOUNT_ATTR_STRICTATIME },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW },
};

static uint64_t find_attribute(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		if (!strcmp(attributes[i].name, name))
			return attributes[i].attribute;
	}
	return 0;
}

static int convert_option(const char *option, struct volume_spec *volume, struct error *err)
{
	uint64_t top = find_attribute(option), tree = option[0] == 'r' ? find_attribute(option + 1) : 0;

	if (!top && !tree)
		return error_set(
			err, ERR_INVALID,
			"mount_options: '%.64s' is none of noexec, nodev, nosuid, noatime, nodiratime, strictatime, nosymfollow, "
			"nor one of these after an 'r'",
			option);
	volume->attributes |= top;
	volume->tree_attributes |= tree;
	return 0;
}

/* Both would be set in one field of the mount. */
static int check_times(const struct volume_spec *volume, struct error *err)
{
	uint64_t both = MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME;

	if ((volume->attributes & both) == both || (volume->tree_attributes & both) == both)
		return error_set(err, ERR_INVALID, "mount_options: noatime contradicts strictatime");
	return 0;
}

static int convert_options(const Cri__Mount *from, struct volume_spec *volume, struct error *err)
{
	for (size_t i = 0; i < from->n_mount_options; i++) {
		if (convert_option(from->mount_options[i], volume, err) < 0)
			return -1;
	}
	return check_times(volume, err);
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

static int check_target(const char *target, struct error *err)
{
	if (target[0] != '/')
		return error_set(err, ERR_INVALID, "container_path '%s' is not absolute", target);
	for (const char *p = strstr(target, ".."); p; p = strstr(p + 1, ".."))
		if (p[-1] == '/' && (p[2] == '/' || p[2] == '\0'))
			return error_set(err, ERR_INVALID, "container_path '%s' contains '..'", target);
	return 0;
}

static int convert_target(const Cri__Mount *from, struct arena *arena, struct mount_entry *to, struct error *err)
{
	if (check_target(from->container_path, err) < 0)
		return -1;
	to->spec.target = clean(from->container_path, arena);
	if (!to->spec.target)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (!strcmp(to->spec.target, "/"))
		return error_set(err, ERR_INVALID, "container_path '/' is the container's root, which has its own source");
	if (!plan_may_mount_on(to->spec.target))
		return error_set(err, ERR_INVALID, "container_path '%s': nothing may be mounted inside /proc", to->spec.target);
	return 0;
}

/* What a container that mounts the whole host keeps of the pods that are gone by then: their file systems and network namespaces, which
 * stay mounted in its copy. So that copy follows the host's unmounts (CRI-O does so for its storage). */
static bool holds_pods(const struct sandbox *sandbox, const char *host_path)
{
	return path_is_below(sandbox->dir, host_path);
}

static int convert_host_path(const struct sandbox *sandbox, const Cri__Mount *from, struct arena *arena, struct mount_entry *to,
			     struct error *err)
{
	const char *cleaned = clean(from->host_path, arena);

	if (!cleaned)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (from->host_path[0] != '/')
		return error_set(err, ERR_INVALID, "host_path '%s' is not absolute", from->host_path);
	/* the mounts of a pod with users of its own follow the host's and are never followed: mount_namespaces(7), Restrictions */
	if (from->propagation == CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL &&
	    user_ns_wanted(sandbox_user_options(sandbox->config)))
		return error_set(err, ERR_INVALID, "propagation: BIDIRECTIONAL does not leave the pod's user namespace");
	if (from->recursive_read_only && (!from->readonly || from->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE))
		return error_set(err, ERR_INVALID, "recursive_read_only needs readonly and private propagation");
	to->is_volume = true;
	to->relabels = from->selinux_relabel;
	to->volume.host_path = from->host_path;
	to->volume.readonly = from->readonly;
	to->volume.recursive_readonly = from->recursive_read_only;
	to->volume.create_missing_dir = true;
	to->volume.must_be_procfs = !strcmp(to->spec.target, "/proc");
	to->volume.lets_go = holds_pods(sandbox, cleaned);
	return convert_propagation(from, &to->volume.propagation, err);
}

static void convert_image(const Cri__Mount *from, size_t number, struct mount_entry *to)
{
	to->is_image = true;
	to->image_number = number;
	to->sub_path = from->image_sub_path;
}

/* On the volume the ids are container_id, in the pod they become host_id: so the container's root finds its own files. */
static int convert_id_maps(const Cri__Mount *from, struct arena *arena, struct id_maps *to, struct error *err)
{
	if (from->n_uidmappings == 0 && from->n_gidmappings == 0)
		return 0;
	if (id_maps_convert(from->uidmappings, from->n_uidmappings, from->gidmappings, from->n_gidmappings, arena, to, err) < 0)
		return error_prefix(err, "uidMappings, gidMappings");
	return 0;
}

static int convert(const struct sandbox *sandbox, const Cri__Mount *from, size_t *n_images, struct arena *arena,
		   struct mount_entry *to, struct error *err)
{
	to->spec.kind = MOUNT_BIND;
	to->spec.fd = -1;
	if (convert_target(from, arena, to, err) < 0 || convert_options(from, &to->volume, err) < 0)
		return -1;
	if (convert_id_maps(from, arena, &to->id_maps, err) < 0)
		return -1;
	if (!mount_is_image(from))
		return convert_host_path(sandbox, from, arena, to, err);
	if (!strcmp(to->spec.target, "/proc"))
		return error_set(err, ERR_INVALID, "container_path '/proc': an image is no procfs");
	convert_image(from, (*n_images)++, to);
	return 0;
}

bool mount_is_image(const Cri__Mount *mount)
{
	return mount->image && *mount->image->image;
}

int requested_mounts(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		     struct mount_list *ret_list, struct error *err)
{
	size_t n_images = 0;

	ret_list->entries = arena_new_array(arena, struct mount_entry, config->n_mounts + 1);
	ret_list->n = config->n_mounts;
	if (!ret_list->entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < config->n_mounts; i++)
		if (convert(sandbox, config->mounts[i], &n_images, arena, &ret_list->entries[i], err) < 0)
			return error_prefix(err, "config.mounts[%zu]", i);
	return 0;
}
