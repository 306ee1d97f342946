#include "loop/lane.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

/* A pod's start and stop come in bursts of lane jobs that a thread should serve without being made anew (30 us); after this long
 * without one the burst is over, and an idle daemon goes back to the loop thread alone. */
#define IDLE_MS 5000

/* Address space only: pages that a job never touches cost nothing. Enough for several PATH_MAX buffers in nested calls, SQLite's
 * parser, a TLS handshake and glibc's resolver. Sanitizers put red zones around every local. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif
#ifdef SANITIZED
#define STACK_BYTES ((size_t)8 << 20)
#else
#define STACK_BYTES ((size_t)512 << 10)
#endif

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
	unsigned n_ready, n_idle;
	struct lane_stats stats;
	unsigned max_threads, max_stuck;
	unsigned holders; /* threads and open uv handles; the last one frees the pool */
	bool closing;     /* threads end instead of taking jobs */
	bool closed;      /* `wakeup` is gone */
};

static void *serve(void *arg);

static void lock(struct lane_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
}

static void unlock(struct lane_pool *pool)
{
	(void)pthread_mutex_unlock(&pool->lock);
}

/* The lane vanishes with its last job once it is closed. */
static void lane_unref(struct lane *lane)
{
	if (!lane->closed || lane->n_jobs > 0)
		return;
	free(lane->name);
	free(lane);
}

/* What hung when the pool was closed and has returned since: nobody is left to hear of it. */
static void forget_returned(struct lane_pool *pool)
{
	struct entry *entry, *next;

	DL_FOREACH_SAFE (pool->returned, entry, next) {
		entry->lane->n_jobs--;
		lane_unref(entry->lane);
		free(entry);
	}
}

/* Called with the lock held, returns without it. */
static void unhold(struct lane_pool *pool)
{
	bool last = --pool->holders == 0;

	unlock(pool);
	if (!last)
		return;
	forget_returned(pool);
	(void)pthread_cond_destroy(&pool->ended);
	(void)pthread_cond_destroy(&pool->work);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_us)
{
	struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };

	(void)pthread_cond_timedwait(cond, mutex, &until);
}

/* ---- threads; all of this runs with the lock held ---- */

/* Stuck threads do not count against the limit, as long as they are few. */
static unsigned thread_limit(const struct lane_pool *pool)
{
	return pool->max_threads + (pool->stats.stuck < pool->max_stuck ? pool->stats.stuck : pool->max_stuck);
}

static int start_thread(struct lane_pool *pool)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return rc;
	(void)sigfillset(&all);
	(void)pthread_attr_setsigmask_np(&attr, &all);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, serve, pool);
	(void)pthread_attr_destroy(&attr);
	if (rc == 0) {
		pool->stats.threads++;
		pool->holders++;
	}
	return rc;
}

/* Sees to it that somebody serves the lanes that are ready: 0, or an errno when no thread is there to ever do so. */
static int provide_thread(struct lane_pool *pool)
{
	int rc = 0;

	if (pool->n_ready <= pool->n_idle) {
		(void)pthread_cond_signal(&pool->work);
		return 0;
	}
	if (pool->stats.threads < thread_limit(pool))
		rc = start_thread(pool);
	return pool->stats.threads > pool->stats.stuck ? 0 : rc;
}

static void set_ready(struct lane *lane, bool ready)
{
	struct lane_pool *pool = lane->pool;

	if (lane->ready == ready)
		return;
	lane->ready = ready;
	if (ready) {
		DL_APPEND(pool->ready, lane);
		pool->n_ready++;
	} else {
		DL_DELETE(pool->ready, lane);
		pool->n_ready--;
	}
}

static void update_ready(struct lane *lane)
{
	set_ready(lane, lane->queue && !lane->running);
}

static void unqueue(struct entry *entry)
{
	DL_DELETE(entry->lane->queue, entry);
	entry->lane->pool->stats.queued--;
	update_ready(entry->lane);
}

