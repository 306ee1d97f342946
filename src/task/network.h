/*
 * The networks of the node: which engine attaches a pod, where its blocking calls run, and whether it is well.
 *
 * There are two, and both are open: the embedded bridge, which serves as long as no CNI configuration is there, and the executor of CNI
 * plugins. A pod stays with the one that it was attached by.
 */
#ifndef MONOPOD_TASK_NETWORK_H
#define MONOPOD_TASK_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/cni.h"

struct lane;
struct net_engine;
struct network_watch;
struct network_sweep;
struct network_watch;
struct node;
struct sandbox;

/* Of a step that attaches or detaches: plugins get a minute, another to take back what they did not finish, and wait a
 * third one while garbage is collected (net/cni.h). */
#define NETWORK_DEADLINE_MS 185000

/* In records on disk: never renumbered. */
enum network_kind { NETWORK_BRIDGE, NETWORK_CNI, NETWORK_COUNT };

struct network {
	struct node *node;
	struct net_engine *engine;
	struct lane *lane;                      /* of the bridge's calls; of looking whether plugins are there and well */
	struct lane *plugins[NET_CNI_PARALLEL]; /* of attaches and detaches by plugins */
	struct lane *sweep_lane;
	struct network_watch *watch;
	struct network_sweep *sweep; /* while what a former daemon left is taken away */

	/* The last truth, for a Status that cannot wait for a busy lane. */
	int64_t checked_us; /* 0: nobody has looked */
	bool is_ready;
	char reason[256];
};

/* Opens both engines and their lanes. What was opened before a failure is for networks_close(). */
int networks_open(struct node *node, struct error *err);
void networks_close(struct node *node);

/* Starts to look after them, as far as it can: else changes are noticed by Status alone. At a later turn after networks_end(), networks_have_ended() is true and node_advance_close() is called. */
void networks_begin(struct node *node);
void networks_end(struct node *node);
bool networks_have_ended(const struct node *node);

/* For pods that are made now. */
enum network_kind network_for_new_pods(const struct node *node);
bool network_serves(const struct network *network);

/* The pod's own, and the lane for its attach and detach: plugins may run for many pods at a time, the bridge for one. */
struct network *network_of(const struct sandbox *sandbox);
struct lane *network_lane_of(const struct sandbox *sandbox);

/* The truth as somebody has just learned it. `reason` when it is not ready. */
void network_learn(struct network *network, bool is_ready, const char *reason);

/* Takes away what belongs to no pod: at once what the kernel shows, later what plugins have to be
 * executed for; then plugins are asked whether the pods that live are still attached as they were. */
int networks_sweep(struct node *node, struct error *err);

#endif
