/* StopContainer, on behalf of other operations. */
#ifndef MONOPOD_TASK_STOP_CONTAINER_H
#define MONOPOD_TASK_STOP_CONTAINER_H

#include <stdint.h>

#include "task/operation.h"

struct container;

/* Stop signal, `grace_s` seconds, SIGKILL; ends when the container has EXITED. One that does not run is success. */
int container_stop(struct container *container, int64_t grace_s, operation_done_fn *done, void *arg, struct error *err);

#endif
