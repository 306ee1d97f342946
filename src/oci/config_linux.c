/* "linux" of config.json, but for the resources. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "oci/config.h"
#include "runtime/userns.h"

/* Arbitrary; a privileged container of a big machine has some hundreds. */
#define DEVICES_MAX 4096

static const char *const namespace_names[OCI_NS_KINDS] = { "pid", "network", "mount", "ipc", "uts", "cgroup", "user", "time" };

static int on_namespace(const struct place *place, size_t index, void *data, struct error *err)
{
	struct config *config = data;
	const char *type = "", *path = NULL;

	(void)index;
	if (member_text(place, "type", &type, err) < 0 || member_text(place, "path", &path, err) < 0)
		return -1;
	for (size_t i = 0; i < OCI_NS_KINDS; i++) {
		if (strcmp(type, namespace_names[i]) != 0)
			continue;
		if (config->namespaces[i].wanted)
			return error_set(err, ERR_INVALID, "%s: there is a %s namespace already", place->name, type);
		if (path && *path && *path != '/')
			return error_set(err, ERR_INVALID, "%s.path is not an absolute path", place->name);
		config->namespaces[i] = (struct namespace_config){ true, path && *path ? path : NULL };
		return 0;
	}
	return error_set(err, ERR_INVALID, "%s.type: unknown namespace '%.64s'", place->name, type);
}

static int parse_namespaces(const struct place *linux_place, struct config *config, struct error *err)
{
	if (member_objects(linux_place, "namespaces", on_namespace, config, err) < 0)
		return -1;
	if (!config->namespaces[OCI_NS_MOUNT].wanted || config->namespaces[OCI_NS_MOUNT].path)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "%s.namespaces: a container without a new mount namespace is not supported", linux_place->name);
	return 0;
}

/* One line of /proc/PID/timens_offsets; the kernel knows the clocks by number. */
static int parse_offset(const struct place *offsets, const char *key, int clock, char line[64], struct error *err)
{
	int64_t seconds = 0, nanoseconds = 0;
	struct place place;

	line[0] = '\0';
	if (member_object(offsets, key, &place, err) < 0 ||
	    member_number(&place, "secs", INT64_MIN, INT64_MAX, &seconds, err) < 0 ||
	    member_number(&place, "nanosecs", 0, 999999999, &nanoseconds, err) < 0)
		return -1;
	if (place.object)
		(void)snprintf(line, 64, "%d %" PRId64 " %" PRId64 "\n", clock, seconds, nanoseconds);
	return 0;
}

