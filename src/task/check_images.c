/* CheckImages: reads the whole image store, in a lane of its own, for as long as its caller waits. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "image/check.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "proto/admin.pb-c.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* A terabyte from a slow disk. */
#define CHECK_DEADLINE_MS (4 * 60 * 60 * 1000)

/* Objects that are told; where more are damaged the disk is, and the answer must fit a message. */
#define MAX_DAMAGES 1000

struct check_images {
	struct operation op; /* first */
	bool repair;
	struct lane *lane;
	atomic_bool cancelled;
	struct arena arena; /* the lane's, for `damages` */
	Admin__ImageDamage *damages[MAX_DAMAGES];
	size_t n_damages;
	struct image_check_summary summary;
};

static step_fn verify, stop_verifying;

static const struct step steps[] = {
	/* name          run      undo            deadline_ms */
	{ "verify", verify, stop_verifying, CHECK_DEADLINE_MS },
};

const struct machine check_images_machine = MACHINE("check_images", steps);

static struct check_images *check_images_of(struct task *task)
{
	return container_of(task, struct check_images, op.task);
}

/* Names in a layer are bytes, strings of the wire are UTF-8. */
static char *copy_text(struct arena *arena, const char *text)
{
	char *copy = arena_strdup(arena, text);

	if (copy && !utf8_is_text((const uint8_t *)copy, strlen(copy))) {
		for (unsigned char *p = (unsigned char *)copy; *p; p++)
			*p = *p < 0x80 ? *p : '?';
	}
	return copy;
}

static char **copy_texts(struct arena *arena, char *const *texts, size_t *ret_n)
{
	size_t n = 0;
	char **copies;

	while (texts[n])
		n++;
	copies = arena_new_array(arena, char *, n + 1);
	for (size_t i = 0; copies && i < n; i++)
		copies[i] = copy_text(arena, texts[i]);
	*ret_n = copies ? n : 0;
	return copies;
}

static int on_damage(void *arg, const struct image_damage *damage, struct error *err)
{
	struct check_images *op = arg;
	Admin__ImageDamage *message;

	if (op->n_damages == MAX_DAMAGES)
		return 0;
	message = arena_new(&op->arena, Admin__ImageDamage);
	if (message) {
		admin__image_damage__init(message);
		message->object = copy_text(&op->arena, damage->object);
		message->details = copy_texts(&op->arena, damage->details, &message->n_details);
		message->images = copy_texts(&op->arena, damage->images, &message->n_images);
		message->more_details = (uint32_t)damage->n_more;
		message->advice = arena_strdup(&op->arena, damage->advice);
		message->repaired = damage->repaired;
		op->damages[op->n_damages++] = message;
	}
	return arena_failed(&op->arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

static int verify_work(struct task *task, struct error *err)
{
	struct check_images *op = check_images_of(task);
	const struct image_check check = {
		.repair = op->repair,
		.cancelled = &op->cancelled,
		.found = on_damage,
		.arg = op,
	};

	return image_store_check(op->op.node->images, &check, &op->summary, err);
}

static enum verdict verify(struct task *task, struct error *err)
{
	return task_run_in_lane(task, check_images_of(task)->lane, verify_work, err);
}

static enum verdict stop_verifying(struct task *task, struct error *err)
{
	(void)err;
	atomic_store(&check_images_of(task)->cancelled, true);
	return STEP_DONE;
}

static void reply(struct operation *base, struct call *call)
{
	struct check_images *op = container_of(base, struct check_images, op);
	Admin__CheckImagesResponse message = ADMIN__CHECK_IMAGES_RESPONSE__INIT;

	message.damages = op->damages;
	message.n_damages = op->n_damages;
	message.images = (uint32_t)op->summary.images;
	message.blobs = (uint32_t)op->summary.blobs;
	message.layers = (uint32_t)op->summary.layers;
	message.entries = op->summary.entries;
	message.bytes = op->summary.bytes;
	call_reply(call, &message.base);
}

static void interrupt(struct operation *base)
{
	atomic_store(&container_of(base, struct check_images, op)->cancelled, true);
}

static void release(struct operation *base)
{
	struct check_images *op = container_of(base, struct check_images, op);

	arena_release(&op->arena);
	lane_close(op->lane);
}

static const struct operation_kind kind = {
	.machine = &check_images_machine,
	.size = sizeof(struct check_images),
	.interrupt = interrupt,
	.reply = reply,
	.release = release,
};

void op_check_images(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;
	struct check_images *op = operation_new(node, &kind, call, &err);

	if (op && lane_open(node->loop->lanes, "image check", &op->lane, &err) < 0) {
		operation_discard(&op->op);
		op = NULL;
	}
	if (!op) {
		call_fail(call, &err);
		return;
	}
	op->repair = ((const Admin__CheckImagesRequest *)call->request)->repair;
	operation_title(&op->op, "check images");
	operation_begin(&op->op, NULL);
}
