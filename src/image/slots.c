#include "image/slots.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include <utlist.h>

/* How often a wait looks whether it was given up. */
#define STOP_POLL_NS 200000000

struct slot_wait {
	struct slot_user *user;
	bool granted;
	struct slot_wait *prev, *next;
};

void slots_init(struct slots *slots, unsigned n)
{
	pthread_condattr_t attr;

	*slots = (struct slots){ .free = n };
	(void)pthread_mutex_init(&slots->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&slots->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void slots_release(struct slots *slots)
{
	(void)pthread_cond_destroy(&slots->changed);
	(void)pthread_mutex_destroy(&slots->lock);
}

static void grant_locked(struct slots *slots)
{
	struct slot_wait *wait, *best;

	while (slots->free > 0 && slots->waiting) {
		best = slots->waiting;
		DL_FOREACH (slots->waiting, wait) {
			if (wait->user->held < best->user->held)
				best = wait;
		}
		DL_DELETE(slots->waiting, best);
		best->granted = true;
		best->user->held++;
		slots->free--;
		(void)pthread_cond_broadcast(&slots->changed);
	}
}

static void wait_locked(struct slots *slots)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STOP_POLL_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_cond_timedwait(&slots->changed, &slots->lock, &until);
}

int slots_take(struct slots *slots, struct slot_user *user, const atomic_bool *stop, struct error *err)
{
	struct slot_wait wait = { .user = user };

	(void)pthread_mutex_lock(&slots->lock);
	DL_APPEND(slots->waiting, &wait);
	grant_locked(slots);
	while (!wait.granted && !(stop && atomic_load(stop)))
		wait_locked(slots);
	if (!wait.granted)
		DL_DELETE(slots->waiting, &wait);
	(void)pthread_mutex_unlock(&slots->lock);
	return wait.granted ? 0 : error_set(err, ERR_CANCELLED, "cancelled");
}

void slots_give(struct slots *slots, struct slot_user *user)
{
	(void)pthread_mutex_lock(&slots->lock);
	slots->free++;
	user->held--;
	grant_locked(slots);
	(void)pthread_mutex_unlock(&slots->lock);
}