static int parse_time_offsets(const struct place *linux_place, struct config *config, struct error *err)
{
	const struct namespace_config *ns = &config->namespaces[OCI_NS_TIME];
	char monotonic[64], boottime[64];
	struct place offsets;
	const cJSON *item;

	if (member_object(linux_place, "timeOffsets", &offsets, err) < 0)
		return -1;
	cJSON_ArrayForEach(item, offsets.object)
	{
		if (strcmp(item->string, "monotonic") != 0 && strcmp(item->string, "boottime") != 0)
			return error_set(err, ERR_INVALID, "%s: the clock '%.64s' has no offset", offsets.name, item->string);
	}
	if (parse_offset(&offsets, "monotonic", CLOCK_MONOTONIC, monotonic, err) < 0 ||
	    parse_offset(&offsets, "boottime", CLOCK_BOOTTIME, boottime, err) < 0)
		return -1;
	if (!monotonic[0] && !boottime[0])
		return 0;
	if (!ns->wanted || ns->path)
		return error_set(err, ERR_INVALID, "%s needs a new time namespace", offsets.name);
	config->time_offsets = arena_printf(linux_place->arena, "%s%s", monotonic, boottime);
	return config->time_offsets ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int parse_mappings(const struct place *linux_place, struct config *config, struct error *err)
{
	struct id_maps *maps = &config->id_maps;

	if (id_maps_parse(linux_place, maps, err) < 0)
		return -1;
	/* those of a namespace that exists need not be said */
	if (config->namespaces[OCI_NS_USER].path && maps->n_uids + maps->n_gids == 0)
		return 0;
	if (config->namespaces[OCI_NS_USER].wanted)
		return id_maps_check(maps, err) < 0 ? error_prefix(err, "%s mappings", linux_place->name) : 0;
	if (maps->n_uids + maps->n_gids > 0)
		return error_set(err, ERR_INVALID, "%s.uidMappings and gidMappings need a new user namespace", linux_place->name);
	return 0;
}

static int device_type(const char *type, mode_t *ret_type)
{
	if (!strcmp(type, "c") || !strcmp(type, "u"))
		*ret_type = S_IFCHR;
	else if (!strcmp(type, "b"))
		*ret_type = S_IFBLK;
	else if (!strcmp(type, "p"))
		*ret_type = S_IFIFO;
	else
		return -1;
	return 0;
}

static int on_device(const struct place *place, size_t index, void *data, struct error *err)
{
	struct config *config = data;
	struct device_spec *device = &config->devices[index];
	int64_t major = 0, minor = 0, mode = 0666, uid = 0, gid = 0;
	const char *type = "";

	if (member_text(place, "path", &device->path, err) < 0 || member_text(place, "type", &type, err) < 0 ||
	    member_number(place, "major", 0, 0xfff, &major, err) < 0 ||
	    member_number(place, "minor", 0, 0xfffff, &minor, err) < 0 ||
	    member_number(place, "fileMode", 0, UINT32_MAX, &mode, err) < 0 ||
	    member_number(place, "uid", 0, UINT32_MAX - 1, &uid, err) < 0 ||
	    member_number(place, "gid", 0, UINT32_MAX - 1, &gid, err) < 0)
		return -1;
	if (device_type(type, &device->type) < 0)
		return error_set(err, ERR_INVALID, "%s.type: unknown device type '%.16s'", place->name, type);
	if (!device->path || strncmp(device->path, "/dev/", 5) != 0)
		return error_set(err, ERR_INVALID, "%s.path '%.200s' is not below /dev", place->name,
				 device->path ? device->path : "");
	device->major = (unsigned)major;
	device->minor = (unsigned)minor;
	device->mode = (mode_t)mode & 07777;
	device->uid = (uid_t)uid;
	device->gid = (gid_t)gid;
	config->n_devices++;
	return 0;
}

/* config-linux.md, "Default Devices"; the links and the terminal come with /dev. */
static const struct device_spec default_devices[] = {
	{ .path = "/dev/null", .type = S_IFCHR, .mode = 0666, .major = 1, .minor = 3 },
	{ .path = "/dev/zero", .type = S_IFCHR, .mode = 0666, .major = 1, .minor = 5 },
	{ .path = "/dev/full", .type = S_IFCHR, .mode = 0666, .major = 1, .minor = 7 },
	{ .path = "/dev/random", .type = S_IFCHR, .mode = 0666, .major = 1, .minor = 8 },
	{ .path = "/dev/urandom", .type = S_IFCHR, .mode = 0666, .major = 1, .minor = 9 },
	{ .path = "/dev/tty", .type = S_IFCHR, .mode = 0666, .major = 5, .minor = 0 },
};

static bool has_device(const struct config *config, const char *path)
{
	for (size_t i = 0; i < config->n_devices; i++) {
		if (!strcmp(config->devices[i].path, path))
			return true;
	}
	return false;
}

static int parse_devices(const struct place *linux_place, struct config *config, struct error *err)
{
	size_t n = member_count(linux_place, "devices");

	if (n > DEVICES_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s.devices has %zu entries, limit %d", linux_place->name, n, DEVICES_MAX);
	config->devices = arena_new_array(&config->arena, struct device_spec, n + ARRAY_SIZE(default_devices));
	if (!config->devices)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (member_objects(linux_place, "devices", on_device, config, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++) {
		if (!has_device(config, default_devices[i].path))
			config->devices[config->n_devices++] = default_devices[i];
	}
	return 0;
}

static int parse_sysctls(const struct place *linux_place, struct config *config, struct error *err)
{
	struct place place;
	const cJSON *item;

	if (member_object(linux_place, "sysctl", &place, err) < 0)
		return -1;
	config->sysctls = arena_new_array(&config->arena, struct sysctl_spec, member_count(linux_place, "sysctl") + 1);
	if (!config->sysctls)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	cJSON_ArrayForEach(item, place.object)
	{
		if (!cJSON_IsString(item))
			return error_set(err, ERR_INVALID, "%s.%.64s is not a string", place.name, item->string);
		config->sysctls[config->n_sysctls++] = (struct sysctl_spec){ item->string, item->valuestring };
	}
	return 0;
}

static int parse_propagation(const struct place *linux_place, struct config *config, struct error *err)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = { { "private", 0 }, { "shared", MS_SHARED }, { "slave", MS_SLAVE }, { "unbindable", MS_UNBINDABLE } };
	const char *name = NULL;

	if (member_text(linux_place, "rootfsPropagation", &name, err) < 0)
		return -1;
	if (!name || !*name)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		bool recursive = name[0] == 'r' && !strcmp(name + 1, known[i].name);

		if (!recursive && strcmp(name, known[i].name) != 0)
			continue;
		config->root_propagation = known[i].flag;
		config->root_propagation_recursive = recursive;
		return 0;
	}
	return error_set(err, ERR_INVALID, "%s.rootfsPropagation: unknown value '%.64s'", linux_place->name, name);
}

static int parse_personality(const struct place *linux_place, struct config *config, struct error *err)
{
	const char *domain = "";
	struct place place;

	if (member_object(linux_place, "personality", &place, err) < 0)
		return -1;
	if (!place.object)
		return 0;
	if (member_text(&place, "domain", &domain, err) < 0)
		return -1;
	if (member_count(&place, "flags") > 0)
		return error_set(err, ERR_UNIMPLEMENTED, "%s.flags: there are none that we know", place.name);
	if (strcmp(domain, "LINUX") != 0 && strcmp(domain, "LINUX32") != 0)
		return error_set(err, ERR_INVALID, "%s.domain: unknown domain '%.64s'", place.name, domain);
	config->process.extras.set_personality = true;
	config->process.extras.personality = strcmp(domain, "LINUX") ? PER_LINUX32 : PER_LINUX;
	return 0;
}

static const struct refused_member refused[] = {
	{ "intelRdt", "not supported" },
	{ "memoryPolicy", "not supported" },
	{ "netDevices", "not supported" },
	{ NULL, NULL },
};

static int parse_paths(const struct place *place, struct config *config, struct error *err)
{
	if (member_texts(place, "maskedPaths", &config->masked_paths, err) < 0 ||
	    member_texts(place, "readonlyPaths", &config->readonly_paths, err) < 0 ||
	    member_text(place, "cgroupsPath", &config->cgroups_path, err) < 0 ||
	    member_text(place, "mountLabel", &config->mount_label, err) < 0)
		return -1;
	if (config->cgroups_path && !*config->cgroups_path)
		config->cgroups_path = NULL;
	return 0;
}

int linux_parse(const struct place *place, struct config *config, struct error *err)
{
	struct place resources, seccomp;

	if (member_refuse(place, refused, err) < 0 || parse_namespaces(place, config, err) < 0 ||
	    parse_time_offsets(place, config, err) < 0 || parse_mappings(place, config, err) < 0 ||
	    parse_devices(place, config, err) < 0 || parse_sysctls(place, config, err) < 0 ||
	    parse_propagation(place, config, err) < 0 || parse_paths(place, config, err) < 0 ||
	    parse_personality(place, config, err) < 0)
		return -1;
	if (member_object(place, "resources", &resources, err) < 0 || member_object(place, "seccomp", &seccomp, err) < 0)
		return -1;
	config->seccomp = seccomp.object;
	return resources_parse(&resources, &config->resources, err);
}
