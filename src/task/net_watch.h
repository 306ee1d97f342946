/*
 * Keeps an eye on the pod network between two questions of the kubelet: when the engine's descriptor says that something was taken away,
 * ready() is asked, which puts it back or says what is wrong; then again until all is well.
 */
#ifndef MONOPOD_TASK_NET_WATCH_H
#define MONOPOD_TASK_NET_WATCH_H

#include <stdbool.h>

#include "base/error.h"

struct net_watch;
struct node;

/* Sets node->net_watch; nothing when the engine has no descriptor. Looks once at the next turn, for what happened before. */
int net_watch_open(struct node *node, struct error *err);

/* At a later turn node->net_watch is NULL and node_advance_close() is called. Harmless when there is none. */
void net_watch_close(struct node *node);

/* The truth as somebody has just learned it. `reason` when it is not ready. */
void net_learn(struct node *node, bool is_ready, const char *reason);

#endif
