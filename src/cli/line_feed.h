/* Cuts what is read from a log into lines. */
#ifndef MONOPOD_CLI_LINE_FEED_H
#define MONOPOD_CLI_LINE_FEED_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* `line` without its line end. */
typedef void line_fn(void *arg, const char *line, size_t len);

struct line_feed {
	struct buffer rest; /* of a line that has no end yet */
	line_fn *fn;
	void *arg;
};

void line_feed_init(struct line_feed *feed, line_fn *fn, void *arg);
void line_feed_release(struct line_feed *feed);

/* A line that is longer than a megabyte comes in pieces. */
int line_feed_put(struct line_feed *feed, const char *data, size_t len, struct error *err);

/* Nothing more will come: the rest is a line. */
void line_feed_end(struct line_feed *feed);

#endif
