/* RemoveContainer, on behalf of other operations. */
#ifndef MONOPOD_TASK_REMOVE_CONTAINER_H
#define MONOPOD_TASK_REMOVE_CONTAINER_H

#include "task/operation.h"

struct container;

/* Killed when it runs. One that is gone is success. */
int container_remove(struct container *container, operation_done_fn *done, void *arg, struct error *err);

#endif
