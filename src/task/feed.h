/*
 * A list as a stream of parts: the Stream RPCs of CRI 1.36 (KEP-5825), for lists that do not fit one message.
 *
 * What is listed is decided when the call comes, as for the unary list: each object is held until the stream is past it. One that is gone
 * by then is left out; one that is made meanwhile is in the next list. The client reads parts until the end of the stream.
 */
#ifndef MONOPOD_TASK_FEED_H
#define MONOPOD_TASK_FEED_H

#include <stddef.h>

#include "base/arena.h"
#include "task/call.h"

struct feed_kind {
	/* The object as it is now; NULL when it is gone, or memory is out (the arena knows). */
	ProtobufCMessage *(*item)(struct arena *arena, void *object);
	/* One part, as call_send(). */
	bool (*send)(struct call *call, void **items, size_t n);
	void (*unref)(void *object);
};

/* Takes `objects`, an array from malloc() of references that are the feed's to give back, in any case; NULL: memory was out. Answers the
 * call now or later. */
void feed_begin(struct call *call, const struct feed_kind *kind, void **objects, size_t n);

#endif
