/*
 * A container of a sandbox.
 *
 * States (transitions in container.c; one function makes every change):
 *
 *     CREATING ──▶ CREATED ──▶ STARTING ──▶ RUNNING ──▶ EXITING ──▶ EXITED ──▶ REMOVING ──▶ GONE
 *         │           │            └───────────────────────────────▲  ▲            │
 *         │           │         (start failed and undone)             └────────────┘ (removal failed)
 *         └──▶ GONE   └──▶ REMOVING
 *
 * CREATING and STARTING are on disk before the first object of theirs is made. EXITING is between the end of the process and the
 * moment when its last log byte is in the file: only then does the world learn of the exit.
 *
 * On disk:  root_dir/containers/ID/{upper,work}            the writable layer
 *           state_dir/containers/ID/{stdin,stdout,stderr}  FIFOs
 *           state_dir/containers/ID/bundle                  for hooks of CDI devices (container_hooks.h)
 */
#ifndef MONOPOD_TASK_CONTAINER_H
#define MONOPOD_TASK_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/id.h"
#include "loop/task.h"
#include "proto/cri.pb-c.h"
#include "proto/store.pb-c.h"
#include "task/sandbox.h"
#include "task/turn.h"
#include "task/volume_images.h"

struct cgroup;
struct image;
struct log_pump;

/* Numbers on disk: never renumber. */
enum container_state {
	CONTAINER_STATE_CREATING = 1,
	CONTAINER_STATE_CREATED = 2,
	CONTAINER_STATE_STARTING = 3,
	CONTAINER_STATE_RUNNING = 4,
	CONTAINER_STATE_EXITING = 5,
	CONTAINER_STATE_EXITED = 6,
	CONTAINER_STATE_REMOVING = 7,
	CONTAINER_STATE_GONE = 8,
	CONTAINER_STATE_END
};

/* Somebody who waits for the container to be EXITED. */
struct exit_waiter {
	void (*on_exited)(struct exit_waiter *waiter);
	struct exit_waiter *prev, *next;
	bool waiting;
};

/* What the start resolved and a process executed inside inherits. */
struct container_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t n_groups;
};

struct container {
	char id[ID_SIZE];
	struct node *node;
	unsigned refs;
	enum container_state state;
	bool leaving;                            /* a removal has its turn */
	struct sandbox *sandbox;                 /* a reference */
	struct container *prev, *next;           /* in the sandbox's list */
	Cri__ContainerConfig *config;            /* as it was asked for */
	Cri__LinuxContainerResources *resources; /* after the last update; NULL: as in the config */
	char *name_key;
	struct image *image; /* NULL when it is gone, as can be after a restart */
	char *image_id;
	struct volume_images volume_images;
	int stop_signal;
	int64_t created_at_ns, started_at_ns, finished_at_ns;
	int32_t exit_code;
	char *reason, *message; /* NULL: none */
	char *log_path;         /* NULL: not logged */
	char *root_dir, *state_dir;
	char *cgroup_path;
	struct process process;
	bool own_pid_ns;
	struct cgroup *cgroup;     /* from start to cleanup */
	unsigned cgroup_users;     /* the process, and those that execute inside */
	bool killed;               /* we sent it SIGKILL */
	uint64_t oom_kills_inside; /* that took a process executed inside, not the container's own */
	struct arena start_arena;
	struct container_user user; /* in start_arena, as the next two */
	char *cwd;
	char **env;
	struct log_pump *log;
	struct exit_status exit_status;
	struct exit_waiter *waiters; /* utlist */
	struct lane *lane; /* its log and its clean-up, apart from the pod's so that a dead volume does not hide an exit */
	struct turn_queue turns;
	struct create_container *creator; /* while CREATING: whom to join */
	struct timeline *timeline;        /* of its start; NULL when unknown */
	bool of_this_boot;                /* for recovery */
	UT_hash_handle hh;
};

/* A new object with one reference, not yet known to the node. Takes ownership of `config`. NULL and an error when memory is out. */
struct container *container_new(struct sandbox *sandbox, const char *id, Cri__ContainerConfig *config, struct error *err);
struct container *container_ref(struct container *container);
void container_unref(struct container *container); /* NULL is fine */

/* Makes it known to the node and its sandbox (ERR_EXISTS when the name is taken); the node holds a reference. */
int container_publish(struct container *container, struct error *err);
void container_forget(struct container *container);

/* By id or by an unambiguous prefix of 12 digits or more; NULL when there is none (or more than one). */
struct container *container_find(struct node *node, const char *id);

/* Ends the daemon on a transition that the table does not have: that is a mistake of ours. */
void container_set_state(struct container *container, enum container_state state);
bool container_may_become(enum container_state from, enum container_state to);
const char *container_state_name(enum container_state state);

/* What the CRI knows of it: a container that is being made is nobody's yet. */
bool container_is_public(const struct container *container);
Cri__ContainerState container_public_state(const struct container *container);

/* True while there is a process. */
bool container_is_alive(const struct container *container);

/* The key of struct name_index for this request; NULL when memory is out; free(). */
char *container_name_key(const struct sandbox *sandbox, const Cri__ContainerConfig *config);

/* Writes the record; the second as if the container were in that state already. */
int container_save(struct container *container, struct error *err);
int container_save_as(struct container *container, enum container_state state, struct error *err);

/* See sandbox_save_if_possible(). */
void container_save_if_possible(struct container *container);
struct container *container_from_record(struct sandbox *sandbox, const Store__Container *record, struct error *err);

/* What holds now; NULL when nothing was ever limited. */
Cri__LinuxContainerResources *container_resources_now(const struct container *container);

/* Sets the outcome and publishes EXITED: record, waiters. `reason` and `message` are copied; message may be NULL. */
void container_finish(struct container *container, int32_t exit_code, const char *reason, const char *message);

/* Follows the process: its end starts the exit machine (exit_container.c). */
int container_watch(struct container *container, struct error *err);

/* SIGKILL to its process. Success when it has ended. */
int container_kill(struct container *container, struct error *err);

/* A process that was executed inside was killed while the cgroup counted `kills` in all: one that is not accounted yet was its. */
void container_account_oom(struct container *container, uint64_t kills);

/* The pump writes what it has and ends; node_close() waits for it. */
void container_drop_log(struct container *container, struct log_pump *pump);

/* While somebody executes in the container its cgroup handle stays open, whatever happens to the container. */
void container_hold_cgroup(struct container *container);
void container_drop_cgroup(struct container *container);

void container_wait(struct container *container, struct exit_waiter *waiter);
void container_wait_cancel(struct container *container, struct exit_waiter *waiter);

/* Sorts the maps inside, so that equal requests compare equal whatever order their sender wrote them in. */
void config_canonicalize(Cri__ContainerConfig *config);

/* The pid namespace mode that holds for the container: its own, or the pod's when it says nothing. */
Cri__NamespaceMode container_pid_mode(const Cri__ContainerConfig *config, const Cri__PodSandboxConfig *sandbox);

#endif
