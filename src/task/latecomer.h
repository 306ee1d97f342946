/*
 * A request for a name whose object is on its way out: it queues on the object like any other operation, and is begun anew once the
 * object has ended, or has stayed after all.
 */
#ifndef MONOPOD_TASK_LATECOMER_H
#define MONOPOD_TASK_LATECOMER_H

#include "base/error.h"
#include "task/node.h"

struct container;
struct sandbox;

/* Hands `call` to `again` when the turn on the object comes; from then on it is `again`'s. -1: nothing was begun. */
int sandbox_await(struct sandbox *sandbox, struct call *call, operation_fn *again, struct error *err);
int container_await(struct container *container, struct call *call, operation_fn *again, struct error *err);

#endif
