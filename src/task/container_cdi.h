/* What a container's CDI devices (ContainerConfig.CDI_devices) ask for, made part of what its start gathers. */
#ifndef MONOPOD_TASK_CONTAINER_CDI_H
#define MONOPOD_TASK_CONTAINER_CDI_H

#include "runtime/cdi.h"
#include "task/container.h"
#include "task/container_spec.h"

/* The edits of all its devices, in the arena. Reads files: blocks. */
int container_cdi(const struct container *container, struct arena *arena, struct cdi_edits *ret_edits, struct error *err);

/* A variable replaces one of the same name. */
int cdi_add_env(const struct cdi_edits *edits, struct arena *arena, char ***env, struct error *err);

/* Supplementary groups, each once. */
int cdi_add_groups(const struct cdi_edits *edits, struct arena *arena, struct container_user *user, struct error *err);

/* A mount replaces one on the same target. */
int cdi_add_mounts(const struct cdi_edits *edits, struct arena *arena, struct mount_list *list, struct error *err);

/* A node replaces one of the same path; one that does not say whose it is belongs to the container's user. Looks at the host. */
int cdi_add_devices(const struct cdi_edits *edits, const struct container_user *user, struct arena *arena, struct device_list *list,
		    struct error *err);

#endif
