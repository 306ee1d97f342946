/*
 * Turns: one mutating operation per object at a time, or a few where the queue says so. Operations on the same sandbox or container
 * queue here in the order in which they came; a turn is embedded in the operation that waits, so queueing cannot fail.
 */
#ifndef MONOPOD_TASK_TURN_H
#define MONOPOD_TASK_TURN_H

#include <stdbool.h>

struct turn {
	struct turn *next;
	struct turn_queue *queue; /* NULL: neither held nor waited for */
	void (*on_turn)(struct turn *turn);
};

struct turn_queue {
	struct turn *first; /* those who hold are at the head; who waits hangs behind them */
	unsigned more;      /* how many may hold besides the first */
};

/* True: the turn is held now and on_turn is not called. False: on_turn is called once it is. */
bool turn_take(struct turn_queue *queue, struct turn *turn, void (*on_turn)(struct turn *turn));

/* How many hold or wait. */
unsigned turn_count(const struct turn_queue *queue);

bool turn_is_held(const struct turn *turn);

/* Gives a held turn to the next in line (whose on_turn runs inside this call), or leaves the line. Harmless when neither. */
void turn_give(struct turn *turn);

#endif
