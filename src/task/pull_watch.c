#include "task/pull_watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "proto/admin.pb-c.h"
#include "task/call.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* Smooth to the eye, and nothing to a connection: a message of 127 layers has 12 KiB. */
#define LOOK_INTERVAL_MS 100

/* ---- the board ---- */

struct pull_board {
	atomic_uint refs;
	pthread_mutex_t lock;
	struct pull_layer *layers; /* with digests of our own, which do not change; NULL: nothing was told yet */
	size_t n;
};

struct pull_board *pull_board_new(void)
{
	struct pull_board *board = calloc(1, sizeof(*board));

	if (!board)
		return NULL;
	board->refs = 1;
	(void)pthread_mutex_init(&board->lock, NULL);
	return board;
}

struct pull_board *pull_board_ref(struct pull_board *board)
{
	(void)atomic_fetch_add(&board->refs, 1);
	return board;
}

static void free_layers(struct pull_layer *layers, size_t n)
{
	for (size_t i = 0; layers && i < n; i++)
		free((char *)(uintptr_t)layers[i].digest);
	free(layers);
}

void pull_board_unref(struct pull_board *board)
{
	if (!board || atomic_fetch_sub(&board->refs, 1) > 1)
		return;
	free_layers(board->layers, board->n);
	(void)pthread_mutex_destroy(&board->lock);
	free(board);
}

static struct pull_layer *copy_layers(const struct pull_layer *layers, size_t n)
{
	struct pull_layer *copy = calloc(n + 1, sizeof(*copy));
	bool whole = copy != NULL;

	for (size_t i = 0; whole && i < n; i++) {
		copy[i].digest = strdup(layers[i].digest);
		whole = copy[i].digest != NULL;
	}
	if (whole)
		return copy;
	free_layers(copy, n);
	return NULL;
}

/* The manifest of a pull is one: the number of layers and their digests do not change. */
void pull_board_write(void *arg, const struct pull_layer *layers, size_t n)
{
	struct pull_board *board = arg;
	struct pull_layer *fresh = board->layers ? NULL : copy_layers(layers, n);

	(void)pthread_mutex_lock(&board->lock);
	if (fresh) {
		board->layers = fresh;
		board->n = n;
	}
	for (size_t i = 0; board->layers && i < n && i < board->n; i++) {
		board->layers[i].state = layers[i].state;
		board->layers[i].done_bytes = layers[i].done_bytes;
		board->layers[i].total_bytes = layers[i].total_bytes;
	}
	(void)pthread_mutex_unlock(&board->lock);
}

/* ---- looking ---- */

static const Admin__LayerState states[] = {
	[PULL_LAYER_WAITING] = ADMIN__LAYER_STATE__LAYER_WAITING,
	[PULL_LAYER_DOWNLOADING] = ADMIN__LAYER_STATE__LAYER_DOWNLOADING,
	[PULL_LAYER_UNPACKING] = ADMIN__LAYER_STATE__LAYER_UNPACKING,
	[PULL_LAYER_DONE] = ADMIN__LAYER_STATE__LAYER_DONE,
	[PULL_LAYER_EXISTS] = ADMIN__LAYER_STATE__LAYER_EXISTS,
};

static bool is_news(const struct pull_layer *told, const struct pull_layer *now)
{
	return !told->digest || told->state != now->state || told->done_bytes != now->done_bytes;
}

static Admin__LayerProgress *layer_message(struct arena *arena, size_t index, const struct pull_layer *layer)
{
	Admin__LayerProgress *message = arena_new(arena, Admin__LayerProgress);

	if (!message)
		return NULL;
	admin__layer_progress__init(message);
	message->index = (uint32_t)index;
	message->digest = (char *)(uintptr_t)layer->digest;
	message->state = states[layer->state];
	message->done_bytes = layer->done_bytes;
	message->total_bytes = layer->total_bytes;
	return message;
}

/* With the board's lock held. */
static bool make_room(struct pull_watch *watch)
{
	if (watch->told || !watch->board->layers)
		return watch->told != NULL;
	watch->told = calloc(watch->board->n + 1, sizeof(*watch->told));
	watch->n_told = watch->told ? watch->board->n : 0;
	return watch->told != NULL;
}

static void note_news(struct pull_watch *watch, struct arena *arena, Admin__PullImageResponse *message)
{
	message->layers = arena_new_array(arena, Admin__LayerProgress *, watch->n_told + 1);
	for (size_t i = 0; message->layers && i < watch->n_told; i++) {
		const struct pull_layer *now = &watch->board->layers[i];
		Admin__LayerProgress *layer = is_news(&watch->told[i], now) ? layer_message(arena, i, now) : NULL;

		if (!layer)
			continue;
		message->layers[message->n_layers++] = layer;
		watch->told[i] = *now;
	}
}

/* What memory cannot hold now is told the next time. */
static void look(struct pull_watch *watch, struct arena *arena, Admin__PullImageResponse *message)
{
	struct pull_board *board = watch->board;

	(void)pthread_mutex_lock(&board->lock);
	if (make_room(watch))
		note_news(watch, arena, message);
	(void)pthread_mutex_unlock(&board->lock);
}

static void on_timer(uv_timer_t *timer)
{
	struct pull_watch *watch = timer->data;
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	Admin__PullImageResponse message = ADMIN__PULL_IMAGE_RESPONSE__INIT;

	if (!watch->op->call || watch->is_behind)
		return;
	look(watch, &arena, &message);
	if (message.n_layers > 0)
		watch->is_behind = !call_send(watch->op->call, &message.base);
}

/* ---- life ---- */

void pull_watch_begin(struct pull_watch *watch, struct operation *op, struct pull_board *board)
{
	watch->board = board;
	watch->op = op;
	/* Neither can fail (libuv 1.44). */
	(void)uv_timer_init(&op->node->loop->uv, &watch->timer);
	watch->timer.data = watch;
	(void)uv_timer_start(&watch->timer, on_timer, LOOK_INTERVAL_MS, LOOK_INTERVAL_MS);
	if (op->call)
		call_open(op->call);
}

void pull_watch_drained(struct pull_watch *watch)
{
	watch->is_behind = false;
}

void pull_watch_finish(struct pull_watch *watch, struct call *call, char *image_id)
{
	Admin__PullImageResponse message = ADMIN__PULL_IMAGE_RESPONSE__INIT;

	look(watch, &call->arena, &message);
	message.image_ref = image_id;
	(void)call_send(call, &message.base);
	call_finish(call);
}

static void on_closed(uv_handle_t *handle)
{
	operation_drop(((struct pull_watch *)handle->data)->op);
}

void pull_watch_end(struct pull_watch *watch)
{
	if (!watch->board)
		return;
	operation_hold(watch->op);
	uv_close((uv_handle_t *)&watch->timer, on_closed);
}

void pull_watch_release(struct pull_watch *watch)
{
	pull_board_unref(watch->board);
	free(watch->told);
}
