/*
 * Waiting for processes.
 *
 * A watch is a pidfd and a callback. Children are reaped with waitid(P_PIDFD), one by one and only those that somebody watches:
 * the reaper never takes the exit status of a child it does not know (a library's, an embedder's). A process that is not our child
 * (left over from a daemon that died) is watched in the same way; its exit status is read with PIDFD_GET_INFO and PIDFD_INFO_EXIT
 * where the kernel has it (Linux 6.15), after POLLHUP: POLLIN comes before the status is there (limits.md lesson 18). A parent that does
 * not reap keeps the status from us: after REAPER_PATIENCE_MS the end is told without it.
 *
 * All pidfds sit in one epoll set that the loop polls; SIGCHLD from the signalfd triggers the same scan, so neither a lost wake-up
 * nor a coalesced signal loses an exit.
 */
#ifndef MONOPOD_LOOP_REAPER_H
#define MONOPOD_LOOP_REAPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Whoever inherits orphans does nothing else but wait for them: far longer than that takes, far shorter than a client's patience. */
#define REAPER_PATIENCE_MS 2000

struct loop;
struct reaper;

struct exit_status {
	bool known; /* false: it ended, but nobody can say how (not our child, and a kernel before 6.15 or a parent that does not reap) */
	int code;   /* exit code, or 128 + signal */
	int signal; /* 0 when it exited by itself */
	bool core_dumped;
};

struct watch;

/* Called once, on the loop thread, with the watch already removed (its memory is the caller's again). */
typedef void watch_cb(struct watch *watch, const struct exit_status *status);

struct watch {
	int pidfd; /* owned by the caller; must stay open while watched */
	pid_t pid; /* for logs */
	watch_cb *on_exit;
	void *arg;
	bool active; /* private, like what follows */
	int64_t give_up_us;
	struct watch *prev, *next; /* among those that wait for somebody else to reap; not in the list while prev is NULL */
};

int reaper_open(struct loop *loop, struct reaper **ret_reaper, struct error *err);
void reaper_close(struct reaper *reaper);

/* Starts watching. A process that has ended already calls back at the next turn, never from inside this call. */
int reaper_watch(struct reaper *reaper, struct watch *watch, struct error *err);

/* Stops watching without a callback; harmless when not active. */
void reaper_forget(struct reaper *reaper, struct watch *watch);

/* Called by the loop when SIGCHLD arrived. */
void reaper_scan(struct reaper *reaper);

#endif
