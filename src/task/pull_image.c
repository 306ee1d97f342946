/*
 * PullImage: the image store's work in a lane of its own per request. A pull ends when its caller leaves.
 *
 * The store itself lets requests for the same blob wait for each other; here only their number is bounded, because each holds a
 * thread and up to a few megabytes. The rest queue in the order in which they came, like every operation on the node's pulls.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* Registries are slow by minutes, not by hours; the store gives up a transfer that does not move (pull_progress_timeout). */
#define PULL_DEADLINE_MS (60 * 60 * 1000)

struct pull_image {
	struct operation op;            /* first */
	Cri__PullImageRequest *request; /* ours: the lane may outlive the call */
	struct lane *lane;
	atomic_bool cancelled;
	struct image *image;
};

static step_fn transfer, forget;

static const struct step pull_steps[] = {
	/* name          run        undo    deadline_ms */
	{ "transfer", transfer, forget, PULL_DEADLINE_MS },
};

const struct machine pull_image_machine = MACHINE("pull_image", pull_steps);

static struct pull_image *pull_image_of(struct task *task)
{
	return container_of(task, struct pull_image, op.task);
}

/* ---- transfer ---- */

static int transfer_work(struct task *task, struct error *err)
{
	struct pull_image *op = pull_image_of(task);
	const Cri__AuthConfig *auth = op->request->auth;
	struct pull_request request = { .reference = op->request->image->image, .cancelled = &op->cancelled };

	if (auth)
		request.auth = (struct image_auth){
			.username = auth->username,
			.password = auth->password,
			.auth = auth->auth,
			.server_address = auth->server_address,
			.identity_token = auth->identity_token,
			.registry_token = auth->registry_token,
		};
	return image_pull(op->op.node->images, &request, &op->image, err);
}

static enum verdict transfer(struct task *task, struct error *err)
{
	return task_run_in_lane(task, pull_image_of(task)->lane, transfer_work, err);
}

/* What was fetched stays in the store, verified, for the next try. */
static enum verdict forget(struct task *task, struct error *err)
{
	(void)err;
	atomic_store(&pull_image_of(task)->cancelled, true);
	return STEP_DONE;
}

/* ---- the operations ---- */

static void reply_pulled(struct operation *base, struct call *call)
{
	Cri__PullImageResponse message = CRI__PULL_IMAGE_RESPONSE__INIT;

	message.image_ref = container_of(base, struct pull_image, op)->image->id;
	call_reply(call, &message.base);
}

/* The caller has gone: the transfer looks at the flag, the engine waits for it to return. */
static void interrupt(struct operation *base)
{
	atomic_store(&container_of(base, struct pull_image, op)->cancelled, true);
}

static void release(struct operation *base)
{
	struct pull_image *op = container_of(base, struct pull_image, op);

	image_unref(op->image);
	message_free(op->request);
	lane_close(op->lane);
}

static const struct operation_kind pull_kind = {
	.machine = &pull_image_machine,
	.size = sizeof(struct pull_image),
	.interrupt = interrupt,
	.reply = reply_pulled,
	.release = release,
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
	if (!op->request || lane_open(node->loop->lanes, "image", &op->lane, err) < 0) {
		operation_discard(&op->op);
		return -1;
	}
	operation_title(&op->op, "pull %.200s", op->request->image->image);
	operation_begin(&op->op, node_pull_turns(node));
	return 0;
}

void op_pull_image(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (pull(node, call, &err) < 0)
		call_fail(call, &err);
}
