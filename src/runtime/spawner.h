/*
 * The spawner: the one thread from which processes are cloned.
 *
 * It lives in a mount namespace of its own that holds a single empty tmpfs, so a clone copies one mount, not the node's thousands
 * (limits.md lessons 6 and 20), and its children share the daemon's memory (CLONE_VM | CLONE_VFORK) for the microseconds until they
 * exec the interpreter from a sealed memfd: they never run with a copy of the daemon's memory inside a container's namespaces, and
 * /proc/PID/exe never leads to our binary. Children of the spawner are children of the daemon: the reaper gets their exit.
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

/* Makes the thread and its namespace. `run_dir` names a directory on the host that is used while starting (removed mounts only). */
int spawner_open(struct spawner **ret_spawner, struct error *err);
void spawner_close(struct spawner *spawner);

/* How long one operation of the plan took, as measured by the interpreter. */
struct op_time {
	uint32_t start_us; /* from the moment of the clone */
	uint32_t took_us;
};

struct spawn_result {
	pid_t pid;             /* as the daemon sees it */
	int pidfd;             /* owned by the caller from now on */
	int console_fd;        /* pty master when the spec asked for a tty, else -1; owned by the caller */
	uint32_t clone_us;     /* of the clone and the interpreter's start */
	struct op_time *times; /* plan_length() of them; freed by the caller; NULL when memory was out */
};

/*
 * Runs the plan in a new process and returns when it has exec'd its command (or, for a pod init, when it is in place). `stdio` are
 * the process's 0, 1 and 2; -1 means /dev/null. On failure no process is left, and the error says which operation failed on what.
 * `timeout_ms` bounds the whole; a process that overruns is killed and reaped.
 */
int spawner_run(struct spawner *spawner, const struct plan *plan, const int stdio[3], unsigned timeout_ms,
		struct spawn_result *ret_result, struct error *err);

#endif
