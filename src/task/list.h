/* Lists and statuses of sandboxes and containers in the CRI's words. Messages are built in an arena and borrow the objects' memory: good
 * until the next turn of the loop. NULL when memory is out. */
#ifndef MONOPOD_TASK_LIST_H
#define MONOPOD_TASK_LIST_H

#include <stdbool.h>

#include "base/arena.h"
#include "proto/cri.pb-c.h"

struct container;
struct sandbox;

/* A NULL filter matches all. Ids may be cut to their beginning. */
bool sandbox_matches(const struct sandbox *sandbox, const Cri__PodSandboxFilter *filter);
bool container_matches(const struct container *container, const Cri__ContainerFilter *filter);

/* How the client called the image, and how we do. */
Cri__ImageSpec *container_image_spec(struct arena *arena, const struct container *container);

Cri__PodSandboxStatus *sandbox_status_message(struct arena *arena, struct sandbox *sandbox);

/* Of all containers of the pod that are public. */
Cri__ContainerStatus **sandbox_containers_statuses(struct arena *arena, const struct sandbox *sandbox, size_t *ret_n);

Cri__ContainerStatus *container_status_message(struct arena *arena, struct container *container);

#endif
