/* PullImage of the Admin service: a share in a transfer (pull_transfer.h) that tells how far it is (pull_watch.h). */
#include "base/mem.h"
#include "image/image.h"
#include "proto/admin.pb-c.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/pull_transfer.h"
#include "task/pull_watch.h"

struct watch_pull {
	struct operation op;              /* first */
	Admin__PullImageRequest *request; /* ours: the call may end before the operation does */
	struct pull_share share;
	struct pull_watch watch;
};

static step_fn transfer, leave;

static const struct step steps[] = {
	/* name          run        undo    deadline_ms */
	{ "transfer", transfer, leave, PULL_DEADLINE_MS },
};

const struct machine watch_pull_machine = MACHINE("watch_pull", steps);

static struct watch_pull *watch_pull_of(struct operation *base)
{
	return container_of(base, struct watch_pull, op);
}

/* ---- transfer ---- */

static enum verdict transfer(struct task *task, struct error *err)
{
	struct watch_pull *op = container_of(task, struct watch_pull, op.task);
	enum verdict verdict = pull_share_join(&op->share, &op->op, op->request->pull, err);

	if (verdict != STEP_FAILED)
		pull_watch_begin(&op->watch, &op->op, pull_board_ref(op->share.board));
	return verdict;
}

static enum verdict leave(struct task *task, struct error *err)
{
	(void)err;
	pull_share_leave(&container_of(task, struct watch_pull, op.task)->share);
	return STEP_DONE;
}

/* ---- the operation ---- */

static void reply(struct operation *base, struct call *call)
{
	struct watch_pull *op = watch_pull_of(base);

	pull_watch_finish(&op->watch, call, op->share.image->id);
}

static void ended(struct operation *base)
{
	pull_watch_end(&watch_pull_of(base)->watch);
}

static void release(struct operation *base)
{
	struct watch_pull *op = watch_pull_of(base);

	pull_watch_release(&op->watch);
	pull_share_release(&op->share);
	message_free(op->request);
}

static const struct operation_kind kind = {
	.machine = &watch_pull_machine,
	.size = sizeof(struct watch_pull),
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

void op_watch_pull(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;
	struct watch_pull *op = operation_new(node, &kind, call, &err);

	if (op && !(op->request = message_copy(call->request, &err))) {
		operation_discard(&op->op);
		op = NULL;
	}
	if (!op) {
		call_fail(call, &err);
		return;
	}
	call->on_drain = on_drain;
	operation_title(&op->op, "pull %.200s", op->request->pull->image->image);
	operation_begin(&op->op, NULL);
}
