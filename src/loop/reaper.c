#include "loop/reaper.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <utlist.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

/* One wait of the kernel hands out this many exits; more come with the next turn, since the set is level-triggered (arbitrary). */
#define BATCH 64

/* From the kernel's include/uapi/linux/pidfd.h of 6.15, which Debian bookworm's headers (6.1) do not have yet. */
#define INFO_EXIT (UINT64_C(1) << 3)

struct process_info {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t pids_and_ids[11];
	int32_t exit_code; /* a wait(2) status word; there when INFO_EXIT is in mask */
};

#define GET_INFO _IOWR(0xFF, 11, struct process_info)

struct reaper {
	uv_poll_t poll; /* on epoll_fd */
	uv_timer_t patience;
	unsigned n_handles;
	int epoll_fd;
	unsigned watching;
	struct watch *unreaped;          /* dead, their parents have yet to say so; in the order in which we give up on them */
	struct epoll_event batch[BATCH]; /* being handed out; forgotten watches are taken out of it */
	int n_batch;
};

/* From a wait(2) status word. */
static struct exit_status decode_status(int word)
{
	struct exit_status status = { .known = true };

	if (WIFEXITED(word)) {
		status.code = WEXITSTATUS(word);
	} else {
		status.signal = WTERMSIG(word);
		status.code = 128 + status.signal;
		status.core_dumped = WCOREDUMP(word);
	}
	return status;
}

static struct exit_status decode_siginfo(const siginfo_t *info)
{
	struct exit_status status = { .known = true, .code = info->si_status };

	if (info->si_code != CLD_EXITED) {
		status.signal = info->si_status;
		status.code = 128 + info->si_status;
		status.core_dumped = info->si_code == CLD_DUMPED;
	}
	return status;
}

/*
 * A process that is no child of ours. True when its end is certain; its status may still be unknown.
 *
 * EPOLLIN says that it has ended, EPOLLHUP that its parent has reaped it, and only then the kernel has the status to give. A kernel
 * without the ioctl may be one without EPOLLHUP too (before 6.9): there nothing more can be learned by waiting.
 */
static bool ask_stranger(const struct watch *watch, uint32_t events, struct exit_status *ret_status)
{
	struct process_info info = { .mask = INFO_EXIT };
	bool has_info = ioctl(watch->pidfd, GET_INFO, &info) == 0;

	*ret_status = (struct exit_status){ 0 };
	if (has_info && (info.mask & INFO_EXIT))
		*ret_status = decode_status(info.exit_code);
	return ret_status->known || !has_info || (events & EPOLLHUP);
}

static void on_patience_over(uv_timer_t *timer);

static void arm_patience(struct reaper *reaper)
{
	int64_t left_us = reaper->unreaped ? reaper->unreaped->give_up_us - clock_monotonic_us() : 0;

	if (!reaper->unreaped) {
		(void)uv_timer_stop(&reaper->patience);
		return;
	}
	uv_update_time(reaper->patience.loop);
	(void)uv_timer_start(&reaper->patience, on_patience_over, left_us > 0 ? (uint64_t)left_us / 1000 + 1 : 0, 0);
}

/* Its end is known, its status not before its parent reaps it: from now on only EPOLLHUP, which is always on, wakes us, or the timer. */
static void await_reaping(struct reaper *reaper, struct watch *watch)
{
	struct epoll_event event = { .events = 0, .data.ptr = watch };

	if (watch->prev)
		return;
	if (epoll_ctl(reaper->epoll_fd, EPOLL_CTL_MOD, watch->pidfd, &event) < 0)
		log_error("reaper", "wait for the parent of process %d: %s", (int)watch->pid, strerror(errno));
	watch->give_up_us = clock_monotonic_us() + INT64_C(1000) * REAPER_PATIENCE_MS;
	DL_APPEND(reaper->unreaped, watch);
	arm_patience(reaper);
}

/* True when the process has ended, with its status. */
static bool collect(struct reaper *reaper, struct watch *watch, uint32_t events, struct exit_status *ret_status)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)watch->pidfd, &info, WEXITED | WNOHANG) == 0) {
		*ret_status = decode_siginfo(&info);
		return info.si_pid != 0;
	}
	if (ask_stranger(watch, events, ret_status))
		return true;
	await_reaping(reaper, watch);
	return false;
}

