/*
 * Slots: how many layers are downloaded at the same time, of all images together. A free slot goes to the image that has the fewest,
 * and among those to the one that has waited longest: a large image cannot keep a small one waiting.
 */
#ifndef MONOPOD_IMAGE_SLOTS_H
#define MONOPOD_IMAGE_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"

struct slot_wait;

struct slots {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned free;
	struct slot_wait *waiting; /* in their order */
};

/* One image that is being installed; zero at first. */
struct slot_user {
	unsigned held; /* guarded by slots.lock */
};

void slots_init(struct slots *slots, unsigned n);
void slots_release(struct slots *slots); /* nobody holds or waits */

/* Blocks until there is one, or *stop becomes true (ERR_CANCELLED). */
int slots_take(struct slots *slots, struct slot_user *user, const atomic_bool *stop, struct error *err);
void slots_give(struct slots *slots, struct slot_user *user);

#endif
