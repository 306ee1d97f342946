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

static const struct mount_entry *bidirectional_above(const struct mount_list *mounts, const char *path)
{
	for (size_t i = 0; i < mounts->n; i++) {
		const struct mount_entry *entry = &mounts->entries[i];

		if (entry->is_volume && entry->volume.propagation == PROPAGATION_BIDIRECTIONAL &&
		    path_is_below(path, entry->spec.target))
			return entry;
	}
	return NULL;
}

static int check_list(const char *const *paths, const char *field, const struct mount_list *mounts, struct error *err)
{
	for (; paths && *paths; paths++) {
		const struct mount_entry *entry = bidirectional_above(mounts, *paths);

		if (entry)
			return error_set(err, ERR_INVALID,
					 "%s: '%s' lies in the bidirectional mount on %s: the host and every other container would "
					 "see it so",
					 field, *paths, entry->spec.target);
	}
	return 0;
}

int container_check_paths(const Cri__ContainerConfig *config, const struct mount_list *mounts, struct arena *arena,
			  struct error *err)
{
	const char *const *hidden = container_masked_paths(config, arena);
	const char *const *unchanged = container_readonly_paths(config, arena);

	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (check_list(hidden, "security_context.masked_paths", mounts, err) < 0)
		return -1;
	return check_list(unchanged, "security_context.readonly_paths", mounts, err);
}
