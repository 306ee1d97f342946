/*
 * How far a pull is, from the thread that pulls to those who watch.
 *
 * The board is what the pulling thread writes and watchers read: the last state of each layer, behind a mutex that is held for a copy. A
 * watch belongs to one call of the Admin service's PullImage: a timer on the loop looks at the board, sends what has changed since it sent
 * last, and skips looks while the client is behind, so progress costs a pull nothing that grows with its speed or with slow watchers.
 */
#ifndef MONOPOD_TASK_PULL_WATCH_H
#define MONOPOD_TASK_PULL_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "image/image.h"

struct call;
struct operation;
struct pull_board;

/* One reference. NULL when memory is out. Thread-safe, as all of it. */
struct pull_board *pull_board_new(void);
struct pull_board *pull_board_ref(struct pull_board *board);
void pull_board_unref(struct pull_board *board); /* NULL is fine */

/* struct pull_request's progress; `arg` is the board. Without memory the board stays empty. */
void pull_board_write(void *arg, const struct pull_layer *layers, size_t n);

/* Embedded in an operation, zero at first. */
struct pull_watch {
	struct pull_board *board; /* a reference; NULL: nothing is watched */
	struct operation *op;
	uv_timer_t timer;
	struct pull_layer *told; /* as many as the board has, once it has any; digests are the board's */
	size_t n_told;
	bool is_behind;
};

/* Looks at the board ten times a second, and sends to op->call, until pull_watch_end(). Takes the reference. Sends headers at once. */
void pull_watch_begin(struct pull_watch *watch, struct operation *op, struct pull_board *board);

/* The client reads again. */
void pull_watch_drained(struct pull_watch *watch);

/* What has changed since, and the end of the stream: `image_id` in the last message. */
void pull_watch_finish(struct pull_watch *watch, struct call *call, char *image_id);

/* For the operation's ended(): the timer goes, with a hold on the operation. Harmless when nothing was begun. */
void pull_watch_end(struct pull_watch *watch);

/* For the operation's release(). */
void pull_watch_release(struct pull_watch *watch);

#endif
