/*
 * Keeps an eye on the pod network between two questions of the kubelet: when the engine's descriptor says that something was taken away,
 * ready() is asked, which puts it back or says what is wrong; then again until all is well.
 */
#ifndef MONOPOD_TASK_NETWORK_WATCH_H
#define MONOPOD_TASK_NETWORK_WATCH_H

#include "base/error.h"

struct network;

/* Sets network->watch; nothing when the engine has no descriptor. Looks once at the next turn, for what happened before. */
int network_watch_open(struct network *network, struct error *err);

/* At a later turn network->watch is NULL and node_advance_close() is called. Harmless when there is none. */
void network_watch_close(struct network *network);

#endif
