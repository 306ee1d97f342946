/*
 * Masked and read-only paths of a request.
 *
 * proto3 cannot tell an empty list from none. Kubelets since 1.12 fill both lists for procMount Default and leave them empty for
 * Unmasked, always with a security context; who sends no security context at all has not thought about it and gets the default.
 */
#include <string.h>

#include "runtime/masks.h"
#include "task/container_spec.h"

static const char *const nothing[] = { NULL };

static bool is_in(char *const *list, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], path))
			return true;
	return false;
}

static bool has_context(const Cri__ContainerConfig *config)
{
	return config->linux && config->linux->security_context;
}

/* The list and, when `extra` is not in it, that one. NULL when memory is out. */
static const char *const *copy(char *const *list, size_t n, const char *extra, struct arena *arena)
{
	const char **paths = arena_new_array(arena, const char *, n + 2);

	if (!paths)
		return NULL;
	for (size_t i = 0; i < n; i++)
		paths[i] = list[i];
	if (extra && !is_in(list, n, extra))
		paths[n] = extra;
	return paths;
}

const char *const *container_masked_paths(const Cri__ContainerConfig *config, struct arena *arena)
{
	const Cri__LinuxContainerSecurityContext *context = container_security(config);

	if (context->privileged)
		return nothing;
	if (!has_context(config))
		return masks_default();
	return copy(context->masked_paths, context->n_masked_paths, MASK_POWERCAP, arena);
}

const char *const *container_readonly_paths(const Cri__ContainerConfig *config, struct arena *arena)
{
	const Cri__LinuxContainerSecurityContext *context = container_security(config);

	if (context->privileged)
		return nothing;
	return has_context(config) ? copy(context->readonly_paths, context->n_readonly_paths, NULL, arena) : readonly_default();
}
