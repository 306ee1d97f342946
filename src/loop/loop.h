/*
 * The event loop: one libuv loop, its signals, and the measure of how late it is.
 *
 * All of monopod's state is touched by the loop thread alone. What may block runs in a lane (lane.h) and comes back as a callback on
 * this thread. loop_init() blocks SIGCHLD, SIGTERM, SIGINT and SIGHUP for the calling thread, so call it before any thread is made:
 * they arrive through one signalfd (reaper.h takes SIGCHLD).
 */
#ifndef MONOPOD_LOOP_LOOP_H
#define MONOPOD_LOOP_LOOP_H

#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct reaper;
struct lane_pool;

/* How late callbacks run: the time that one turn of the loop spent outside the poll. */
struct loop_lag {
	uint64_t turns;
	uint64_t max_us;
	uint64_t total_us;
	uint64_t over_1ms; /* turns that kept others waiting for more than that */
	uint64_t over_10ms;
};

typedef void loop_signal_cb(void *arg, int signo);

struct loop {
	uv_loop_t uv;
	struct reaper *reaper;
	struct lane_pool *lanes;
	struct loop_lag lag;
	/* private to loop.c from here on */
	uv_prepare_t before_poll;
	uv_poll_t signals;
	int signal_fd;
	uint64_t turn_began_ns;
	uint64_t idle_ns;
	loop_signal_cb *on_signal;
	void *on_signal_arg;
};

/* `on_signal` gets SIGTERM, SIGINT and SIGHUP. */
int loop_init(struct loop *loop, loop_signal_cb *on_signal, void *arg, struct error *err);

/* Runs until loop_stop() or until no handle is active. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* After all owners closed their handles; drains the close callbacks. */
void loop_release(struct loop *loop);

#endif
