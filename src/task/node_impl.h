/* The inside of struct node, for the files of this folder. */
#ifndef MONOPOD_TASK_NODE_IMPL_H
#define MONOPOD_TASK_NODE_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "runtime/process.h"
#include "runtime/rlimits.h"
#include "runtime/selinux.h"
#include "task/container.h"
#include "task/names.h"
#include "task/network.h"
#include "task/node.h"
#include "task/sandbox.h"

struct cgroup_roots;
struct image_store;
struct operation;
struct pull_transfer;
struct spawner;
struct store;
struct subscriber;

/* Records, lanes and names are small, but a client that never removes what it makes would fill the node with them: forty times what a
 * kubelet runs by default, and more containers than a pod's manifest can hold. */
#define MAX_SANDBOXES 4096
#define MAX_CONTAINERS_OF_SANDBOX 1024

struct node {
	struct loop *loop;
	const struct config *config;
	char boot_id[BOOT_ID_SIZE];
	struct store *store;
	struct cgroup_roots *cgroups;
	bool systemd; /* the cgroup driver is systemd */
	struct spawner *spawner;
	struct image_store *images;
	struct network networks[NETWORK_COUNT];
	unsigned network_turns;  /* given to pods so far */
	struct lane *image_lane; /* removals and imports */
	struct lane *store_lane; /* checkpoints */
	bool checkpointing;
	struct job checkpoint_job;

	struct sandbox *sandboxes;    /* uthash by id */
	struct container *containers; /* uthash by id */
	struct name_index sandbox_names, container_names;

	struct turn_queue pulls;         /* and imports */
	struct pull_transfer *transfers; /* utlist: pulls that others may join (pull_transfer.c) */
	size_t captured_bytes;           /* output of commands that wait for their end, all together (exec_sync.c) */
	struct rlimit_set rlimits;       /* of every container and every command in one */
	int own_oom_score_adj;
	bool may_lower_oom_score; /* CAP_SYS_RESOURCE */
	const char *selinux_fs;   /* where the kernel is asked about labels; NULL: SELinux is off */
	bool has_selinux_spc;     /* its policy has spc_t, for privileged containers */
	struct selinux_defaults selinux;
	bool has_apparmor;           /* it is on */
	bool has_apparmor_default;   /* our own profile is loaded */
	bool may_recursive_readonly; /* volume_takes_recursive_readonly() */
	bool warned_oom_score;
	bool user_namespaces; /* tried with success: pods may have users of their own */

	struct subscriber *subscribers; /* utlist: to events (events.h) */
	unsigned n_subscribers;
	int64_t stamped_ns; /* event_stamp_ns() */

	struct operation *operations; /* utlist: all that are in flight */
	unsigned pumps;               /* log pumps that write their last */
	bool closing, closed;
	uv_timer_t closer;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

/* Called when something ended that node_close() may wait for. */
void node_advance_close(struct node *node);

/* Starts a checkpoint of the store in its lane when enough was written. */
void node_checkpoint(struct node *node);

/* node->rlimits from the configuration; raises the daemon's own limit of open files (node_limits.c). */
int node_set_limits(struct node *node, struct error *err);

/* Adopts and cleans up: see recover.c. */
int node_recover(struct node *node, struct error *err);

#endif
