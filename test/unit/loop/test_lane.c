#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "turns.h"

/* A pool of our own beside the loop's, with small limits. */
#define MAX_THREADS 3
#define MAX_STUCK 2
#define LONG_MS 30000
#define SHORT_MS 30

struct work {
	struct job job;
	sem_t *gate; /* waited for, when set */
	int result;
	unsigned number;
	pthread_t thread;
	char thread_name[16];
	atomic_bool began;
	bool done, released;
	unsigned n_done, n_released;
	int seen_result;
	struct error seen;
};

static struct loop loop;
static struct lane_pool *pool;
static struct lane *lanes[8];
static sem_t gate;

/* The order in which jobs ran; they write under the lock of nobody but their own lane. */
static unsigned order[1000];
static atomic_uint n_order;
static atomic_uint n_inside, most_inside;

static int do_work(struct job *job, struct error *err)
{
	struct work *work = (struct work *)job;
	unsigned inside = atomic_fetch_add(&n_inside, 1) + 1;
	unsigned most = atomic_load(&most_inside);

	while (inside > most && !atomic_compare_exchange_weak(&most_inside, &most, inside))
		;
	work->thread = pthread_self();
	(void)prctl(PR_GET_NAME, work->thread_name);
	order[atomic_fetch_add(&n_order, 1)] = work->number;
	atomic_store(&work->began, true);
	if (work->gate)
		(void)sem_wait(work->gate);
	atomic_fetch_sub(&n_inside, 1);
	return work->result == 0 ? 0 : error_set(err, ERR_DENIED, "job %u fails", work->number);
}

static void on_done(struct job *job, int result, const struct error *err)
{
	struct work *work = (struct work *)job;

	assert_false(work->released);
	work->done = true;
	work->n_done++;
	work->seen_result = result;
	work->seen = *err;
}

static void on_release(struct job *job)
{
	struct work *work = (struct work *)job;

	assert_true(work->done);
	work->released = true;
	work->n_released++;
}

static void submit(struct lane *lane, struct work *work, unsigned deadline_ms)
{
	struct error err = ERROR_INIT;

	work->job.name = "work";
	work->job.work = work->job.work ? work->job.work : do_work;
	work->job.done = on_done;
	work->job.release = on_release;
	work->job.deadline_ms = deadline_ms;
	assert_int_equal(lane_submit(lane, &work->job, &err), 0);
}

static void assert_ended(struct work *work, int result)
{
	assert_true(turn_until(&loop, &work->released, MANY_TURNS));
	assert_int_equal(work->n_done, 1);
	assert_int_equal(work->n_released, 1);
	assert_int_equal(work->seen_result, result);
	assert_null(work->job.internal);
}

static void await_begun(struct work *work)
{
	for (unsigned i = 0; i < MANY_TURNS && !atomic_load(&work->began); i++)
		turn(&loop);
	assert_true(atomic_load(&work->began));
}

static struct lane_stats stats_now(void)
{
	struct lane_stats stats;

	lane_pool_stats(pool, &stats);
	return stats;
}

static int set_up(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	atomic_store(&n_order, 0);
	atomic_store(&most_inside, 0);
	(void)sem_init(&gate, 0, 0);
	if (loop_init(&loop, NULL, NULL, &err) < 0 || lane_pool_open(&loop, MAX_THREADS, MAX_STUCK, &pool, &err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "test-%zu", i);
		if (lane_open(pool, name, &lanes[i], &err) < 0)
			return -1;
	}
	return 0;
}

static void close_lanes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++) {
		lane_close(lanes[i]);
		lanes[i] = NULL;
	}
}

static int tear_down(void **state)
{
	(void)state;
	close_lanes();
	if (pool)
		lane_pool_close(pool);
	pool = NULL;
	loop_release(&loop);
	(void)sem_destroy(&gate);
	return 0;
}

static void test_results(void **state)
{
	struct work good = { .number = 1 };
	struct work bad = { .number = 2, .result = -1 };

	(void)state;
	submit(lanes[0], &good, LONG_MS);
	submit(lanes[0], &bad, LONG_MS);
	assert_false(good.done);
	assert_ended(&good, 0);
	assert_ended(&bad, -1);
	assert_int_equal(bad.seen.code, ERR_DENIED);
	assert_string_equal(bad.seen.text, "job 2 fails");
	assert_false(pthread_equal(good.thread, pthread_self()));
	assert_string_equal(good.thread_name, "test-0");
}

