#include "task/turn.h"

#include <stddef.h>

bool turn_take(struct turn_queue *queue, struct turn *turn, void (*on_turn)(struct turn *turn))
{
	struct turn **end = &queue->holder;

	while (*end)
		end = &(*end)->next;
	*end = turn;
	*turn = (struct turn){ .queue = queue, .on_turn = on_turn };
	return turn_is_held(turn);
}

unsigned turn_count(const struct turn_queue *queue)
{
	unsigned n = 0;

	for (const struct turn *turn = queue->holder; turn; turn = turn->next)
		n++;
	return n;
}

bool turn_is_held(const struct turn *turn)
{
	return turn->queue && turn->queue->holder == turn;
}

static void unlink_turn(struct turn_queue *queue, const struct turn *turn)
{
	struct turn **at = &queue->holder;

	while (*at != turn)
		at = &(*at)->next;
	*at = turn->next;
}

void turn_give(struct turn *turn)
{
	struct turn_queue *queue = turn->queue;
	bool held = turn_is_held(turn);

	if (!queue)
		return;
	unlink_turn(queue, turn);
	*turn = (struct turn){ 0 };
	if (held && queue->holder)
		queue->holder->on_turn(queue->holder);
}
