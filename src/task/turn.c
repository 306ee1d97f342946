#include "task/turn.h"

#include <stddef.h>

bool turn_take(struct turn_queue *queue, struct turn *turn, void (*on_turn)(struct turn *turn))
{
	struct turn **end = &queue->first;

	while (*end)
		end = &(*end)->next;
	*end = turn;
	*turn = (struct turn){ .queue = queue, .on_turn = on_turn };
	return turn_is_held(turn);
}

unsigned turn_count(const struct turn_queue *queue)
{
	unsigned n = 0;

	for (const struct turn *turn = queue->first; turn; turn = turn->next)
		n++;
	return n;
}

/* The last place in the line that holds; NULL while it is empty. */
static struct turn *last_place(const struct turn_queue *queue)
{
	struct turn *turn = queue->first;

	for (unsigned i = 0; turn && i < queue->more; i++)
		turn = turn->next;
	return turn;
}

bool turn_is_held(const struct turn *turn)
{
	const struct turn *at = turn->queue ? turn->queue->first : NULL;

	for (unsigned i = 0; at && at != turn && i < turn->queue->more; i++)
		at = at->next;
	return at && at == turn;
}

static void unlink_turn(struct turn_queue *queue, const struct turn *turn)
{
	struct turn **at = &queue->first;

	while (*at && *at != turn)
		at = &(*at)->next;
	if (*at)
		*at = turn->next;
}

void turn_give(struct turn *turn)
{
	struct turn_queue *queue = turn->queue;
	bool held = turn_is_held(turn);
	struct turn *next;

	if (!queue)
		return;
	unlink_turn(queue, turn);
	*turn = (struct turn){ 0 };
	next = held ? last_place(queue) : NULL;
	if (next)
		next->on_turn(next);
}