/* The entry is the loop's from now on: its memory may go as soon as the lock is free. */
static void hand_back(struct entry *entry)
{
	struct lane_pool *pool = entry->lane->pool;

	entry->state = ENTRY_RETURNED;
	DL_APPEND(pool->returned, entry);
	if (!pool->closed)
		(void)uv_async_send(&pool->wakeup);
}

/* Where a running job is counted. */
static unsigned *counter(const struct entry *entry)
{
	struct lane_stats *stats = &entry->lane->pool->stats;

	return entry->overdue ? &stats->stuck : &stats->busy;
}

static struct entry *begin_job(struct lane_pool *pool)
{
	struct lane *lane = pool->ready;
	struct entry *entry = lane->queue;

	lane->running = entry;
	entry->state = ENTRY_RUNNING;
	unqueue(entry);
	(*counter(entry))++;
	return entry;
}

static void end_job(struct entry *entry)
{
	struct lane *lane = entry->lane;
	struct lane_pool *pool = lane->pool;

	(*counter(entry))--;
	lane->running = NULL;
	update_ready(lane);
	hand_back(entry);
	(void)pthread_cond_signal(&pool->ended);
}

/* Waits for a ready lane; NULL when this thread should end. */
static struct entry *take_job(struct lane_pool *pool)
{
	int64_t until_us = clock_monotonic_us() + IDLE_MS * 1000;

	while (!pool->closing && pool->stats.threads <= thread_limit(pool)) {
		if (pool->ready)
			return begin_job(pool);
		if (clock_monotonic_us() >= until_us)
			return NULL;
		pool->n_idle++;
		wait_until(&pool->work, &pool->lock, until_us);
		pool->n_idle--;
	}
	return NULL;
}

/* Drops the lock while the job works. True when the thread may take another one. */
static bool run_job(struct entry *entry, int setup_errno)
{
	struct lane_pool *pool = entry->lane->pool;
	struct job *job = entry->job;
	bool go_on;

	unlock(pool);
	(void)prctl(PR_SET_NAME, entry->lane->name); /* what hangs shows in ps -L; cut to 15 bytes */
	if (setup_errno != 0)
		entry->result = error_sys(&entry->err, setup_errno, "prepare a thread for lane %s", entry->lane->name);
	else
		entry->result = job->work(job, &entry->err);
	lock(pool);
	go_on = setup_errno == 0 && !job->retire_thread;
	end_job(entry);
	return go_on;
}

static void *serve(void *arg)
{
	struct lane_pool *pool = arg;
	int setup_errno = unshare(CLONE_FS) < 0 ? errno : 0;
	struct entry *entry;

	lock(pool);
	while ((entry = take_job(pool)) && run_job(entry, setup_errno))
		;
	pool->stats.threads--;
	if (pool->ready && !pool->closing)
		(void)provide_thread(pool); /* when that fails, the next submission or deadline tries again */
	(void)pthread_cond_signal(&pool->ended);
	unhold(pool);
	return NULL;
}

/* ---- the loop's side ---- */

/* Tells the job's owner, once. */
static void report(struct entry *entry, int result, const struct error *err)
{
	if (entry->done_called)
		return;
	entry->done_called = true;
	entry->job->done(entry->job, result, err);
}

/* The end of an entry that nobody works on and that is in no queue. */
static void conclude(struct entry *entry)
{
	struct lane_pool *pool = entry->lane->pool;
	struct lane *lane = entry->lane;
	struct job *job = entry->job;

	report(entry, entry->result, &entry->err);
	DL_DELETE2(pool->jobs, entry, prev_job, next_job);
	if (!pool->jobs)
		uv_unref((uv_handle_t *)&pool->wakeup);
	free(entry);
	job->internal = NULL;
	if (job->release)
		job->release(job);
	lane->n_jobs--;
	lane_unref(lane);
}

static struct entry *next_returned(struct lane_pool *pool)
{
	struct entry *entry;

	lock(pool);
	entry = pool->returned;
	if (entry)
		DL_DELETE(pool->returned, entry);
	unlock(pool);
	return entry;
}

static void on_wakeup(uv_async_t *wakeup)
{
	struct entry *entry;

	while ((entry = next_returned(wakeup->data)))
		conclude(entry);
}

