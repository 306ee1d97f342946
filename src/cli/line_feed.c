#include "cli/line_feed.h"

#include <string.h>

/* Our lines hold 16 KiB; what another runtime wrote may be longer, and past this it is handed on in pieces (arbitrary). */
#define MAX_LINE_BYTES ((size_t)1024 * 1024)

void line_feed_init(struct line_feed *feed, line_fn *fn, void *arg)
{
	*feed = (struct line_feed){ .fn = fn, .arg = arg };
	buffer_init(&feed->rest, MAX_LINE_BYTES);
}

void line_feed_release(struct line_feed *feed)
{
	buffer_release(&feed->rest);
}

/* Hands out the whole lines and keeps what has no end yet. */
static void hand_out(struct line_feed *feed)
{
	struct buffer *b = &feed->rest;
	size_t done = 0;
	const char *newline;

	while (b->len > done && (newline = memchr(b->data + done, '\n', b->len - done))) {
		size_t len = (size_t)(newline - (b->data + done));

		feed->fn(feed->arg, b->data + done, len);
		done += len + 1;
	}
	buffer_consume(b, done);
}

int line_feed_put(struct line_feed *feed, const char *data, size_t len, struct error *err)
{
	struct buffer *b = &feed->rest;

	if (b->len + len > b->max)
		line_feed_end(feed);
	if (buffer_append(b, data, len, err) < 0)
		return -1;
	hand_out(feed);
	return 0;
}

void line_feed_end(struct line_feed *feed)
{
	if (feed->rest.len > 0)
		feed->fn(feed->arg, feed->rest.data, feed->rest.len);
	buffer_clear(&feed->rest);
}
