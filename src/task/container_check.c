#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/sandbox_spec.h"
#include "task/user_ns.h"

static int check_command(const Cri__ContainerConfig *config, const struct image *image, struct arena *scratch, struct error *err)
{
	char **list;

	if (container_argv(config, &image->config, scratch, &list, err) < 0)
		return -1;
	if (container_cwd(config, &image->config)[0] != '/')
		return error_set(err, ERR_INVALID, "config.working_dir: '%s' is not absolute",
				 container_cwd(config, &image->config));
	return container_env(config, &image->config, "", "/", scratch, &list, err);
}

static int check_pid_mode(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct error *err)
{
	Cri__NamespaceMode mode = container_pid_mode(config, sandbox->config);
	const Cri__LinuxContainerSecurityContext *context = config->linux ? config->linux->security_context : NULL;
	const char *target = context && context->namespace_options ? context->namespace_options->target_id : "";
	const struct container *other;

	if (mode == CRI__NAMESPACE_MODE__POD && sandbox_pid_mode(sandbox->config) != CRI__NAMESPACE_MODE__POD)
		return error_set(err, ERR_INVALID,
				 "namespace_options.pid: POD, but the sandbox was made without a PID namespace to share");
	if (mode != CRI__NAMESPACE_MODE__TARGET)
		return 0;
	other = container_find(sandbox->node, target);
	if (!other || other->sandbox != sandbox)
		return error_set(err, ERR_INVALID, "namespace_options.target_id: no container '%s' in this sandbox", target);
	if (other->state != CONTAINER_STATE_RUNNING)
		return error_set(err, ERR_STATE, "namespace_options.target_id: container %s does not run", other->id);
	return 0;
}

static int check_user(const Cri__ContainerConfig *config, struct error *err)
{
	const Cri__LinuxContainerSecurityContext *context = config->linux ? config->linux->security_context : NULL;

	if (!context)
		return 0;
	if (context->run_as_group && !context->run_as_user && !*context->run_as_username)
		return error_set(err, ERR_INVALID, "security_context.run_as_group: without run_as_user or run_as_username");
	if (context->supplemental_groups_policy > CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict)
		return error_set(err, ERR_INVALID, "security_context.supplemental_groups_policy: unknown value %d",
				 (int)context->supplemental_groups_policy);
	return 0;
}

/* The CRI has it that a container repeats its pod's: one that forgets it might not know that its users are others. */
static int check_user_ns(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct error *err)
{
	const Cri__NamespaceOption *options = container_security(config)->namespace_options;

	if (user_ns_equal(options ? options->userns_options : NULL, sandbox_user_options(sandbox->config)))
		return 0;
	return error_set(err, ERR_INVALID, "namespace_options.userns_options: not that of the sandbox, with the same mappings");
}

static int check_security(const Cri__ContainerConfig *config, struct error *err)
{
	const struct container_user nobody = { 0 };
	struct seccomp_choice seccomp;
	struct identity identity;

	if (container_identity(config, &nobody, &identity, err) < 0 || seccomp_choose(config, "builtin", &seccomp, err) < 0)
		return -1;
	return 0;
}

static int check_devices(const Cri__ContainerConfig *config, struct error *err)
{
	for (size_t i = 0; i < config->n_devices; i++) {
		const Cri__Device *device = config->devices[i];

		if (device->host_path[0] != '/')
			return error_set(err, ERR_INVALID, "config.devices[%zu].host_path: '%s' is not absolute", i,
					 device->host_path);
		if (strlen(device->permissions) > 3 || device->permissions[strspn(device->permissions, "rwm")])
			return error_set(err, ERR_INVALID, "config.devices[%zu].permissions: '%s' is not made of r, w, m", i,
					 device->permissions);
	}
	return 0;
}

/* The log may not lead out of the pod's directory (CVE-2025-0750 is of this kind). */
static int check_log_path(const Cri__ContainerConfig *config, struct error *err)
{
	const char *path = config->log_path;

	if (path[0] == '/')
		return error_set(err, ERR_INVALID, "config.log_path: '%s' is not relative to the sandbox's log_directory", path);
	for (const char *part = path; *part;) {
		size_t len = strcspn(part, "/");

		if (len == 2 && part[0] == '.' && part[1] == '.')
			return error_set(err, ERR_INVALID, "config.log_path: '%s' contains '..'", path);
		part += len + (part[len] == '/');
	}
	return strlen(path) < PATH_MAX ? 0 : error_set(err, ERR_INVALID, "config.log_path: too long");
}

int container_check(const struct sandbox *sandbox, const Cri__ContainerConfig *config, const struct image *image, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	struct mount_list mounts;
	struct resources resources;

	if (check_command(config, image, &scratch, err) < 0 || check_pid_mode(sandbox, config, err) < 0 ||
	    check_user(config, err) < 0 || check_user_ns(sandbox, config, err) < 0 || check_security(config, err) < 0 ||
	    check_devices(config, err) < 0 || check_log_path(config, err) < 0)
		return -1;
	if (container_mounts(sandbox, config, &scratch, &mounts, err) < 0 ||
	    container_check_paths(config, &mounts, &scratch, err) < 0)
		return -1;
	return container_resources(config->linux ? config->linux->resources : NULL, 0, &scratch, &resources, err);
}