static void test_order_within_a_lane(void **state)
{
	enum { N = 200 };
	struct work *all = calloc(N, sizeof(*all));

	(void)state;
	assert_non_null(all);
	for (unsigned i = 0; i < N; i++) {
		all[i].number = i;
		submit(lanes[0], &all[i], LONG_MS);
	}
	for (unsigned i = 0; i < N; i++)
		assert_ended(&all[i], 0);
	assert_int_equal(atomic_load(&n_order), N);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(order[i], i);
	assert_int_equal(atomic_load(&most_inside), 1);
	assert_int_equal(stats_now().threads, 1);
	free(all);
}

static void test_lanes_run_at_the_same_time(void **state)
{
	struct work all[MAX_THREADS + 1] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i].gate = &gate;
		submit(lanes[i], &all[i], LONG_MS);
	}
	for (size_t i = 0; i < MAX_THREADS; i++)
		await_begun(&all[i]);
	assert_int_equal(atomic_load(&most_inside), MAX_THREADS);
	assert_false(atomic_load(&all[MAX_THREADS].began)); /* the limit */
	assert_int_equal(stats_now().busy, MAX_THREADS);
	assert_int_equal(stats_now().queued, 1);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		(void)sem_post(&gate);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_ended(&all[i], 0);
	assert_int_equal(atomic_load(&most_inside), MAX_THREADS);
	assert_int_equal(stats_now().busy, 0);
}

static void test_many_jobs_in_many_lanes(void **state)
{
	enum { N = 800 };
	struct work *all = calloc(N, sizeof(*all));
	unsigned last[ARRAY_SIZE(lanes)] = { 0 };

	(void)state;
	assert_non_null(all);
	for (unsigned i = 0; i < N; i++) {
		all[i].number = i;
		submit(lanes[i % ARRAY_SIZE(lanes)], &all[i], LONG_MS);
	}
	for (unsigned i = 0; i < N; i++)
		assert_ended(&all[i], 0);
	for (unsigned i = 0; i < N; i++) {
		unsigned lane = order[i] % (unsigned)ARRAY_SIZE(lanes);

		assert_true(last[lane] <= order[i]);
		last[lane] = order[i];
	}
	assert_in_range(atomic_load(&most_inside), 1, MAX_THREADS);
	free(all);
}

static void test_deadline_of_a_running_job(void **state)
{
	struct work hung = { .gate = &gate, .number = 1 };
	struct work behind = { .number = 2 };
	int64_t began_us = clock_monotonic_us();

	(void)state;
	submit(lanes[0], &hung, SHORT_MS);
	submit(lanes[0], &behind, LONG_MS);
	assert_true(turn_until(&loop, &hung.done, MANY_TURNS));
	assert_in_range((uint64_t)(clock_monotonic_us() - began_us), SHORT_MS * 1000, 5000000);
	assert_int_equal(hung.seen_result, -1);
	assert_int_equal(hung.seen.code, ERR_DEADLINE);
	assert_string_equal(hung.seen.text, "did not finish within 30 ms");
	assert_int_equal(stats_now().stuck, 1);
	assert_int_equal(stats_now().busy, 0);
	for (int i = 0; i < 5; i++)
		turn(&loop);
	assert_false(hung.released);
	assert_false(atomic_load(&behind.began)); /* its lane is still held */
	(void)sem_post(&gate);
	assert_ended(&hung, -1);
	assert_ended(&behind, 0);
	assert_int_equal(stats_now().stuck, 0);
}

static void test_deadline_of_a_queued_job(void **state)
{
	struct work first = { .gate = &gate };
	struct work queued = { 0 };

	(void)state;
	submit(lanes[0], &first, LONG_MS);
	submit(lanes[0], &queued, SHORT_MS);
	assert_ended(&queued, -1);
	assert_int_equal(queued.seen.code, ERR_DEADLINE);
	assert_string_equal(queued.seen.text, "did not finish within 30 ms: 'work' goes on before it in lane test-0");
	(void)sem_post(&gate);
	assert_ended(&first, 0);
	assert_false(atomic_load(&queued.began));
	assert_int_equal(stats_now().queued, 0);
}

