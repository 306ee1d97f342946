/*
 * The inside of the spawner: one clone, asked for by any thread, done by the spawner's.
 *
 * The spawner's thread has a descriptor table of its own. A child copies that small table instead of the daemon's (which grows with
 * every pod), never holds a descriptor that it does not need, and never closes a file of somebody else, which may block. What a child
 * is to have is fetched from the daemon's table with pidfd_getfd(2), Linux 5.6.
 */
#ifndef MONOPOD_RUNTIME_LAUNCH_H
#define MONOPOD_RUNTIME_LAUNCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/plan_build.h"

/* One process to start. The first part is the caller's; the thread reads it and writes the second. */
struct launch {
	const struct plan *plan;
	int plan_fd;  /* sealed copy of the plan's block */
	int report;   /* the child's end */
	int stdio[3]; /* or -1 */

	pid_t pid; /* > 0 on success */
	struct error error;
	enum { LAUNCH_QUEUED, LAUNCH_TAKEN, LAUNCH_OVER } state;
	struct launch *next;
};

/* A process that did not die in time, to be reaped when it has. */
struct straggler {
	pid_t pid;
	int pidfd;
	struct straggler *next;
};

struct spawner {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* for the thread: the queue or `closing` changed */
	pthread_cond_t over; /* for callers: some launch is over */
	struct launch *queue, **queue_end;
	struct straggler *stragglers;
	bool closing;
	bool once;         /* service descriptors that few plans need are made when one does */
	unsigned prepared; /* CLONE_NEW*: namespaces that the thread is in for its next child */

	/* the thread's own from here on */
	bool ready; /* or failed, see error */
	struct error error;
	void *stack; /* of the children */
};

#define LAUNCH_STACK_SIZE ((size_t)64 * 1024)

/* The body of the spawner's thread. */
void *spawner_thread(void *arg);

/* Has one process cloned. Waits for its turn until the deadline (CLOCK_MONOTONIC), then as long as the clone takes. */
int launch_run(struct spawner *spawner, struct launch *launch, int64_t deadline_us, struct error *err);

/*
 * Kills and reaps a child, and whatever it has forked as the daemon's child without telling (see op_fork() of the interpreter). One
 * that does not die, in a frozen cgroup or on a dead file system, goes to the stragglers. Takes the pidfd.
 */
void child_end(struct spawner *spawner, pid_t pid, int pidfd);

/* The same for a child that ends by itself and has told everything. */
void child_reap(struct spawner *spawner, pid_t pid, int pidfd);

void stragglers_sweep(struct spawner *spawner);

/* Turns a report of failure into an error, named by its operation: ERR_STATE where the image does not have what the request needs (a file
 * where a volume wants a directory, links without end), with a clause that says so, or where a hook failed. Returns -1. */
int plan_failure(const struct plan *plan, const struct plan_report *report, struct error *err);

#endif
