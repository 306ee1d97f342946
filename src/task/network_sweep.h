/* Taking away, off the daemon's start, what plugins attached for pods that are gone. Plugins take a quarter of a second for each. */
#ifndef MONOPOD_TASK_NETWORK_SWEEP_H
#define MONOPOD_TASK_NETWORK_SWEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct network;

/* Decides at once what is left over (`live_pod_ids` are sorted); the rest runs in a lane of its own, and network->sweep is set meanwhile. With
 * `after_start` plugins are then told what is valid, and asked whether the living pods are well. */
int network_sweep_start(struct network *network, const char *const *live_pod_ids, size_t n, bool after_start, struct error *err);

/* Some time later network->sweep is NULL: after the pod that plugins run for now. Harmless when there is none. */
void network_sweep_stop(struct network *network);

#endif
