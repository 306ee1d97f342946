/* Running a loop for a bounded number of turns, so that a test which waits for something that never comes ends. */
#ifndef MONOPOD_TEST_TURNS_H
#define MONOPOD_TEST_TURNS_H

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "loop/loop.h"

/* Far more than any test needs; each turn waits TURN_MS at most. */
#define MANY_TURNS 1000
#define TURN_MS 10

static void on_turn_timer(uv_timer_t *timer)
{
	(void)timer;
}

static void on_turn_closed(uv_handle_t *timer)
{
	free(timer);
}

/* One turn that waits for an event, but not for longer than TURN_MS. */
static inline void turn(struct loop *loop)
{
	uv_timer_t *timer = malloc(sizeof(*timer));

	if (!timer)
		abort();
	(void)uv_timer_init(&loop->uv, timer);
	(void)uv_timer_start(timer, on_turn_timer, TURN_MS, TURN_MS); /* again: uv_run() runs what is due before it waits */
	(void)uv_run(&loop->uv, UV_RUN_ONCE);
	uv_close((uv_handle_t *)timer, on_turn_closed);
	(void)uv_run(&loop->uv, UV_RUN_NOWAIT);
}

/* True when *done became true within `max` turns. */
static inline bool turn_until(struct loop *loop, const bool *done, unsigned max)
{
	for (unsigned i = 0; i < max && !*done; i++)
		turn(loop);
	return *done;
}

static inline void sleep_ms(unsigned ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&wait, NULL);
}

#endif