static void test_must_run_begins_late(void **state)
{
	struct work first = { .gate = &gate };
	struct work undo = { .job.must_run = true };

	(void)state;
	submit(lanes[0], &first, LONG_MS);
	submit(lanes[0], &undo, SHORT_MS);
	lane_cancel(lanes[0], &undo.job);
	assert_true(turn_until(&loop, &undo.done, MANY_TURNS));
	assert_int_equal(undo.seen.code, ERR_DEADLINE);
	assert_false(undo.released);
	(void)sem_post(&gate);
	assert_ended(&first, 0);
	assert_ended(&undo, -1);
	assert_true(atomic_load(&undo.began));
	assert_int_equal(stats_now().stuck, 0);
}

/* Hung threads are replaced up to MAX_STUCK. When they come back, there are too many of them, and they end. */
static void test_stuck_threads_are_replaced(void **state)
{
	struct work hung[MAX_THREADS + 1] = { 0 };
	struct work next = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++) {
		hung[i].gate = &gate;
		submit(lanes[i], &hung[i], SHORT_MS);
		await_begun(&hung[i]);
		assert_true(turn_until(&loop, &hung[i].done, MANY_TURNS));
	}
	assert_int_equal(stats_now().stuck, MAX_THREADS + 1);
	submit(lanes[6], &next, LONG_MS);
	assert_ended(&next, 0);
	assert_int_equal(stats_now().threads, MAX_THREADS + 2);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		(void)sem_post(&gate);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		assert_ended(&hung[i], -1);
	for (unsigned i = 0; i < MANY_TURNS && stats_now().threads > MAX_THREADS; i++)
		turn(&loop);
	assert_int_equal(stats_now().threads, MAX_THREADS);
	assert_int_equal(stats_now().stuck, 0);
}

/* A lane that waits for a thread gets one as soon as another counts as stuck. */
static void test_waiting_lane_gets_a_replacement(void **state)
{
	struct work hung[MAX_THREADS] = { 0 };
	struct work waiting = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++) {
		hung[i].gate = &gate;
		submit(lanes[i], &hung[i], i == 0 ? SHORT_MS * 4 : LONG_MS);
		await_begun(&hung[i]);
	}
	submit(lanes[5], &waiting, LONG_MS);
	assert_ended(&waiting, 0);
	assert_true(hung[0].done);
	assert_int_equal(stats_now().stuck, 1);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		(void)sem_post(&gate);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		assert_ended(&hung[i], i == 0 ? -1 : 0);
}

static void test_past_both_limits_jobs_wait(void **state)
{
	struct work hung[MAX_THREADS + MAX_STUCK] = { 0 };
	struct work next = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++) {
		hung[i].gate = &gate;
		submit(lanes[i], &hung[i], SHORT_MS);
		await_begun(&hung[i]);
		assert_true(turn_until(&loop, &hung[i].done, MANY_TURNS));
	}
	assert_int_equal(stats_now().stuck, MAX_THREADS + MAX_STUCK);
	assert_int_equal(stats_now().threads, MAX_THREADS + MAX_STUCK);
	submit(lanes[5], &next, SHORT_MS);
	assert_ended(&next, -1);
	assert_string_equal(next.seen.text, "did not finish within 30 ms: no thread became free for lane test-5");
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		(void)sem_post(&gate);
	for (size_t i = 0; i < ARRAY_SIZE(hung); i++)
		assert_ended(&hung[i], -1);
}

static void test_cancel(void **state)
{
	struct work running = { .gate = &gate };
	struct work queued = { 0 };
	struct work last = { .number = 3 };

	(void)state;
	submit(lanes[0], &running, LONG_MS);
	submit(lanes[0], &queued, LONG_MS);
	submit(lanes[0], &last, LONG_MS);
	await_begun(&running);
	lane_cancel(lanes[0], &queued.job);
	lane_cancel(lanes[0], &queued.job);
	lane_cancel(lanes[0], &running.job);
	assert_false(queued.done); /* never from inside */
	assert_ended(&queued, -1);
	assert_int_equal(queued.seen.code, ERR_CANCELLED);
	assert_false(running.done);
	lane_cancel(lanes[0], &queued.job); /* over: harmless */
	(void)sem_post(&gate);
	assert_ended(&running, 0);
	assert_ended(&last, 0);
	assert_false(atomic_load(&queued.began));
}

