/* The inside of StartContainer: what its steps gather (start_gather.c), and how that becomes a plan (start_compile.c). */
#ifndef MONOPOD_TASK_START_CONTAINER_H
#define MONOPOD_TASK_START_CONTAINER_H

#include "base/arena.h"
#include "runtime/cdi.h"
#include "runtime/spawner.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/operation.h"
#include "task/stdio.h"

struct cgroup;
struct plan;

/* What the Specs of CDI devices want to be run; see container_hooks.h. */
struct start_hooks {
	struct hook_spec *prestart, *create_runtime, *poststart;
	size_t n_prestart, n_create_runtime, n_poststart;
	struct hooks_spec spec; /* for the plan, when `in_plan` */
	bool in_plan;
	bool began; /* the first was run: an end has to be told to those of poststop */
	int words;  /* read end of what those in the plan say; non-blocking */
};

struct start_container {
	struct operation op; /* first */
	struct container *container;
	struct arena scratch; /* what only the start needs */
	struct arena keep;    /* what the container keeps: user, env, cwd */
	struct cdi_edits cdi; /* of its CDI devices */
	struct container_user user;
	char **env;
	char *cwd;
	struct selinux_labels labels;
	const struct user_ns_spec *user_ns; /* the pod's, NULL: the host's */
	int rootfs;
	struct mount_list mounts;
	struct device_list devices;
	int pid_ns;    /* descriptor, NS_NEW or NS_HOST */
	int pid_ns_of; /* pidfd whose PID namespace is joined, -1: none */
	pid_t pid_ns_of_pid;
	struct stdio stdio;
	int log_fd;
	struct start_hooks hooks;
	bool writes_bundle; /* it is a start, and nothing that is only explained */
	struct cgroup *cgroup;
	struct plan *plan;
	struct spawn_result spawned;
	uint64_t start_ticks;
	int oom_score_adj;
};

/*
 * What start_compile() needs and nothing is opened for (start_gather.c). Everything looks at files: for a lane.
 *
 * Sets user, cwd, env and cdi; op->rootfs shows the image's files.
 */
int start_find_user(struct start_container *op, struct error *err);

/* After start_find_user(): sets op->mounts, without their descriptors. */
int start_list_mounts(struct start_container *op, struct error *err);

/* After start_find_user(): sets op->devices. */
int start_list_devices(struct start_container *op, struct error *err);

/* Sets op->labels. */
int start_choose_labels(struct start_container *op, struct error *err);

/* Sets op->labels and op->rootfs: the image's layers, writable. */
int start_open_rootfs(struct start_container *op, struct error *err);

/* start_list_mounts(), and a descriptor for each volume. */
int start_open_mounts(struct start_container *op, struct error *err);

/* Sets op->hooks, without descriptors (start_hooks.c). */
int start_list_hooks(struct start_container *op, struct error *err);

/* After that: opens the descriptors for the plan. */
int start_open_hooks(struct start_container *op, struct error *err);
void start_init_hooks(struct start_hooks *hooks);
void start_close_hooks(struct start_hooks *hooks);

/* Runs the plan and, where it stops for them, the hooks. As spawner_run(); with hooks the deadline is START_HOOKS_MAX_MS. */
int start_spawn(struct start_container *op, unsigned deadline_ms, struct error *err);
void start_run_poststart(struct start_container *op);

/* Sets op->plan from what the steps before gathered. May take milliseconds (a seccomp filter that is not cached yet): for a lane. */
int start_compile(struct start_container *op, struct error *err);

/* Sets op->oom_score_adj, clamped to what we may give, or ERR_DENIED. On the loop: the one warning about it is the node's. */
int start_choose_oom_score(struct start_container *op, struct error *err);

/* Adds what the interpreter measured, from the moment at which the step "spawn" began. */
void start_add_plan_times(const struct start_container *op, struct timeline *timeline);

#endif
