#include "loop/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/lane_internal.h"
#include "loop/loop.h"

/* Tells the job's owner, once. */
static void report(struct entry *entry, int result, const struct error *err)
{
	if (entry->done_called)
		return;
	entry->done_called = true;
	entry->job->done(entry->job, result, err);
}

/* The lane vanishes with its last job once it is closed. */
void lane_free_unused(struct lane *lane)
{
	if (!lane->closed || lane->n_jobs > 0)
		return;
	free(lane->name);
	free(lane);
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
	lane_free_unused(lane);
}

static struct entry *next_returned(struct lane_pool *pool)
{
	struct entry *entry;

	lane_lock(pool);
	entry = pool->returned;
	if (entry)
		DL_DELETE(pool->returned, entry);
	lane_unlock(pool);
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

	lane_lock(pool);
	if (entry->state == ENTRY_RETURNED) {
		lane_unlock(pool);
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
			entry_unqueue(entry);
	}
	if (pool->ready)
		(void)lane_pool_provide_threads(pool, pool->n_ready);
	lane_unlock(pool);
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

	for (entry = pool->jobs; entry; entry = next) {
		next = entry->next_job;
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
	for (entry = pool->jobs; entry; entry = entry->next_job) {
		if (!entry->done_called)
			set_timer(pool, entry->deadline_us);
	}
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
	lane_pool_init_locks(pool);
	*ret_pool = steal_ptr(&pool);
	return 0;
}

void lane_pool_stats(struct lane_pool *pool, struct lane_stats *ret_stats)
{
	lane_lock(pool);
	*ret_stats = pool->stats;
	lane_unlock(pool);
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
	lane_free_unused(lane);
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
	lane_lock(pool);
	rc = entry_enqueue(entry);
	lane_unlock(pool);
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
	entry_unqueue(entry);
	entry->result = error_set(&entry->err, ERR_CANCELLED, "cancelled before it began");
	entry_hand_back(entry);
}

void lane_cancel(struct lane *lane, struct job *job)
{
	struct entry *entry = job->internal;

	if (!entry)
		return;
	lane_lock(lane->pool);
	if (entry->state == ENTRY_QUEUED && !job->must_run)
		cancel_queued(entry);
	lane_unlock(lane->pool);
}

static void cancel_all(struct lane_pool *pool)
{
	struct entry *entry;

	lane_lock(pool);
	pool->closing = true;
	(void)pthread_cond_broadcast(&pool->work);
	for (entry = pool->jobs; entry; entry = entry->next_job) {
		if (entry->state == ENTRY_QUEUED)
			cancel_queued(entry);
	}
	lane_unlock(pool);
}

/* Waits a little for a thread to end; false when all that are left are stuck. */
static bool await_thread(struct lane_pool *pool)
{
	bool waited;

	lane_lock(pool);
	waited = pool->stats.threads > pool->stats.stuck;
	if (waited && !pool->returned)
		lane_pool_wait_ended(pool, clock_monotonic_us() + 10000); /* deadlines pass meanwhile */
	lane_unlock(pool);
	return waited;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct lane_pool *pool = handle->data;

	lane_lock(pool);
	lane_pool_unhold(pool);
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
	lane_lock(pool);
	pool->closed = true;
	if (pool->stats.stuck > 0)
		log_warn("lane", "%u jobs still hang at the end", pool->stats.stuck);
	lane_pool_join_last(pool);
	uv_close((uv_handle_t *)&pool->timer, on_handle_closed);
	uv_close((uv_handle_t *)&pool->wakeup, on_handle_closed);
}
