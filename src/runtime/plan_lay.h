/* The parts of plans that plan_compile() and its sisters put together. Each lays out operations in the order that its comment gives. */
#ifndef MONOPOD_RUNTIME_PLAN_LAY_H
#define MONOPOD_RUNTIME_PLAN_LAY_H

#include <limits.h>
#include <stdbool.h>

#include "runtime/plan_build.h"
#include "runtime/spec.h"

/* What a process is, whether it is a container's first or joins one. */
struct command {
	const char *const *argv;
	const char *const *envp;
	const char *cwd; /* clean */
	const struct identity *identity;
	const struct rlimit_spec *rlimits;
	size_t n_rlimits;
	const struct seccomp_filter *seccomp;
	const struct user_ns_spec *user_ns; /* NULL: the host's */
	bool tty;
	bool forks_last; /* to enter a PID namespace that was joined before */
	const struct process_extras *extras;
	const struct hooks_spec *hooks; /* or NULL: start_container */
	enum sync_point recorded;       /* 0: nowhere */
	bool waits, no_command;
	int start_socket;
};

/* Checks what can be wrong before anything is laid out. */
int command_check(const struct command *command, struct error *err);

/* What needs rights over the host, which a process that enters a user namespace loses: resource limits, and pipes for the user. */
void lay_limits(struct plan_build *build, const struct command *command);

/* Nothing for an empty mask. */
void lay_affinity(struct plan_build *build, const struct cpu_mask *cpus);

/* Everything else, to exec. */
int lay_command(struct plan_build *build, const struct command *command, struct error *err);

/*
 * The ids of the root of the user namespace that was joined just before, or of its first user: joining changes no id, and with the host's
 * root's a process would still own the host's files. Nothing without a user namespace (NULL).
 */
void lay_inside(struct plan_build *build, const struct user_ns_spec *user_ns);

/* Capabilities, groups and ids of somebody without any rights, for our own init. */
void lay_nobody(struct plan_build *build, const struct user_ns_spec *user_ns);

/*
 * The host's ids for those of a container; they are the same without a user namespace (NULL). ERR_INVALID says which id its maps leave
 * out.
 */
int outside_uid(const struct user_ns_spec *user_ns, uid_t inside, uid_t *ret_outside, struct error *err);
int outside_gid(const struct user_ns_spec *user_ns, gid_t inside, gid_t *ret_outside, struct error *err);

/* Host and domain name, sysctls, the loopback: once the namespaces are there. ERR_INVALID for what is the host's. */
int lay_settings(struct plan_build *build, const struct container_spec *spec, struct error *err);

/* The container's root, inside a copy of the host's tree when hooks are to see both; lay_pivot() leaves that again. */
int lay_root(struct plan_build *build, const struct container_spec *spec, struct error *err);

/* The stop for outside hooks, createContainer's, and the pivot. */
int lay_create_hooks(struct plan_build *build, const struct hooks_spec *hooks, struct error *err);

/* The stop for SYNC_READY and the wait; then startContainer's. */
int lay_wait(struct plan_build *build, const struct command *command, struct error *err);

/* /dev with its links and nodes, and every other mount, in the order of the spec. */
int lay_mounts(struct plan_build *build, const struct container_spec *spec, bool late_fork, struct error *err);

/* Masked and read-only paths. */
int lay_paths(struct plan_build *build, const struct container_spec *spec, struct error *err);

/*
 * An absolute path without empty components, "." and a slash at its end. ".." is refused: nobody means it, and a reader of the plan
 * should see where things go. `what` names the path in the error.
 */
int clean_path(char clean[PATH_MAX], const char *path, const char *what, struct error *err);

/* True when the kernel's procfs can be told which PID namespace to show (Linux 6.17). */
bool procfs_takes_pidns(void);

#endif