static void hand_out(struct reaper *reaper, const struct epoll_event *event)
{
	struct watch *watch = event->data.ptr;
	struct exit_status status;

	if (!watch || !collect(reaper, watch, event->events, &status))
		return;
	reaper_forget(reaper, watch);
	watch->on_exit(watch, &status);
}

void reaper_scan(struct reaper *reaper)
{
	reaper->n_batch = epoll_wait(reaper->epoll_fd, reaper->batch, BATCH, 0);
	for (int i = 0; i < reaper->n_batch; i++)
		hand_out(reaper, &reaper->batch[i]);
	reaper->n_batch = 0;
}

static void give_up(struct reaper *reaper, struct watch *watch)
{
	struct exit_status status;

	(void)ask_stranger(watch, EPOLLHUP, &status);
	if (!status.known)
		log_warn("reaper", "process %d has ended and its parent does not reap it: its exit status stays unknown",
			 (int)watch->pid);
	reaper_forget(reaper, watch);
	watch->on_exit(watch, &status);
}

static void on_patience_over(uv_timer_t *timer)
{
	struct reaper *reaper = timer->data;
	int64_t now_us = clock_monotonic_us();

	while (reaper->unreaped && reaper->unreaped->give_up_us <= now_us)
		give_up(reaper, reaper->unreaped);
	arm_patience(reaper);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	reaper_scan(poll->data);
}

int reaper_open(struct loop *loop, struct reaper **ret_reaper, struct error *err)
{
	_cleanup_free_
	struct reaper *reaper = calloc(1, sizeof(*reaper));
	_cleanup_fd_ int epoll_fd = -1;
	int rc;

	if (!reaper)
		return error_sys(err, ENOMEM, "open reaper");
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return error_sys(err, errno, "open reaper");
	rc = uv_poll_init(&loop->uv, &reaper->poll, epoll_fd);
	if (rc < 0)
		return error_sys(err, -rc, "poll for process exits");
	(void)uv_timer_init(&loop->uv, &reaper->patience); /* cannot fail (libuv 1.44) */
	reaper->poll.data = reaper->patience.data = reaper;
	reaper->n_handles = 2;
	reaper->epoll_fd = steal_fd(&epoll_fd);
	(void)uv_poll_start(&reaper->poll, UV_READABLE, on_readable);
	uv_unref((uv_handle_t *)&reaper->poll);
	*ret_reaper = steal_ptr(&reaper);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct reaper *reaper = handle->data;

	if (--reaper->n_handles == 0)
		free(reaper);
}

void reaper_close(struct reaper *reaper)
{
	assert(reaper->watching == 0);
	uv_close((uv_handle_t *)&reaper->poll, on_closed);
	uv_close((uv_handle_t *)&reaper->patience, on_closed);
	close_fd(&reaper->epoll_fd);
}

int reaper_watch(struct reaper *reaper, struct watch *watch, struct error *err)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };

	assert(!watch->active);
	if (epoll_ctl(reaper->epoll_fd, EPOLL_CTL_ADD, watch->pidfd, &event) < 0)
		return error_sys(err, errno, "watch process %d", (int)watch->pid);
	watch->active = true;
	watch->prev = watch->next = NULL;
	if (reaper->watching++ == 0)
		uv_ref((uv_handle_t *)&reaper->poll);
	return 0;
}

void reaper_forget(struct reaper *reaper, struct watch *watch)
{
	if (!watch->active)
		return;
	(void)epoll_ctl(reaper->epoll_fd, EPOLL_CTL_DEL, watch->pidfd, NULL);
	watch->active = false;
	if (watch->prev) {
		DL_DELETE(reaper->unreaped, watch);
		watch->prev = watch->next = NULL;
	}
	for (int i = 0; i < reaper->n_batch; i++) {
		if (reaper->batch[i].data.ptr == watch)
			reaper->batch[i].data.ptr = NULL;
	}
	if (--reaper->watching == 0)
		uv_unref((uv_handle_t *)&reaper->poll);
}