/* Called with the lock held. */
static void explain_wait(const struct entry *entry, struct error *err)
{
	const struct lane *lane = entry->lane;
	unsigned deadline_ms = entry->job->deadline_ms;

	if (lane->running)
		(void)error_set(err, ERR_DEADLINE, "did not finish within %u ms: '%s' goes on before it in lane %s", deadline_ms,
				lane->running->job->name, lane->name);
	else
		(void)error_set(err, ERR_DEADLINE, "did not finish within %u ms: no thread became free for lane %s", deadline_ms,
				lane->name);
}

/* The deadline of an entry has passed; it is told so unless its result is on the way already. */
static void overrun(struct lane_pool *pool, struct entry *entry)
{
	struct error err = ERROR_INIT;
	bool drop = false;

	lock(pool);
	if (entry->state == ENTRY_RETURNED) {
		unlock(pool);
		return;
	}
	entry->overdue = true;
	if (entry->state == ENTRY_RUNNING) {
		(void)error_set(&err, ERR_DEADLINE, "did not finish within %u ms", entry->job->deadline_ms);
		pool->stats.busy--;
		pool->stats.stuck++;
	} else {
		explain_wait(entry, &err);
		drop = !entry->job->must_run;
		if (drop)
			unqueue(entry);
	}
	if (pool->ready)
		(void)provide_thread(pool);
	unlock(pool);
	report(entry, -1, &err);
	if (drop)
		conclude(entry);
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct lane_pool *pool, int64_t deadline_us)
{
	int64_t wait_us = deadline_us - clock_monotonic_us();

	if (deadline_us >= pool->timer_us)
		return;
	pool->timer_us = deadline_us;
	uv_update_time(pool->timer.loop);
	(void)uv_timer_start(&pool->timer, on_timer, wait_us > 0 ? (uint64_t)(wait_us + 999) / 1000 : 0, 0);
}