static void test_cancel_of_the_only_job(void **state)
{
	struct work blockers[MAX_THREADS] = { 0 };
	struct work queued = { 0 };
	struct work after = { 0 };

	(void)state;
	for (size_t i = 0; i < MAX_THREADS; i++) {
		blockers[i].gate = &gate;
		submit(lanes[i], &blockers[i], LONG_MS);
		await_begun(&blockers[i]);
	}
	submit(lanes[4], &queued, LONG_MS); /* its lane is ready, but there is no thread */
	lane_cancel(lanes[4], &queued.job);
	submit(lanes[4], &after, LONG_MS);
	assert_ended(&queued, -1);
	for (size_t i = 0; i < MAX_THREADS; i++)
		(void)sem_post(&gate);
	assert_ended(&after, 0);
	for (size_t i = 0; i < MAX_THREADS; i++)
		assert_ended(&blockers[i], 0);
}

static void test_lane_closed_with_jobs(void **state)
{
	struct work first = { .gate = &gate };
	struct work second = { 0 };

	(void)state;
	submit(lanes[0], &first, LONG_MS);
	submit(lanes[0], &second, LONG_MS);
	lane_close(lanes[0]);
	lanes[0] = NULL;
	(void)sem_post(&gate);
	assert_ended(&first, 0);
	assert_ended(&second, 0); /* ran all the same; the lane's memory is the sanitizer's to check */
}

/* ---- threads ---- */

static int change_directory(struct job *job, struct error *err)
{
	(void)job;
	if (chdir("/proc") < 0 || umask(0777) == 0777)
		return error_set(err, ERR_INTERNAL, "chdir");
	return 0;
}

static void test_threads_have_their_own_directory(void **state)
{
	struct work work = { .job.work = change_directory };
	char before[PATH_MAX], after[PATH_MAX];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	submit(lanes[0], &work, LONG_MS);
	assert_ended(&work, 0);
	assert_non_null(getcwd(after, sizeof(after)));
	assert_string_equal(before, after);
}

static int check_signals(struct job *job, struct error *err)
{
	sigset_t mask;

	(void)job;
	if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0)
		return error_set(err, ERR_INTERNAL, "no mask");
	for (int signo = 1; signo < 32; signo++) {
		if (signo != SIGKILL && signo != SIGSTOP && !sigismember(&mask, signo))
			return error_set(err, ERR_INTERNAL, "signal %d is not blocked", signo);
	}
	return 0;
}

static void test_threads_block_signals(void **state)
{
	struct work work = { .job.work = check_signals };

	(void)state;
	submit(lanes[0], &work, LONG_MS);
	assert_ended(&work, 0);
}

static int use_stack(struct job *job, struct error *err)
{
	volatile char paths[32][PATH_MAX];

	(void)job;
	(void)err;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		paths[i][0] = (char)i;
	return paths[3][0] - 3;
}

static void test_threads_have_enough_stack(void **state)
{
	struct work work = { .job.work = use_stack };

	(void)state;
	submit(lanes[0], &work, LONG_MS);
	assert_ended(&work, 0);
}

static int retire(struct job *job, struct error *err)
{
	job->retire_thread = true;
	return do_work(job, err);
}

static void test_retired_threads_end(void **state)
{
	struct work first = { .job.work = retire, .number = 1 };
	struct work second = { .job.work = retire, .number = 2 };

	(void)state;
	submit(lanes[0], &first, LONG_MS);
	submit(lanes[0], &second, LONG_MS);
	assert_ended(&first, 0);
	assert_ended(&second, 0); /* by another thread */
	for (unsigned i = 0; i < MANY_TURNS && stats_now().threads > 0; i++)
		turn(&loop);
	assert_int_equal(stats_now().threads, 0);
}

static void test_idle_threads_end(void **state)
{
	struct work work = { 0 };

	(void)state;
	submit(lanes[0], &work, LONG_MS);
	assert_ended(&work, 0);
	assert_int_equal(stats_now().threads, 1);
	for (unsigned i = 0; i < 1200 && stats_now().threads > 0; i++)
		turn(&loop);
	assert_int_equal(stats_now().threads, 0);
	work = (struct work){ 0 };
	submit(lanes[0], &work, LONG_MS); /* and come back */
	assert_ended(&work, 0);
}

static void test_idle_threads_are_reused(void **state)
{
	struct work first = { 0 }, second = { 0 };

	(void)state;
	submit(lanes[0], &first, LONG_MS);
	assert_ended(&first, 0);
	submit(lanes[1], &second, LONG_MS);
	assert_ended(&second, 0);
	assert_true(pthread_equal(first.thread, second.thread));
	assert_int_equal(stats_now().threads, 1);
}

/* ---- the end ---- */

static void test_jobs_keep_the_loop_running(void **state)
{
	struct work work = { 0 };

	(void)state;
	submit(lanes[0], &work, LONG_MS);
	loop_run(&loop); /* ends by itself, after the job */
	assert_true(work.released);
}

