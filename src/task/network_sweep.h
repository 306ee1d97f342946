/* Taking away, off the daemon's start, what plugins attached for pods that are gone. Plugins take a quarter of a second for each. */
#ifndef MONOPOD_TASK_NETWORK_SWEEP_H
#define MONOPOD_TASK_NETWORK_SWEEP_H

#include <stddef.h>

#include "base/error.h"

struct network;

/* Decides at once what is left over; the rest runs in the network's lane. Sets network->sweep when there is anything to do. */
int network_sweep_start(struct network *network, const char *const *live_pod_ids, size_t n, struct error *err);

/* Soon network->sweep is NULL: after the plugin that runs now. Harmless when there is none. */
void network_sweep_stop(struct network *network);

#endif
