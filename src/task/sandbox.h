/*
 * A pod sandbox: what the containers of a pod share. Its namespaces are pinned without a process; a pod that shares its PID namespace
 * has one built-in init.
 *
 * States (transitions in sandbox.c; one function makes every change):
 *
 *     CREATING ──▶ READY ──▶ STOPPING ──▶ NOTREADY ──▶ REMOVING ──▶ GONE
 *         │          └──────────────────────▲  │ ▲         │
 *         └──▶ GONE   (its init died)          └─┘ again   └──▶ NOTREADY (removal failed)
 *
 * CREATING is on disk before the first kernel object is made. `released` says that a stopped sandbox has given back network,
 * namespaces and files; a NOTREADY one that has not is stopped again.
 *
 * On disk:  state_dir/pods/ID/{user,net,ipc,uts} pins of the namespaces
 *           state_dir/pods/ID/fs                  a tmpfs of its own: shm/, resolv.conf, hosts, hostname. What containers write to
 *                                                 these is bounded by its size and never lands on the node's own file systems.
 */
#ifndef MONOPOD_TASK_SANDBOX_H
#define MONOPOD_TASK_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/error.h"
#include "base/id.h"
#include "loop/reaper.h"
#include "loop/task.h"
#include "net/net.h"
#include "proto/cri.pb-c.h"
#include "proto/store.pb-c.h"
#include "runtime/namespaces.h"
#include "task/network.h"
#include "task/turn.h"

struct container;
struct lane;
struct node;
struct run_pod;

/* Numbers on disk: never renumber. */
enum sandbox_state {
	SANDBOX_CREATING = 1,
	SANDBOX_READY = 2,
	SANDBOX_STOPPING = 3,
	SANDBOX_NOTREADY = 4,
	SANDBOX_REMOVING = 5,
	SANDBOX_GONE = 6,
	SANDBOX_STATE_END
};

/* A process of ours that outlives the operation that started it. */
struct process {
	pid_t pid; /* 0: none */
	uint64_t start_ticks;
	int pidfd; /* -1: none */
	struct watch watch;
};

struct sandbox {
	char id[ID_SIZE];
	struct node *node;
	unsigned refs;
	enum sandbox_state state;
	bool released;
	bool leaving;   /* a removal has its turn */
	bool stop_told; /* that it is not ready any more was an event */
	Cri__PodSandboxConfig *config;
	char *runtime_handler;
	char *name_key;
	int64_t created_at_ns;
	char *dir; /* state_dir/pods/ID */
	struct pod_namespaces ns;
	enum network_kind network; /* who attached it, or will */
	unsigned network_turn;     /* pods that come one after another are in different lanes of plugins */
	struct net_result net;
	char *cgroup_parent;   /* see group.h */
	char *cgroup_path;     /* of the init: cgroup_parent/ID */
	uint32_t selinux_pair; /* its own pair of categories (selinux_pair_level()), one more; 0: none */
	struct process init;
	struct lane *lane; /* everything of this pod that can block on foreign file systems */
	struct turn_queue turns;
	struct container *containers; /* utlist */
	struct run_pod *creator;      /* while CREATING: whom to join */
	struct timeline *timeline;    /* of its start; NULL when unknown */
	bool of_this_boot;            /* for recovery */
	UT_hash_handle hh;
};

/* A new object with one reference, not yet known to the node. Takes ownership of `config`. NULL and an error when memory is out. */
struct sandbox *sandbox_new(struct node *node, const char *id, Cri__PodSandboxConfig *config, const char *runtime_handler,
			    struct error *err);
struct sandbox *sandbox_ref(struct sandbox *sandbox);
void sandbox_unref(struct sandbox *sandbox); /* NULL is fine */

/* Makes it known to the node under its id and name (ERR_EXISTS when the name is taken); the node holds a reference. */
int sandbox_publish(struct sandbox *sandbox, struct error *err);
void sandbox_forget(struct sandbox *sandbox);

/* By id or by an unambiguous prefix of 12 digits or more; NULL when there is none (or more than one). */
struct sandbox *sandbox_find(struct node *node, const char *id);

/* The key of struct name_index for this request; NULL when memory is out; free(). */
char *sandbox_name_key(const Cri__PodSandboxConfig *config);

/* Ends the daemon on a transition that the table does not have: that is a mistake of ours. */
void sandbox_set_state(struct sandbox *sandbox, enum sandbox_state state);
bool sandbox_may_become(enum sandbox_state from, enum sandbox_state to);
const char *sandbox_state_name(enum sandbox_state state);

/* What the CRI knows of it: a sandbox that is being made is nobody's yet. */
bool sandbox_is_public(const struct sandbox *sandbox);
Cri__PodSandboxState sandbox_public_state(const struct sandbox *sandbox);

/* Writes the record; the second as if the sandbox were in that state already. */
int sandbox_save(struct sandbox *sandbox, struct error *err);
int sandbox_save_as(struct sandbox *sandbox, enum sandbox_state state, struct error *err);

/* For the way down, where a full disk must stop nothing: removal is what empties it. A daemon that starts before the next write finds
 * the state before, and stops or removes again. */
void sandbox_save_if_possible(struct sandbox *sandbox, enum sandbox_state state);

/* An object from its record; state and namespaces are as recorded. */
struct sandbox *sandbox_from_record(struct node *node, const Store__Sandbox *record, struct error *err);

/* "namespace/name". */
#define SANDBOX_TITLE_SIZE 160
const char *sandbox_title(const struct sandbox *sandbox, char title[SANDBOX_TITLE_SIZE]);

/* Whether the pod has a process of its own: the init of a shared PID namespace, or what keeps its scope. */
bool sandbox_has_init(const struct sandbox *sandbox);

/* Follows the init: its end makes the sandbox NOTREADY. */
int sandbox_watch_init(struct sandbox *sandbox, struct error *err);

void process_init(struct process *process);
void process_release(struct process *process); /* closes the pidfd */

#endif