static void *open_gate_later(void *arg)
{
	(void)arg;
	sleep_ms(50);
	(void)sem_post(&gate);
	return NULL;
}

static void test_close_waits_for_running_jobs(void **state)
{
	struct work running = { .gate = &gate };
	struct work queued = { 0 };
	pthread_t opener;

	(void)state;
	submit(lanes[0], &running, LONG_MS);
	submit(lanes[0], &queued, LONG_MS);
	await_begun(&running);
	assert_int_equal(pthread_create(&opener, NULL, open_gate_later, NULL), 0);
	close_lanes();
	lane_pool_close(pool);
	pool = NULL;
	assert_int_equal(pthread_join(opener, NULL), 0);
	assert_true(running.released);
	assert_int_equal(running.seen_result, 0);
	assert_true(queued.released);
	assert_int_equal(queued.seen.code, ERR_CANCELLED);
	assert_false(atomic_load(&queued.began));
}

static pthread_key_t kept_per_thread;
static atomic_uint n_given_back;

static void give_back(void *value)
{
	(void)value;
	sleep_ms(50); /* long enough to be missed */
	atomic_fetch_add(&n_given_back, 1);
}

static int keep_per_thread(struct job *job, struct error *err)
{
	(void)pthread_setspecific(kept_per_thread, job);
	return do_work(job, err);
}

/* As OpenSSL keeps random generators: what is left when the process ends is leaked. */
static void test_close_outlasts_what_threads_keep(void **state)
{
	struct work work[3] = { 0 };

	(void)state;
	assert_int_equal(pthread_key_create(&kept_per_thread, give_back), 0);
	for (unsigned i = 0; i < 3; i++) {
		work[i].job.work = keep_per_thread;
		work[i].gate = &gate;
		submit(lanes[i], &work[i], LONG_MS);
	}
	for (unsigned i = 0; i < 3; i++)
		await_begun(&work[i]);
	for (unsigned i = 0; i < 3; i++)
		(void)sem_post(&gate);
	close_lanes();
	lane_pool_close(pool);
	pool = NULL;
	assert_int_equal(atomic_load(&n_given_back), 3);
	assert_int_equal(pthread_key_delete(kept_per_thread), 0);
}

static void test_close_gives_up_on_stuck_jobs(void **state)
{
	static struct work hung; /* never released: nobody tells when the thread lets go of it */
	int64_t began_us = clock_monotonic_us();

	(void)state;
	hung.gate = &gate;
	submit(lanes[0], &hung, SHORT_MS);
	await_begun(&hung);
	close_lanes();
	lane_pool_close(pool);
	pool = NULL;
	assert_true(clock_monotonic_us() - began_us < 5000000);
	assert_true(hung.done);
	assert_int_equal(hung.seen.code, ERR_DEADLINE);
	assert_false(hung.released);
	turn(&loop); /* the handles are gone before the thread comes back */
	(void)sem_post(&gate);
	while (atomic_load(&n_inside) > 0)
		sleep_ms(1);
	sleep_ms(20);
	assert_false(hung.released);
}

#define IN_POOL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_POOL(test_results),
		IN_POOL(test_order_within_a_lane),
		IN_POOL(test_lanes_run_at_the_same_time),
		IN_POOL(test_many_jobs_in_many_lanes),
		IN_POOL(test_deadline_of_a_running_job),
		IN_POOL(test_deadline_of_a_queued_job),
		IN_POOL(test_must_run_begins_late),
		IN_POOL(test_stuck_threads_are_replaced),
		IN_POOL(test_waiting_lane_gets_a_replacement),
		IN_POOL(test_past_both_limits_jobs_wait),
		IN_POOL(test_cancel),
		IN_POOL(test_cancel_of_the_only_job),
		IN_POOL(test_lane_closed_with_jobs),
		IN_POOL(test_threads_have_their_own_directory),
		IN_POOL(test_threads_block_signals),
		IN_POOL(test_threads_have_enough_stack),
		IN_POOL(test_retired_threads_end),
		IN_POOL(test_idle_threads_end),
		IN_POOL(test_idle_threads_are_reused),
		IN_POOL(test_jobs_keep_the_loop_running),
		IN_POOL(test_close_waits_for_running_jobs),
		IN_POOL(test_close_outlasts_what_threads_keep),
		IN_POOL(test_close_gives_up_on_stuck_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
