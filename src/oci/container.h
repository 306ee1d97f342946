/* What the subcommands do with a container. Everything blocks. */
#ifndef MONOPOD_OCI_CONTAINER_H
#define MONOPOD_OCI_CONTAINER_H

#include "base/error.h"
#include "oci/command.h"
#include "oci/config.h"
#include "oci/state.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_stat.h"
#include "runtime/spawner.h"

/* How long a process may take to its command, besides what hooks may take (arbitrary; a dead network file system is the usual cause). */
#define START_TIMEOUT_MS 60000

/* How a container or an exec is to be started, from the options. */
struct start_options {
	const char *bundle;         /* NULL: where we are */
	const char *pid_file;       /* NULL: none */
	const char *console_socket; /* NULL: none */
	int64_t preserve_fds;
	bool no_pivot, no_new_keyring; /* accepted: nothing here depends on them */
	bool detach, keep;             /* run, exec */
};

/* One container in our hands. */
struct container {
	struct oci *oci;
	const char *bundle; /* absolute */
	struct store store;
	struct config config;
	struct cgroup_roots *roots;
	struct cgroup *cgroup; /* NULL: not open */
};

void container_init(struct container *c, struct oci *oci);
void container_close(struct container *c);
#define _cleanup_container_ __attribute__((cleanup(container_close)))

/* Opens one that exists, with the configuration that it was made with. */
int container_open(struct container *c, const char *id, bool lock, struct error *err);

/* What is true now, pauses included. */
enum container_status container_status(struct container *c);

/*
 * Makes one, up to its wait (`waits`) or to its command. On failure nothing of it is left and its poststop hooks have run. `stdio` becomes
 * the process's. The container stays locked.
 */
int container_create(struct container *c, const char *id, const struct start_options *options, bool waits,
		     struct spawn_result *ret_result, struct error *err);

/* Sets its limits, all or none. Swappiness is a wish, not a limit: where version 2 of cgroups does not know it, it is a warning. */
int container_limit(struct container *c, struct resources *resources, struct error *err);

/* Releases the one that waits, and runs the poststart hooks. */
int container_start(struct container *c, struct error *err);

/* Removes everything: processes, cgroup, directory; then the poststop hooks run. */
int container_destroy(struct container *c, struct error *err);

/* Hooks that run here, told that the container is in this status. The first that fails ends it. */
int container_hooks(struct container *c, enum hook_moment moment, enum container_status status, struct error *err);

/* Those whose failure is a warning: all of them run. */
void container_hooks_warn(struct container *c, enum hook_moment moment, enum container_status status);

/* Writes PID into a file, atomically. */
int write_pid_file(const char *path, pid_t pid, struct error *err);

/* Hands the terminal to whoever listens on a unix socket. */
int console_send(const char *socket_path, int console, struct error *err);
void console_resize(int console, const struct process_config *process);

/* Waits for a child in the foreground: passes signals on to it, and, unless `console` is -1, bytes between it and our terminal. Returns its
 * exit code, 128 + N for a signal. */
int foreground_wait(pid_t pid, int pidfd, int console, struct error *err);

#endif
