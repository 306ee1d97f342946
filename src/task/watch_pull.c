/* PullImage of the Admin service: a pull that tells how far it is (pull_watch.h). It ends when its caller leaves. */
#include <stdatomic.h>

#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "proto/admin.pb-c.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/pull_watch.h"

/* As that of the CRI's PullImage. */
#define PULL_DEADLINE_MS (60 * 60 * 1000)

struct watch_pull {
	struct operation op;              /* first */
	Admin__PullImageRequest *request; /* ours: the lane may outlive the call */
	struct lane *lane;
	atomic_bool cancelled;
	struct image *image;
	struct pull_watch watch;
};

static step_fn transfer, forget;

static const struct step steps[] = {
	/* name          run        undo    deadline_ms */
	{ "transfer", transfer, forget, PULL_DEADLINE_MS },
};

const struct machine watch_pull_machine = MACHINE("watch_pull", steps);

static struct watch_pull *watch_pull_of(struct operation *base)
{
	return container_of(base, struct watch_pull, op);
}

/* ---- transfer ---- */

static int transfer_work(struct task *task, struct error *err)
{
	struct watch_pull *op = container_of(task, struct watch_pull, op.task);
	const Cri__PullImageRequest *pull = op->request->pull;
	struct pull_request request = {
		.reference = pull->image->image,
		.cancelled = &op->cancelled,
		.progress = pull_board_write,
		.progress_arg = op->watch.board,
	};

	if (pull->auth)
		request.auth = (struct image_auth){
			.username = pull->auth->username,
			.password = pull->auth->password,
			.auth = pull->auth->auth,
			.server_address = pull->auth->server_address,
			.identity_token = pull->auth->identity_token,
			.registry_token = pull->auth->registry_token,
		};
	return image_pull(op->op.node->images, &request, &op->image, err);
}

static enum verdict transfer(struct task *task, struct error *err)
{
	return task_run_in_lane(task, container_of(task, struct watch_pull, op.task)->lane, transfer_work, err);
}

static enum verdict forget(struct task *task, struct error *err)
{
	(void)err;
	atomic_store(&container_of(task, struct watch_pull, op.task)->cancelled, true);
	return STEP_DONE;
}

/* ---- the operation ---- */

static void interrupt(struct operation *base)
{
	atomic_store(&watch_pull_of(base)->cancelled, true);
}

static void reply(struct operation *base, struct call *call)
{
	struct watch_pull *op = watch_pull_of(base);

	pull_watch_finish(&op->watch, call, op->image->id);
}

static void ended(struct operation *base)
{
	pull_watch_end(&watch_pull_of(base)->watch);
}

static void release(struct operation *base)
{
	struct watch_pull *op = watch_pull_of(base);

	pull_watch_release(&op->watch);
	image_unref(op->image);
	message_free(op->request);
	lane_close(op->lane);
}

static const struct operation_kind kind = {
	.machine = &watch_pull_machine,
	.size = sizeof(struct watch_pull),
	.interrupt = interrupt,
	.reply = reply,
	.ended = ended,
	.release = release,
};

static void on_drain(struct call *call)
{
	struct operation *base = call->op;

	if (base)
		pull_watch_drained(&watch_pull_of(base)->watch);
}

static int prepare(struct watch_pull *op, struct call *call, struct error *err)
{
	struct pull_board *board;

	op->request = message_copy(call->request, err);
	if (!op->request || lane_open(op->op.node->loop->lanes, "image", &op->lane, err) < 0)
		return -1;
	board = pull_board_new();
	if (!board)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	pull_watch_begin(&op->watch, &op->op, board);
	return 0;
}

void op_watch_pull(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;
	struct watch_pull *op = operation_new(node, &kind, call, &err);

	if (op && prepare(op, call, &err) < 0) {
		operation_discard(&op->op);
		op = NULL;
	}
	if (!op) {
		call_fail(call, &err);
		return;
	}
	call->on_drain = on_drain;
	operation_title(&op->op, "pull %.200s", op->request->pull->image->image);
	operation_begin(&op->op, node_pull_turns(node));
}