/* Every entry whose deadline has passed. One scan for one timer: jobs are at most a few hundred, deadlines rarely pass. */
static void check_deadlines(struct lane_pool *pool)
{
	int64_t now_us = clock_monotonic_us();
	struct entry *entry, *next;

	DL_FOREACH_SAFE2(pool->jobs, entry, next, next_job)
	{
		if (!entry->done_called && entry->deadline_us <= now_us)
			overrun(pool, entry);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct lane_pool *pool = timer->data;
	struct entry *entry;

	on_wakeup(&pool->wakeup); /* what returned in time is in time */
	check_deadlines(pool);
	pool->timer_us = INT64_MAX;
	DL_FOREACH2(pool->jobs, entry, next_job)
	{
		if (!entry->done_called)
			set_timer(pool, entry->deadline_us);
	}
}

static void init_locks(struct lane_pool *pool)
{
	pthread_condattr_t monotonic;

	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pool->work, &monotonic);
	(void)pthread_cond_init(&pool->ended, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

int lane_pool_open(struct loop *loop, unsigned max_threads, unsigned max_stuck, struct lane_pool **ret_pool, struct error *err)
{
	_cleanup_free_
	struct lane_pool *pool = calloc(1, sizeof(*pool));
	int rc;

	if (!pool)
		return error_sys(err, ENOMEM, "open lane pool");
	rc = uv_async_init(&loop->uv, &pool->wakeup, on_wakeup);
	if (rc < 0)
		return error_sys(err, -rc, "open lane pool");
	(void)uv_timer_init(&loop->uv, &pool->timer);
	uv_unref((uv_handle_t *)&pool->wakeup);
	uv_unref((uv_handle_t *)&pool->timer);
	pool->wakeup.data = pool->timer.data = pool;
	pool->timer_us = INT64_MAX;
	pool->max_threads = max_threads;
	pool->max_stuck = max_stuck;
	pool->holders = 2;
	init_locks(pool);
	*ret_pool = steal_ptr(&pool);
	return 0;
}

void lane_pool_stats(struct lane_pool *pool, struct lane_stats *ret_stats)
{
	lock(pool);
	*ret_stats = pool->stats;
	unlock(pool);
}

int lane_open(struct lane_pool *pool, const char *name, struct lane **ret_lane, struct error *err)
{
	_cleanup_free_
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane || !(lane->name = strdup(name)))
		return error_sys(err, ENOMEM, "open lane %s", name);
	lane->pool = pool;
	pool->n_open++;
	*ret_lane = steal_ptr(&lane);
	return 0;
}

void lane_close(struct lane *lane)
{
	if (!lane)
		return;
	lane->closed = true;
	lane->pool->n_open--;
	lane_unref(lane);
}

/* Called with the lock held. */
static int enqueue(struct entry *entry)
{
	struct lane *lane = entry->lane;
	int rc;

	DL_APPEND(lane->queue, entry);
	lane->pool->stats.queued++;
	update_ready(lane);
	rc = lane->ready ? provide_thread(lane->pool) : 0;
	if (rc != 0)
		unqueue(entry);
	return rc;
}

int lane_submit(struct lane *lane, struct job *job, struct error *err)
{
	struct lane_pool *pool = lane->pool;
	struct entry *entry;
	int rc;

	assert(job->deadline_ms > 0 && !lane->closed);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return error_sys(err, ENOMEM, "queue %s in lane %s", job->name, lane->name);
	*entry = (struct entry){ .job = job, .lane = lane, .deadline_us = clock_monotonic_us() + INT64_C(1000) * job->deadline_ms };
	lock(pool);
	rc = enqueue(entry);
	unlock(pool);
	if (rc != 0) {
		free(entry);
		return error_sys(err, rc, "start a thread for %s in lane %s", job->name, lane->name);
	}
	job->internal = entry;
	lane->n_jobs++;
	if (!pool->jobs)
		uv_ref((uv_handle_t *)&pool->wakeup);
	DL_APPEND2(pool->jobs, entry, prev_job, next_job);
	set_timer(pool, entry->deadline_us);
	return 0;
}

/* Called with the lock held. */
static void cancel_queued(struct entry *entry)
{
	unqueue(entry);
	entry->result = error_set(&entry->err, ERR_CANCELLED, "cancelled before it began");
	hand_back(entry);
}

void lane_cancel(struct lane *lane, struct job *job)
{
	struct entry *entry = job->internal;

	if (!entry)
		return;
	lock(lane->pool);
	if (entry->state == ENTRY_QUEUED && !job->must_run)
		cancel_queued(entry);
	unlock(lane->pool);
}

static void cancel_all(struct lane_pool *pool)
{
	struct entry *entry;

	lock(pool);
	pool->closing = true;
	(void)pthread_cond_broadcast(&pool->work);
	DL_FOREACH2(pool->jobs, entry, next_job)
	{
		if (entry->state == ENTRY_QUEUED)
			cancel_queued(entry);
	}
	unlock(pool);
}

/* Waits a little for a thread to end; false when all that are left are stuck. */
static bool await_thread(struct lane_pool *pool)
{
	bool waited;

	lock(pool);
	waited = pool->stats.threads > pool->stats.stuck;
	if (waited && !pool->returned)
		wait_until(&pool->ended, &pool->lock, clock_monotonic_us() + 10000); /* deadlines pass meanwhile */
	unlock(pool);
	return waited;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct lane_pool *pool = handle->data;

	lock(pool);
	unhold(pool);
}

void lane_pool_close(struct lane_pool *pool)
{
	assert(pool->n_open == 0);
	cancel_all(pool);
	while (await_thread(pool)) {
		on_wakeup(&pool->wakeup);
		check_deadlines(pool);
	}
	on_wakeup(&pool->wakeup);
	lock(pool);
	pool->closed = true;
	if (pool->stats.stuck > 0)
		log_warn("lane", "%u jobs still hang at the end", pool->stats.stuck);
	unlock(pool);
	uv_close((uv_handle_t *)&pool->timer, on_handle_closed);
	uv_close((uv_handle_t *)&pool->wakeup, on_handle_closed);
}
