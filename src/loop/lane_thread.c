/*
 * The threads of the lanes, and the lists that they and the loop share. All of this runs with the pool's lock held, except the jobs.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "loop/lane_internal.h"

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

static void *serve(void *arg);

/* ---- the pool's life ---- */

void lane_pool_init_locks(struct lane_pool *pool)
{
	pthread_condattr_t monotonic;

	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pool->work, &monotonic);
	(void)pthread_cond_init(&pool->ended, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

/* What hung when the pool was closed and has returned since: nobody is left to hear of it. */
static void forget_returned(struct lane_pool *pool)
{
	struct entry *entry, *next;

	DL_FOREACH_SAFE (pool->returned, entry, next) {
		entry->lane->n_jobs--;
		lane_free_unused(entry->lane);
		free(entry);
	}
}

void lane_pool_unhold(struct lane_pool *pool)
{
	bool last = --pool->holders == 0;

	lane_unlock(pool);
	if (!last)
		return;
	forget_returned(pool);
	(void)pthread_cond_destroy(&pool->ended);
	(void)pthread_cond_destroy(&pool->work);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void wait_until(struct lane_pool *pool, pthread_cond_t *cond, int64_t until_us)
{
	struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };

	(void)pthread_cond_timedwait(cond, &pool->lock, &until);
}

void lane_pool_wait_ended(struct lane_pool *pool, int64_t until_us)
{
	wait_until(pool, &pool->ended, until_us);
}

/* The calling thread becomes the one to join, and whom it found in that place it joins: so at most one waits, whatever comes and goes. */
static void leave(struct lane_pool *pool)
{
	pthread_t before = pool->last;
	bool has_before = pool->has_last;

	pool->last = pthread_self();
	pool->has_last = !pool->closed;
	if (pool->closed)
		(void)pthread_detach(pthread_self()); /* it hung when the pool was closed: nobody is left to join it */
	lane_pool_unhold(pool);
	if (has_before)
		(void)pthread_join(before, NULL);
}

void lane_pool_join_last(struct lane_pool *pool)
{
	pthread_t last = pool->last;
	bool has_last = pool->has_last;

	pool->has_last = false;
	lane_unlock(pool);
	if (has_last)
		(void)pthread_join(last, NULL);
}

/* ---- who is served ---- */

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
	rc = pthread_create(&thread, &attr, serve, pool);
	(void)pthread_attr_destroy(&attr);
	if (rc == 0) {
		pool->stats.threads++;
		pool->n_starting++;
		pool->holders++;
	}
	return rc;
}

int lane_pool_provide_threads(struct lane_pool *pool, unsigned n_ready)
{
	int rc = 0;

	if (n_ready <= pool->n_idle + pool->n_starting) {
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

void entry_unqueue(struct entry *entry)
{
	DL_DELETE(entry->lane->queue, entry);
	entry->lane->pool->stats.queued--;
	update_ready(entry->lane);
}

int entry_enqueue(struct entry *entry)
{
	struct lane *lane = entry->lane;
	struct lane_pool *pool = lane->pool;
	int rc = lane->running ? 0 : lane_pool_provide_threads(pool, pool->n_ready + !lane->ready);

	if (rc != 0)
		return rc;
	DL_APPEND(lane->queue, entry);
	pool->stats.queued++;
	update_ready(lane);
	return 0;
}

void entry_hand_back(struct entry *entry)
{
	struct lane_pool *pool = entry->lane->pool;

	entry->state = ENTRY_RETURNED;
	DL_APPEND(pool->returned, entry);
	if (!pool->closed)
		(void)uv_async_send(&pool->wakeup);
}

/* ---- a thread ---- */

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
	entry_unqueue(entry);
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
	entry_hand_back(entry);
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
		wait_until(pool, &pool->work, until_us);
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

	lane_unlock(pool);
	(void)prctl(PR_SET_NAME, entry->lane->name); /* what hangs shows in ps -L; cut to 15 bytes */
	if (setup_errno != 0)
		entry->result = error_sys(&entry->err, setup_errno, "prepare a thread for lane %s", entry->lane->name);
	else
		entry->result = job->work(job, &entry->err);
	lane_lock(pool);
	go_on = setup_errno == 0 && !job->retire_thread;
	end_job(entry);
	return go_on;
}

static void *serve(void *arg)
{
	struct lane_pool *pool = arg;
	int setup_errno = unshare(CLONE_FS) < 0 ? errno : 0;
	struct entry *entry;

	lane_lock(pool);
	pool->n_starting--;
	while ((entry = take_job(pool)) && run_job(entry, setup_errno))
		;
	pool->stats.threads--;
	if (pool->ready && !pool->closing)
		(void)lane_pool_provide_threads(pool,
						pool->n_ready); /* when that fails, the next submission or deadline tries again */
	(void)pthread_cond_signal(&pool->ended);
	leave(pool);
	return NULL;
}
