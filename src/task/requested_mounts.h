/* Private to container_mounts.c and its neighbours: the mounts of a request by themselves. */
#ifndef MONOPOD_TASK_REQUESTED_MOUNTS_H
#define MONOPOD_TASK_REQUESTED_MOUNTS_H

#include "task/container_spec.h"

/* In the order of the request. Images are numbered in that order, as in struct volume_images. */
int requested_mounts(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		     struct mount_list *ret_list, struct error *err);

#endif
