/* PullImage: a share in a transfer (pull_transfer.h), which goes on as long as somebody waits for it. */
#include "base/mem.h"
#include "image/image.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/pull_transfer.h"

struct pull_image {
	struct operation op;            /* first */
	Cri__PullImageRequest *request; /* ours: the call may end before the operation does */
	struct pull_share share;
};

static step_fn transfer, leave;

static const struct step pull_steps[] = {
	/* name          run        undo    deadline_ms */
	{ "transfer", transfer, leave, PULL_DEADLINE_MS },
};

const struct machine pull_image_machine = MACHINE("pull_image", pull_steps);

static struct pull_image *pull_image_of(struct task *task)
{
	return container_of(task, struct pull_image, op.task);
}

static enum verdict transfer(struct task *task, struct error *err)
{
	struct pull_image *op = pull_image_of(task);

	return pull_share_join(&op->share, &op->op, op->request, err);
}

/* Layers that came whole stay in the store for the next try. */
static enum verdict leave(struct task *task, struct error *err)
{
	(void)err;
	pull_share_leave(&pull_image_of(task)->share);
	return STEP_DONE;
}

static void reply_pulled(struct operation *base, struct call *call)
{
	Cri__PullImageResponse message = CRI__PULL_IMAGE_RESPONSE__INIT;

	message.image_ref = container_of(base, struct pull_image, op)->share.image->id;
	call_reply(call, &message.base);
}

static void release_pull(struct operation *base)
{
	struct pull_image *op = container_of(base, struct pull_image, op);

	pull_share_release(&op->share);
	message_free(op->request);
}

static const struct operation_kind pull_kind = {
	.machine = &pull_image_machine,
	.size = sizeof(struct pull_image),
	.reply = reply_pulled,
	.release = release_pull,
};

static int pull(struct node *node, struct call *call, struct error *err)
{
	const Cri__PullImageRequest *request = (const Cri__PullImageRequest *)call->request;
	struct pull_image *op;

	if (!request->image || !*request->image->image)
		return error_set(err, ERR_INVALID, "image.image is missing");
	op = operation_new(node, &pull_kind, call, err);
	if (!op)
		return -1;
	op->request = message_copy(call->request, err);
	if (!op->request) {
		operation_discard(&op->op);
		return -1;
	}
	operation_title(&op->op, "pull %.200s", request->image->image);
	operation_begin(&op->op, NULL);
	return 0;
}

void op_pull_image(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (pull(node, call, &err) < 0)
		call_fail(call, &err);
}
