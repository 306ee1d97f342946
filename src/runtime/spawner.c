#include "runtime/spawner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runtime/kernel.h"
#include "runtime/launch.h"

/* A killed process is dead within microseconds unless something holds it; then it is not waited for here (arbitrary). */
#define DEATH_TIMEOUT_MS 2000

static void release(struct spawner *spawner)
{
	while (spawner->stragglers) {
		struct straggler *s = spawner->stragglers;

		spawner->stragglers = s->next;
		close_fd(&s->pidfd);
		free(s);
	}
	if (spawner->stack && spawner->stack != MAP_FAILED)
		(void)munmap(spawner->stack, LAUNCH_STACK_SIZE);
	(void)pthread_cond_destroy(&spawner->over);
	(void)pthread_cond_destroy(&spawner->wake);
	(void)pthread_mutex_destroy(&spawner->lock);
	free(spawner);
}

static void init_conditions(struct spawner *spawner)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&spawner->over, &attr);
	(void)pthread_cond_init(&spawner->wake, NULL);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&spawner->lock, NULL);
}

/* The thread and its children take no signals: they inherit this mask. */
static int start_thread(struct spawner *spawner)
{
	sigset_t all, before;
	int result;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&spawner->thread, NULL, spawner_thread, spawner);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

static bool wait_until_ready(struct spawner *spawner)
{
	bool ready;

	(void)pthread_mutex_lock(&spawner->lock);
	while (!spawner->ready && !spawner->closing)
		(void)pthread_cond_wait(&spawner->over, &spawner->lock);
	ready = spawner->ready;
	(void)pthread_mutex_unlock(&spawner->lock);
	return ready;
}

static int begin(bool once, unsigned namespaces, struct spawner **ret_spawner, struct error *err)
{
	struct spawner *spawner = calloc(1, sizeof(*spawner));
	int result;

	if (!spawner)
		return error_set(err, ERR_EXHAUSTED, "start spawner: out of memory");
	init_conditions(spawner);
	spawner->queue_end = &spawner->queue;
	spawner->once = once;
	spawner->prepared = namespaces;
	result = start_thread(spawner);
	if (result != 0) {
		release(spawner);
		return error_sys(err, result, "start spawner's thread");
	}
	*ret_spawner = spawner;
	return 0;
}

int spawner_open(struct spawner **ret_spawner, struct error *err)
{
	struct spawner *spawner;

	if (begin(false, 0, &spawner, err) < 0)
		return -1;
	if (!wait_until_ready(spawner)) {
		(void)pthread_join(spawner->thread, NULL);
		*err = spawner->error;
		release(spawner);
		return -1;
	}
	*ret_spawner = spawner;
	return 0;
}

int spawner_open_once(unsigned namespaces, struct spawner **ret_spawner, struct error *err)
{
	return begin(true, namespaces, ret_spawner, err);
}

void spawner_close(struct spawner *spawner)
{
	if (!spawner)
		return;
	(void)pthread_mutex_lock(&spawner->lock);
	spawner->closing = true;
	(void)pthread_cond_broadcast(&spawner->wake);
	(void)pthread_mutex_unlock(&spawner->lock);
	(void)pthread_join(spawner->thread, NULL);
	stragglers_sweep(spawner);
	release(spawner);
}

static void enqueue(struct spawner *spawner, struct launch *launch)
{
	launch->state = LAUNCH_QUEUED;
	launch->next = NULL;
	*spawner->queue_end = launch;
	spawner->queue_end = &launch->next;
	(void)pthread_cond_signal(&spawner->wake);
}

static void dequeue(struct spawner *spawner, struct launch *launch)
{
	struct launch **at = &spawner->queue;

	while (*at != launch)
		at = &(*at)->next;
	*at = launch->next;
	if (!*at)
		spawner->queue_end = at;
}

int launch_run(struct spawner *spawner, struct launch *launch, int64_t deadline_us, struct error *err)
{
	struct timespec until = { .tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000 };
	int result = 0;

	if (!wait_until_ready(spawner)) {
		*err = spawner->error;
		return -1;
	}
	(void)pthread_mutex_lock(&spawner->lock);
	enqueue(spawner, launch);
	while (launch->state == LAUNCH_QUEUED && result == 0)
		result = pthread_cond_timedwait(&spawner->over, &spawner->lock, &until);
	/* one that was taken has our memory */
	while (launch->state == LAUNCH_TAKEN)
		(void)pthread_cond_wait(&spawner->over, &spawner->lock);
	if (launch->state == LAUNCH_QUEUED)
		dequeue(spawner, launch);
	(void)pthread_mutex_unlock(&spawner->lock);
	if (launch->state == LAUNCH_QUEUED)
		return error_set(err, ERR_DEADLINE, "wait for the spawner: timed out");
	if (launch->pid > 0)
		return 0;
	*err = launch->error;
	return -1;
}

static bool has_ended(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int result;

	do {
		result = poll(&p, 1, timeout_ms);
	} while (result < 0 && errno == EINTR);
	return result > 0;
}

/* Takes the exit status of every child of ours in the group that has ended. Returns false when one has not. */
static bool reap_group(pid_t group)
{
	siginfo_t info;

	do {
		info.si_pid = 0;
		if (waitid(P_PGID, (id_t)group, &info, WEXITED | WNOHANG) < 0)
			return errno == ECHILD;
	} while (info.si_pid != 0);
	return false;
}

static void keep_straggler(struct spawner *spawner, pid_t pid, int pidfd)
{
	struct straggler *s = calloc(1, sizeof(*s));

	if (!s) {
		/* a zombie until the daemon ends: the lesser evil */
		(void)close(pidfd);
		return;
	}
	*s = (struct straggler){ .pid = pid, .pidfd = pidfd };
	(void)pthread_mutex_lock(&spawner->lock);
	s->next = spawner->stragglers;
	spawner->stragglers = s;
	(void)pthread_mutex_unlock(&spawner->lock);
}

void child_reap(struct spawner *spawner, pid_t pid, int pidfd)
{
	if (!has_ended(pidfd, DEATH_TIMEOUT_MS)) {
		keep_straggler(spawner, pid, pidfd);
		return;
	}
	(void)waitid(P_PIDFD, (id_t)pidfd, NULL, WEXITED);
	(void)close(pidfd);
}

void child_end(struct spawner *spawner, pid_t pid, int pidfd)
{
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (!has_ended(pidfd, DEATH_TIMEOUT_MS)) {
		keep_straggler(spawner, pid, pidfd);
		return;
	}
	/* before the child is reaped: as long as it is there, its number is no other group's */
	(void)kill(-pid, SIGKILL);
	for (int i = 0; i < DEATH_TIMEOUT_MS && !reap_group(pid); i++)
		(void)poll(NULL, 0, 1);
	(void)waitid(P_PIDFD, (id_t)pidfd, NULL, WEXITED);
	(void)close(pidfd);
}

void stragglers_sweep(struct spawner *spawner)
{
	struct straggler **at, *s;

	(void)pthread_mutex_lock(&spawner->lock);
	for (at = &spawner->stragglers; (s = *at);) {
		if (!has_ended(s->pidfd, 0)) {
			at = &s->next;
			continue;
		}
		(void)kill(-s->pid, SIGKILL);
		(void)reap_group(s->pid);
		(void)waitid(P_PIDFD, (id_t)s->pidfd, NULL, WEXITED);
		(void)close(s->pidfd);
		*at = s->next;
		free(s);
	}
	(void)pthread_mutex_unlock(&spawner->lock);
}
