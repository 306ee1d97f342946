#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/reaper.h"

/* A node runs 110 pods by kubelet's default, each with a lane that is busy for milliseconds around a start or a stop: 64 at a time
 * are more than the disks and the kernel's own locks serve in parallel (limits.md: eight workers on rtnl are no faster than one). */
#define MAX_LANE_THREADS 64

/* As many pods as may hang on one dead server before the healthy ones begin to wait for threads; arbitrary, half of the above. */
#define MAX_STUCK_THREADS 32

/* Close callbacks may close further handles; nothing of ours nests deeper than two, the rest is margin. */
#define CLOSE_TURNS 8

static void measure_turn(struct loop *loop, uint64_t busy_us)
{
	struct loop_lag *lag = &loop->lag;

	lag->turns++;
	lag->total_us += busy_us;
	lag->over_1ms += busy_us > 1000;
	lag->over_10ms += busy_us > 10000;
	if (busy_us > lag->max_us)
		lag->max_us = busy_us;
}

/*
 * A turn lasts from one poll to the next. Callbacks of descriptors run inside libuv's poll phase, so the time between a uv_check and
 * a uv_prepare would miss nearly all of our work; the library's own count of idle time tells the wait from the callbacks.
 */
static void on_before_poll(uv_prepare_t *before_poll)
{
	struct loop *loop = before_poll->data;
	uint64_t now_ns = uv_hrtime();
	uint64_t idle_ns = uv_metrics_idle_time(&loop->uv);

	if (loop->turn_began_ns > 0)
		measure_turn(loop, (now_ns - loop->turn_began_ns - (idle_ns - loop->idle_ns)) / 1000);
	loop->turn_began_ns = now_ns;
	loop->idle_ns = idle_ns;
}

static int watch_lag(struct loop *loop, struct error *err)
{
	int rc = uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);

	if (rc < 0)
		return error_sys(err, -rc, "measure the event loop");
	(void)uv_prepare_init(&loop->uv, &loop->before_poll);
	loop->before_poll.data = loop;
	(void)uv_prepare_start(&loop->before_poll, on_before_poll);
	uv_unref((uv_handle_t *)&loop->before_poll);
	return 0;
}

static void on_signals(uv_poll_t *signals, int status, int events)
{
	struct loop *loop = signals->data;
	struct signalfd_siginfo infos[8];
	bool child_ended = false;
	ssize_t n;

	(void)status;
	(void)events;
	while ((n = read(loop->signal_fd, infos, sizeof(infos))) > 0) {
		for (size_t i = 0; i < (size_t)n / sizeof(infos[0]); i++) {
			if (infos[i].ssi_signo == SIGCHLD)
				child_ended = true;
			else if (loop->on_signal)
				loop->on_signal(loop->on_signal_arg, (int)infos[i].ssi_signo);
		}
	}
	if (child_ended)
		reaper_scan(loop->reaper);
}

static int open_signals(struct loop *loop, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	sigset_t mask;
	int rc;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	rc = pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (rc != 0)
		return error_sys(err, rc, "block signals");
	fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open signalfd");
	rc = uv_poll_init(&loop->uv, &loop->signals, fd);
	if (rc < 0)
		return error_sys(err, -rc, "poll signalfd");
	loop->signals.data = loop;
	loop->signal_fd = steal_fd(&fd);
	(void)uv_poll_start(&loop->signals, UV_READABLE, on_signals);
	uv_unref((uv_handle_t *)&loop->signals);
	return 0;
}

int loop_init(struct loop *loop, loop_signal_cb *on_signal, void *arg, struct error *err)
{
	int rc;

	*loop = (struct loop){ .signal_fd = -1, .on_signal = on_signal, .on_signal_arg = arg };
	rc = uv_loop_init(&loop->uv);
	if (rc < 0)
		return error_sys(err, -rc, "make event loop");
	if (watch_lag(loop, err) < 0 || open_signals(loop, err) < 0 || reaper_open(loop, &loop->reaper, err) < 0 ||
	    lane_pool_open(loop, MAX_LANE_THREADS, MAX_STUCK_THREADS, &loop->lanes, err) < 0) {
		loop_release(loop);
		return -1;
	}
	return 0;
}

void loop_run(struct loop *loop)
{
	loop->turn_began_ns = 0; /* the time since a former run is nobody's lag */
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

static void report_open_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	log_error("loop", "a %s handle is still open at the end", uv_handle_type_name(handle->type));
}

void loop_release(struct loop *loop)
{
	int rc;

	if (loop->lanes)
		lane_pool_close(loop->lanes);
	if (loop->reaper)
		reaper_close(loop->reaper);
	if (loop->signal_fd >= 0)
		uv_close((uv_handle_t *)&loop->signals, NULL);
	if (loop->before_poll.data)
		uv_close((uv_handle_t *)&loop->before_poll, NULL);
	for (int turn = 0; (rc = uv_loop_close(&loop->uv)) == UV_EBUSY && turn < CLOSE_TURNS; turn++)
		(void)uv_run(&loop->uv, UV_RUN_NOWAIT);
	if (rc == UV_EBUSY)
		uv_walk(&loop->uv, report_open_handle, NULL);
	close_fd(&loop->signal_fd);
	loop->lanes = NULL;
	loop->reaper = NULL;
}
