/* PruneImages: files are removed in the lane where removals are. */
#include <stdint.h>

#include "base/clock.h"
#include "base/mem.h"
#include "image/prune.h"
#include "loop/lane.h"
#include "proto/admin.pb-c.h"
#include "task/machines.h"
#include "task/node_impl.h"
#include "task/operation.h"

struct prune_images {
	struct operation op; /* first */
	struct image_prune prune;
	struct image_pruned pruned;
};

static step_fn remove_unused;

static const struct step steps[] = {
	/* name       run            undo  deadline_ms */
	{ "files", remove_unused, NULL, 600000 },
};

const struct machine prune_images_machine = MACHINE("prune_images", steps);

static int remove_unused_work(struct task *task, struct error *err)
{
	struct prune_images *op = container_of(task, struct prune_images, op.task);

	return image_prune(op->op.node->images, &op->prune, &op->pruned, err);
}

static enum verdict remove_unused(struct task *task, struct error *err)
{
	return task_run_in_lane(task, container_of(task, struct prune_images, op.task)->op.node->image_lane, remove_unused_work,
				err);
}

static Admin__ImportedImage *describe(struct arena *arena, const char *id, const char *name)
{
	Admin__ImportedImage *message = arena_new(arena, Admin__ImportedImage);

	if (!message)
		return NULL;
	admin__imported_image__init(message);
	message->image_id = arena_strdup(arena, id);
	message->repo_tags = arena_new(arena, char *);
	if (*name && message->repo_tags)
		message->repo_tags[message->n_repo_tags++] = arena_strdup(arena, name);
	return message;
}

static void reply(struct operation *base, struct call *call)
{
	const struct image_pruned *pruned = &container_of(base, struct prune_images, op)->pruned;
	Admin__PruneImagesResponse message = ADMIN__PRUNE_IMAGES_RESPONSE__INIT;
	size_t n = 0;

	while (pruned->ids[n])
		n++;
	message.freed_bytes = pruned->freed_bytes;
	message.images = arena_new_array(&call->arena, Admin__ImportedImage *, n + 1);
	for (size_t i = 0; message.images && i < n; i++)
		message.images[message.n_images++] = describe(&call->arena, pruned->ids[i], pruned->names[i]);
	call_reply_or_fail(call, &message.base);
}

static void release(struct operation *base)
{
	image_pruned_release(&container_of(base, struct prune_images, op)->pruned);
}

static const struct operation_kind kind = {
	.machine = &prune_images_machine,
	.size = sizeof(struct prune_images),
	.outlives_caller = true,
	.reply = reply,
	.release = release,
};

void op_prune_images(struct node *node, struct call *call)
{
	const Admin__PruneImagesRequest *request = (const Admin__PruneImagesRequest *)call->request;
	struct error err = ERROR_INIT;
	struct prune_images *op = operation_new(node, &kind, call, &err);

	if (!op) {
		call_fail(call, &err);
		return;
	}
	op->prune = (struct image_prune){ .all = request->all, .dry_run = request->dry_run, .before_realtime_ns = INT64_MAX };
	if (request->min_age_seconds > 0)
		op->prune.before_realtime_ns = clock_realtime_ns() - request->min_age_seconds * INT64_C(1000000000);
	operation_title(&op->op, "prune images");
	operation_begin(&op->op, NULL);
}
