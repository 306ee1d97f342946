#include "task/feed.h"

#include <stdlib.h>

/* A part is sent when it has so many items or bytes: well below what makes call_send() ask for a pause, large enough that their overhead
 * is nothing. */
#define PART_ITEMS 256
#define PART_BYTES ((size_t)64 * 1024)

struct feed {
	const struct feed_kind *kind;
	void **objects;
	size_t n, at;
};

static void feed_free(struct feed *feed)
{
	for (size_t i = feed->at; i < feed->n; i++)
		feed->kind->unref(feed->objects[i]);
	free(feed->objects);
	free(feed);
}

static void fail(struct call *call)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
	call_fail(call, &err);
}

/* Fills `items` from where the feed is, and returns how many. */
static size_t next_part(struct feed *feed, struct arena *arena, void **items)
{
	size_t n = 0, bytes = 0;

	while (feed->at < feed->n && n < PART_ITEMS && bytes < PART_BYTES) {
		void *object = feed->objects[feed->at++];
		ProtobufCMessage *item = feed->kind->item(arena, object);

		/* The message borrows from the object: see send_part(). */
		if (item) {
			bytes += protobuf_c_message_get_packed_size(item);
			items[n++] = item;
		}
	}
	return n;
}

/* False: no more for now. */
static bool send_part(struct call *call, struct feed *feed, struct error *err)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	void *items[PART_ITEMS];
	size_t from = feed->at;
	size_t n = next_part(feed, &arena, items);
	bool goes_on = !arena_failed(&arena);

	if (!goes_on)
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
	else if (n > 0)
		goes_on = feed->kind->send(call, items, n);
	for (size_t i = from; i < feed->at; i++)
		feed->kind->unref(feed->objects[i]);
	return goes_on;
}

static void go_on(struct call *call)
{
	struct feed *feed = call->op;
	struct error err = ERROR_INIT;
	bool goes_on = true;

	while (goes_on && feed->at < feed->n)
		goes_on = send_part(call, feed, &err);
	if (!goes_on && err.code == ERR_NONE)
		return; /* on_drain or on_cancel comes */
	feed_free(feed);
	if (err.code)
		call_fail(call, &err);
	else
		call_finish(call);
}

static void on_cancel(struct call *call, const struct error *why)
{
	feed_free(call->op);
	call_fail(call, why);
}

void feed_begin(struct call *call, const struct feed_kind *kind, void **objects, size_t n)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (!feed || !objects) {
		for (size_t i = 0; objects && i < n; i++)
			kind->unref(objects[i]);
		free(objects);
		free(feed);
		fail(call);
		return;
	}
	*feed = (struct feed){ .kind = kind, .objects = objects, .n = n };
	call->op = feed;
	call->on_drain = go_on;
	call->on_cancel = on_cancel;
	go_on(call);
}
