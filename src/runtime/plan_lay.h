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
	bool tty;
	bool forks_last; /* to enter a PID namespace that was joined before */
};

/* Checks what can be wrong before anything is laid out. */
int command_check(const struct command *command, struct error *err);

/* Everything from resource limits to exec. */
void lay_command(struct plan_build *build, const struct command *command);

/* Capabilities, groups and ids of somebody without any rights, for our own init. */
void lay_nobody(struct plan_build *build);

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
