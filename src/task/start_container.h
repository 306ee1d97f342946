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

/* Sets op->plan from what the steps before gathered. May take milliseconds (a seccomp filter that is not cached yet): for a lane. */
int start_compile(struct start_container *op, struct error *err);

/* Sets op->oom_score_adj, clamped to what we may give, or ERR_DENIED. On the loop: the one warning about it is the node's. */
int start_choose_oom_score(struct start_container *op, struct error *err);

/* Adds what the interpreter measured, from the moment at which the step "spawn" began. */
void start_add_plan_times(const struct start_container *op, struct timeline *timeline);

#endif
