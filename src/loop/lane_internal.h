/*
 * Inside the lanes: what the loop thread's side (lane.c) and the threads (lane_thread.c) share. Nobody else includes this.
 *
 * Fields say who may touch them: the loop thread only, or whoever holds the pool's lock.
 */
#ifndef MONOPOD_LOOP_LANE_INTERNAL_H
#define MONOPOD_LOOP_LANE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "loop/lane.h"

enum entry_state { ENTRY_QUEUED, ENTRY_RUNNING, ENTRY_RETURNED };

/*
 * A submitted job. It is in three lists over its life: in `jobs` of the pool from submission to release (loop thread only), in
 * `queue` of its lane until it begins, in `returned` of the pool from its end to its release (both under the lock).
 */
struct entry {
	struct job *job;
	struct lane *lane;
	struct entry *prev_job, *next_job;
	struct entry *prev, *next;
	int64_t deadline_us;
	enum entry_state state; /* under the lock */
	bool overdue;           /* under the lock: the deadline has passed, done() was told so */
	bool done_called;       /* loop thread only */
	int result;
	struct error err;
};

struct lane {
	struct lane_pool *pool;
	char *name;
	struct entry *queue;      /* under the lock */
	struct entry *running;    /* under the lock */
	struct lane *prev, *next; /* in `ready` of the pool, under the lock */
	bool ready;               /* under the lock: has a queue, nothing runs, waits for a thread */
	bool closed;              /* loop thread only, as is n_jobs */
	unsigned n_jobs;
};

struct lane_pool {
	uv_async_t wakeup;  /* a thread put something on `returned`; referenced while there are jobs */
	uv_timer_t timer;   /* for the earliest deadline of `jobs`; may fire too early, never too late */
	int64_t timer_us;   /* what it is set to; INT64_MAX when it is not */
	struct entry *jobs; /* loop thread only, as are the two above and n_open */
	unsigned n_open;    /* lanes not closed */

	pthread_mutex_t lock; /* for everything below */
	pthread_cond_t work;  /* a lane is ready, or the pool is closing */
	pthread_cond_t ended; /* a thread returned from a job or ended */
	struct lane *ready;
	struct entry *returned;
	unsigned n_ready;            /* lanes in `ready` */
	unsigned n_idle, n_starting; /* threads that will look there, of stats.threads */
	struct lane_stats stats;
	unsigned max_threads, max_stuck;
	unsigned holders; /* threads and open uv handles; the last one frees the pool */
	bool closing;     /* threads end instead of taking jobs */
	bool closed;      /* `wakeup` is gone, nobody joins threads any more */
	bool has_last;
	pthread_t last; /* the thread that ended last, when has_last: what libraries keep per thread goes when it is joined */
};

static inline void lane_lock(struct lane_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
}

static inline void lane_unlock(struct lane_pool *pool)
{
	(void)pthread_mutex_unlock(&pool->lock);
}

/* Frees the lane when it is closed and has no job. */
void lane_free_unused(struct lane *lane);

/* ---- lane_thread.c; all but the first are called with the lock held ---- */

void lane_pool_init_locks(struct lane_pool *pool);

/* Gives up one hold on the pool, and the lock. */
void lane_pool_unhold(struct lane_pool *pool);

/* Sees to it that somebody serves so many ready lanes, as far as the limits go: 0, or an errno when there is no thread at all. Call it
 * for each lane that becomes ready. */
int lane_pool_provide_threads(struct lane_pool *pool, unsigned n_ready);

/* Waits until every thread that has ended is gone, and gives up the lock. */
void lane_pool_join_last(struct lane_pool *pool);

/* Waits for a job to return or a thread to end, until CLOCK_MONOTONIC says so. */
void lane_pool_wait_ended(struct lane_pool *pool, int64_t until_us);

/* Into its lane's queue: 0, or an errno when there is no thread to come for it. */
int entry_enqueue(struct entry *entry);
void entry_unqueue(struct entry *entry);

/* The entry is the loop's from now on: its memory may go as soon as the lock is free. */
void entry_hand_back(struct entry *entry);

#endif
