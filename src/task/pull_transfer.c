/*
 * From turn to turn: join() finds an open transfer or makes one; start() when its turn has come; the store's work in a lane of its own;
 * on_done() answers those who still wait; on_release() gives the turn to the next.
 */
#include "task/pull_transfer.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/pull_watch.h"

struct pull_transfer {
	struct job job;
	struct turn turn;
	struct node *node;
	struct operation *keeper; /* of the first caller, held until the end: the node does not close before */
	Cri__PullImageRequest *request;
	char *reference; /* in its full spelling */
	struct pull_board *board;
	struct lane *lane;
	atomic_bool cancelled;
	bool is_open;      /* may be joined: in node->transfers */
	bool is_submitted; /* the lane has the job */
	struct image *image;
	struct pull_share *shares;
	struct pull_transfer *prev, *next;
};

static void close_door(struct pull_transfer *transfer)
{
	if (transfer->is_open)
		DL_DELETE(transfer->node->transfers, transfer);
	transfer->is_open = false;
}

static void free_transfer(struct pull_transfer *transfer)
{
	message_free(transfer->request);
	free(transfer->reference);
	image_unref(transfer->image);
	pull_board_unref(transfer->board);
	lane_close(transfer->lane);
	free(transfer);
}

static void end_transfer(struct pull_transfer *transfer)
{
	struct operation *keeper = transfer->keeper;

	turn_give(&transfer->turn);
	free_transfer(transfer);
	operation_drop(keeper);
}

static void answer_all(struct pull_transfer *transfer, int result, const struct error *err)
{
	struct pull_share *share;

	close_door(transfer);
	while ((share = transfer->shares)) {
		DL_DELETE(transfer->shares, share);
		share->transfer = NULL;
		if (result == 0)
			share->image = image_ref(transfer->image);
		task_resume_visit(&share->op->task, share->ticket, result, err);
	}
}

/* ---- in the lane ---- */

static int work(struct job *job, struct error *err)
{
	struct pull_transfer *transfer = container_of(job, struct pull_transfer, job);
	const Cri__AuthConfig *auth = transfer->request->auth;
	struct pull_request request = {
		.reference = transfer->request->image->image,
		.cancelled = &transfer->cancelled,
		.progress = pull_board_write,
		.progress_arg = transfer->board,
	};

	if (auth)
		request.auth = (struct image_auth){
			.username = auth->username,
			.password = auth->password,
			.auth = auth->auth,
			.server_address = auth->server_address,
			.identity_token = auth->identity_token,
			.registry_token = auth->registry_token,
		};
	return image_pull(transfer->node->images, &request, &transfer->image, err);
}

/* The flag ends work that has outlived its deadline. */
static void on_done(struct job *job, int result, const struct error *err)
{
	struct pull_transfer *transfer = container_of(job, struct pull_transfer, job);

	atomic_store(&transfer->cancelled, true);
	answer_all(transfer, result, err);
}

static void on_release(struct job *job)
{
	end_transfer(container_of(job, struct pull_transfer, job));
}

static void start(struct pull_transfer *transfer)
{
	struct error err = ERROR_INIT;

	transfer->job = (struct job){
		.name = "pull",
		.work = work,
		.done = on_done,
		.release = on_release,
		.deadline_ms = PULL_DEADLINE_MS,
	};
	if (lane_submit(transfer->lane, &transfer->job, &err) == 0) {
		transfer->is_submitted = true;
		return;
	}
	answer_all(transfer, -1, &err);
	end_transfer(transfer);
}

static void on_turn(struct turn *turn)
{
	start(container_of(turn, struct pull_transfer, turn));
}

/* ---- joining and leaving ---- */

static bool same_credentials(const Cri__AuthConfig *a, const Cri__AuthConfig *b)
{
	static const Cri__AuthConfig none = CRI__AUTH_CONFIG__INIT;

	return message_equal(a ? &a->base : &none.base, b ? &b->base : &none.base);
}

static struct pull_transfer *find(struct node *node, const char *reference, const Cri__PullImageRequest *request)
{
	struct pull_transfer *transfer;

	DL_FOREACH (node->transfers, transfer) {
		if (!strcmp(transfer->reference, reference) && same_credentials(transfer->request->auth, request->auth))
			return transfer;
	}
	return NULL;
}

static int prepare(struct pull_transfer *transfer, const char *reference, const Cri__PullImageRequest *request, struct error *err)
{
	transfer->reference = strdup(reference);
	transfer->board = pull_board_new();
	if (!transfer->reference || !transfer->board)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	transfer->request = message_copy(&request->base, err);
	return transfer->request ? lane_open(transfer->node->loop->lanes, "image", &transfer->lane, err) : -1;
}

static struct pull_transfer *make(struct operation *op, const char *reference, const Cri__PullImageRequest *request,
				  struct error *err)
{
	struct pull_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
		return NULL;
	}
	transfer->node = op->node;
	if (prepare(transfer, reference, request, err) < 0) {
		free_transfer(transfer);
		return NULL;
	}
	transfer->keeper = op;
	operation_hold(op);
	DL_APPEND(op->node->transfers, transfer);
	transfer->is_open = true;
	return transfer;
}

enum verdict pull_share_join(struct pull_share *share, struct operation *op, const Cri__PullImageRequest *request,
			     struct error *err)
{
	_cleanup_free_
	char *reference = NULL;
	struct pull_transfer *transfer;
	bool is_new;

	if (image_normalize(request->image->image, &reference, err) < 0)
		return STEP_FAILED;
	transfer = find(op->node, reference, request);
	is_new = !transfer;
	if (is_new)
		transfer = make(op, reference, request, err);
	if (!transfer)
		return STEP_FAILED;
	share->op = op;
	share->board = pull_board_ref(transfer->board);
	share->ticket = task_ticket(&op->task);
	share->transfer = transfer;
	DL_APPEND(transfer->shares, share);
	if (is_new && turn_take(&op->node->pulls, &transfer->turn, on_turn))
		start(transfer);
	return STEP_WAIT;
}

/* Work that goes on sees the flag within moments; its turn is given when it has returned. */
void pull_share_leave(struct pull_share *share)
{
	struct pull_transfer *transfer = share->transfer;

	if (!transfer)
		return;
	DL_DELETE(transfer->shares, share);
	share->transfer = NULL;
	if (transfer->shares)
		return;
	close_door(transfer);
	atomic_store(&transfer->cancelled, true);
	if (transfer->is_submitted)
		lane_cancel(transfer->lane, &transfer->job);
	else
		end_transfer(transfer);
}

void pull_share_release(struct pull_share *share)
{
	pull_share_leave(share);
	image_unref(share->image);
	pull_board_unref(share->board);
	share->image = NULL;
	share->board = NULL;
}
