/*
 * Lanes: where blocking work runs.
 *
 * A lane is a queue whose jobs run one after another on a thread of the pool; different lanes run at the same time. There is one
 * lane per pod (so that one dead mount holds nobody else), one for the network, one for the store, one per pull. The pool starts
 * threads as they are needed, up to a limit; a thread whose job has outlived its deadline counts as stuck and is replaced, up to a
 * second limit. Threads have their own working directory (unshare(CLONE_FS)), so a job may chdir or unshare its mount namespace;
 * a job that changes namespaces must restore them or ask for its thread to end (job->retire_thread).
 *
 * Life of a job:
 *   work()    on a pool thread; may block; touches only what the job owns or what is documented as thread-safe
 *   done()    on the loop thread, exactly once: with work's result, or with ERR_DEADLINE as soon as the deadline passes while work
 *             goes on, or with ERR_CANCELLED when lane_cancel() took it out of the queue before it began
 *   release() on the loop thread, exactly once, after done() and after work() has returned: the job's memory is free again
 * A job that overran still blocks its own lane until it returns, so an undo queued behind it sees its effects.
 */
#ifndef MONOPOD_LOOP_LANE_H
#define MONOPOD_LOOP_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct loop;
struct lane;
struct lane_pool;

struct job {
	const char *name; /* for logs and status: what hangs */
	int (*work)(struct job *job, struct error *err);
	void (*done)(struct job *job, int result, const struct error *err);
	void (*release)(struct job *job); /* may be NULL */
	unsigned deadline_ms;             /* from submission; 0 is not allowed */
	bool must_run;      /* for undo: neither its deadline nor lane_cancel() takes it out of the queue, only lane_pool_close() */
	bool retire_thread; /* set by work(): end the thread after this job */
	void *internal;     /* private to lane.c */
};

struct lane_stats {
	unsigned threads, busy, stuck, queued;
};

/* `max_threads` bounds busy threads, `max_stuck` the ones given up on; past both, jobs wait and miss their deadlines. */
int lane_pool_open(struct loop *loop, unsigned max_threads, unsigned max_stuck, struct lane_pool **ret_pool, struct error *err);

/* Cancels what is queued and waits for running jobs (not for stuck ones, whose memory is never released). No lane may be open. */
void lane_pool_close(struct lane_pool *pool);
void lane_pool_stats(struct lane_pool *pool, struct lane_stats *ret_stats);

/* `name` is copied. */
int lane_open(struct lane_pool *pool, const char *name, struct lane **ret_lane, struct error *err);

/* The lane vanishes when its last job is released; none may be submitted any more. NULL is fine. */
void lane_close(struct lane *lane);

/* On failure neither done() nor release() is called. */
int lane_submit(struct lane *lane, struct job *job, struct error *err);

/* Takes a job that has not begun out of the queue (done() with ERR_CANCELLED at the next turn); a running one goes on. */
void lane_cancel(struct lane *lane, struct job *job);

#endif
