#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "turns.h"

/* Long enough that nobody takes it for lag, however often a busy machine interrupts us. */
#define WAIT_MS 400

static struct loop loop;
static int signals[8];
static unsigned n_signals;

static void on_signal(void *arg, int signo)
{
	assert_ptr_equal(arg, signals);
	if (n_signals < ARRAY_SIZE(signals))
		signals[n_signals++] = signo;
	if (signo == SIGTERM)
		loop_stop(&loop);
}

static int set_up(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	n_signals = 0;
	return loop_init(&loop, on_signal, signals, &err);
}

static int tear_down(void **state)
{
	(void)state;
	loop_release(&loop);
	return 0;
}

/* Nothing that the loop owns itself keeps it running. */
static void test_ends_without_work(void **state)
{
	int64_t began_us = clock_monotonic_us();

	(void)state;
	loop_run(&loop);
	assert_true(clock_monotonic_us() - began_us < 1000000);
}

static void test_signals_are_delivered(void **state)
{
	uv_timer_t keeper;

	(void)state;
	(void)uv_timer_init(&loop.uv, &keeper);
	(void)uv_timer_start(&keeper, on_turn_timer, 5000, 0);
	assert_int_equal(kill(getpid(), SIGHUP), 0);
	assert_int_equal(kill(getpid(), SIGINT), 0);
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	loop_run(&loop);
	uv_close((uv_handle_t *)&keeper, NULL);
	turn(&loop);
	assert_int_equal(n_signals, 3);
	assert_int_equal(signals[0], SIGHUP); /* signalfd hands them out by number */
	assert_int_equal(signals[1], SIGINT);
	assert_int_equal(signals[2], SIGTERM);
}

/* ---- lag ---- */

static void burn_ms(int64_t ms)
{
	int64_t until_us = clock_monotonic_us() + ms * 1000;

	while (clock_monotonic_us() < until_us)
		;
}

static void on_burning_timer(uv_timer_t *timer)
{
	(void)timer;
	burn_ms(15);
}

/* Callbacks of descriptors run inside libuv's poll phase; their time must count all the same. */
static void on_burning_poll(uv_poll_t *poll, int status, int events)
{
	const int *fd = poll->data;
	char byte;

	(void)status;
	(void)events;
	(void)!read(*fd, &byte, 1);
	burn_ms(5);
	(void)uv_poll_stop(poll);
}

static void test_lag_counts_timers(void **state)
{
	uv_timer_t timer;

	(void)state;
	(void)uv_timer_init(&loop.uv, &timer);
	(void)uv_timer_start(&timer, on_burning_timer, WAIT_MS, 0);
	loop_run(&loop);
	uv_close((uv_handle_t *)&timer, NULL);
	turn(&loop);
	assert_true(loop.lag.turns >= 1);
	assert_true(loop.lag.over_10ms >= 1);
	assert_in_range(loop.lag.max_us, 15000, WAIT_MS * 800); /* the wait is not lag */
}

static void test_lag_counts_descriptors(void **state)
{
	int ends[2];
	uv_poll_t poll;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	(void)uv_poll_init(&loop.uv, &poll, ends[0]);
	poll.data = &ends[0];
	(void)uv_poll_start(&poll, UV_READABLE, on_burning_poll);
	loop_run(&loop);
	uv_close((uv_handle_t *)&poll, NULL);
	turn(&loop);
	(void)close(ends[0]);
	(void)close(ends[1]);
	assert_true(loop.lag.over_1ms >= 1);
	assert_true(loop.lag.max_us >= 5000);
}

static void test_time_between_runs_is_no_lag(void **state)
{
	(void)state;
	loop_run(&loop);
	sleep_ms(WAIT_MS);
	loop_run(&loop);
	assert_true(loop.lag.max_us < WAIT_MS * 800);
}

static void test_idle_loop_is_not_late(void **state)
{
	uv_timer_t timer;

	(void)state;
	(void)uv_timer_init(&loop.uv, &timer);
	(void)uv_timer_start(&timer, on_turn_timer, WAIT_MS, 0);
	loop_run(&loop);
	uv_close((uv_handle_t *)&timer, NULL);
	turn(&loop);
	assert_true(loop.lag.total_us < WAIT_MS * 800);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOOP(test_ends_without_work),           WITH_LOOP(test_signals_are_delivered),
		WITH_LOOP(test_lag_counts_timers),           WITH_LOOP(test_lag_counts_descriptors),
		WITH_LOOP(test_time_between_runs_is_no_lag), WITH_LOOP(test_idle_loop_is_not_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
