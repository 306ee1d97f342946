/*
 * The spawner: the one thread from which processes are cloned.
 *
 * It lives in a mount namespace of its own that holds a single small tmpfs, so a clone copies one mount, not the node's thousands; it
 * has a descriptor table of its own, so a clone copies a dozen, not the daemon's thousands; and its children share the daemon's memory
 * (CLONE_VM | CLONE_VFORK) for the microseconds until they exec the interpreter from a sealed memfd: they never run with a copy of the
 * daemon's memory inside a container's namespaces, they enter nothing of a container before that exec, and /proc/PID/exe never leads
 * to our binary. Children of the spawner are children of the daemon: the reaper gets their exit. A start may take up to three
 * processes one after the other (for a cgroup of version 2, for a joined PID namespace); the earlier ones are reaped here.
 *
 * All functions block and may be called from any thread but the loop's.
 */
#ifndef MONOPOD_RUNTIME_SPAWNER_H
#define MONOPOD_RUNTIME_SPAWNER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/plan.h"

struct spawner;

/* Makes the thread and its namespaces. Needs CAP_SYS_ADMIN; Linux 5.12 for what the interpreter uses. */
int spawner_open(struct spawner **ret_spawner, struct error *err);

/*
 * For a program that starts one process and ends. It returns before the thread is ready, which the first run waits for and whose failure
 * it returns; what few plans need is not made before one does. `namespaces` (CLONE_NEWNET, or 0) are made by the thread at once, for the
 * process to be born in: the plan of the first run must ask for them. They belong to the caller's user namespace.
 */
int spawner_open_once(unsigned namespaces, struct spawner **ret_spawner, struct error *err);

/* Every run must have returned. */
void spawner_close(struct spawner *spawner);

/* How long one operation of the plan took, as measured by the interpreter. The last one ends in exec and took 0. */
struct op_time {
	uint32_t start_us; /* from the call of spawner_run() */
	uint32_t took_us;
};

struct spawn_result {
	pid_t pid;             /* as the daemon sees it */
	int pidfd;             /* owned by the caller from now on */
	int console_fd;        /* pty master when the spec asked for a tty, else -1; owned by the caller */
	uint32_t clone_us;     /* from the call to the interpreter's first instruction */
	struct op_time *times; /* plan_length() of them; freed by the caller; NULL when memory was out */
};

/*
 * Runs the plan in a new process and returns when it has exec'd its command (or, for a pod init, when it is in place). `stdio` are
 * the process's 0, 1 and 2; -1 means the container's /dev/null. Pipes among them become the property of the container's user.
 *
 * On failure no process is left, and the error says which operation failed on what ("mount proc on /proc: Permission denied"); for
 * whom is the caller's clause. `timeout_ms` bounds the whole: a process that overruns is killed and reaped, with
 * ERR_DEADLINE and the operation it was in. One that cannot die (a frozen cgroup of version 1, a dead network file system) is waited
 * for two seconds more and then reaped by a later run, when it has died.
 */
int spawner_run(struct spawner *spawner, const struct plan *plan, const int stdio[3], unsigned timeout_ms,
		struct spawn_result *ret_result, struct error *err);

/*
 * What a plan with stops asks of whoever runs it: called at each sync point, by the thread that called spawner_run_synced(), while the
 * process waits. `pid` is the process as the daemon sees it, already the one that will be the command. A failure ends the start.
 */
struct sync_handler {
	int (*on_sync)(void *data, enum sync_point point, pid_t pid, struct error *err);
	void *data;
};

/*
 * As spawner_run() for a plan with stops. One that waits (container_spec.waits) makes this return as soon as SYNC_READY has been handled: the
 * process is then in its wait, and what happens after it goes to whoever connects. The time that the handler takes does not count.
 */
int spawner_run_synced(struct spawner *spawner, const struct plan *plan, const int stdio[3], unsigned timeout_ms,
		       const struct sync_handler *handler, struct spawn_result *ret_result, struct error *err);

/* What became of a process after its wait. */
struct plan_outcome {
	bool failed;
	unsigned op; /* index of the operation that failed */
	int error;   /* its errno */
	int status;  /* of a hook that did not end well, as of wait(2); 0: none */
};

/* Listens on the connection that has ended a plan's wait (container_spec.waits), until its command is exec'd or an operation fails. */
int plan_await_exec(int fd, unsigned timeout_ms, struct plan_outcome *ret_outcome, struct error *err);

/* The failure as an error; `what` is what plan_describe() said of the operation when there was a plan. Returns -1. */
int plan_outcome_error(const struct plan_outcome *outcome, const char *what, struct error *err);

#endif
