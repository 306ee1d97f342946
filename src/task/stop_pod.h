/* StopPodSandbox, on behalf of other operations. */
#ifndef MONOPOD_TASK_STOP_POD_H
#define MONOPOD_TASK_STOP_POD_H

#include "task/operation.h"

struct sandbox;

/* Without a turn of its own: the starter holds the sandbox's. A released sandbox is success. */
int sandbox_stop(struct sandbox *sandbox, operation_done_fn *done, void *arg, struct error *err);

#endif
