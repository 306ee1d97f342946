/*
 * PullImage and ImportImage: the image store's work in a lane of its own per request. A pull ends when its caller leaves.
 *
 * The store itself lets requests for the same blob wait for each other; here only their number is bounded, because each holds a
 * thread and up to a few megabytes. The rest queue in the order in which they came, like every operation on the node's pulls.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "proto/admin.pb-c.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* Registries are slow by minutes, not by hours; the store gives up a transfer that does not move (pull_progress_timeout). */
#define PULL_DEADLINE_MS (60 * 60 * 1000)

struct pull_image {
	struct operation op;            /* first */
	Cri__PullImageRequest *request; /* one of these two, ours: the lane may outlive the call */
	Admin__ImportImageRequest *import;
	struct lane *lane;
	atomic_bool cancelled;
	struct image *image;
};

static step_fn transfer, read_archive, forget;

static const struct step pull_steps[] = {
	/* name          run        undo    deadline_ms */
	{ "transfer", transfer, forget, PULL_DEADLINE_MS },
};

static const struct step import_steps[] = {
	{ "archive", read_archive, forget, PULL_DEADLINE_MS },
};

const struct machine pull_image_machine = MACHINE("pull_image", pull_steps);
const struct machine import_image_machine = MACHINE("import_image", import_steps);

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

/* ---- archive ---- */

static int read_archive_work(struct task *task, struct error *err)
{
	struct pull_image *op = pull_image_of(task);
	const char *name = *op->import->name ? op->import->name : NULL;
	/* O_NONBLOCK: a fifo without a writer would hold the lane for ever */
	_cleanup_fd_ int fd = open(op->import->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return error_sys(err, errno, "open %s", op->import->path);
	return image_import(op->op.node->images, fd, name, &op->cancelled, &op->image, err);
}

static enum verdict read_archive(struct task *task, struct error *err)
{
	return task_run_in_lane(task, pull_image_of(task)->lane, read_archive_work, err);
}

/* ---- the operations ---- */

static void reply_pulled(struct operation *base, struct call *call)
{
	Cri__PullImageResponse message = CRI__PULL_IMAGE_RESPONSE__INIT;

	message.image_ref = container_of(base, struct pull_image, op)->image->id;
	call_reply(call, &message.base);
}

static void reply_imported(struct operation *base, struct call *call)
{
	const struct image *image = container_of(base, struct pull_image, op)->image;
	Admin__ImportImageResponse message = ADMIN__IMPORT_IMAGE_RESPONSE__INIT;

	message.image_id = image->id;
	message.repo_tags = image->repo_tags;
	while (image->repo_tags[message.n_repo_tags])
		message.n_repo_tags++;
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
	message_free(op->import);
	lane_close(op->lane);
}

static const struct operation_kind pull_kind = {
	.machine = &pull_image_machine,
	.size = sizeof(struct pull_image),
	.interrupt = interrupt,
	.reply = reply_pulled,
	.release = release,
};

static const struct operation_kind import_kind = {
	.machine = &import_image_machine,
	.size = sizeof(struct pull_image),
	.interrupt = interrupt,
	.reply = reply_imported,
	.release = release,
};

static struct pull_image *make(struct node *node, const struct operation_kind *kind, struct call *call, void **ret_copy,
			       struct error *err)
{
	struct pull_image *op = operation_new(node, kind, call, err);

	if (!op)
		return NULL;
	*ret_copy = message_copy(call->request, err);
	if (*ret_copy && lane_open(node->loop->lanes, "image", &op->lane, err) == 0)
		return op;
	operation_discard(&op->op);
	return NULL;
}

static int pull(struct node *node, struct call *call, struct error *err)
{
	const Cri__PullImageRequest *request = (const Cri__PullImageRequest *)call->request;
	struct pull_image *op;
	void *copy = NULL;

	if (!request->image || !*request->image->image)
		return error_set(err, ERR_INVALID, "image.image is missing");
	op = make(node, &pull_kind, call, &copy, err);
	if (!op) {
		message_free(copy);
		return -1;
	}
	op->request = copy;
	operation_title(&op->op, "pull %.200s", op->request->image->image);
	operation_begin(&op->op, node_pull_turns(node));
	return 0;
}

static int import(struct node *node, struct call *call, struct error *err)
{
	const Admin__ImportImageRequest *request = (const Admin__ImportImageRequest *)call->request;
	struct pull_image *op;
	void *copy = NULL;

	if (request->path[0] != '/')
		return error_set(err, ERR_INVALID, "path: '%s' is not absolute", request->path);
	op = make(node, &import_kind, call, &copy, err);
	if (!op) {
		message_free(copy);
		return -1;
	}
	op->import = copy;
	operation_title(&op->op, "import %.200s", op->import->path);
	operation_begin(&op->op, node_pull_turns(node));
	return 0;
}

void op_pull_image(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (pull(node, call, &err) < 0)
		call_fail(call, &err);
}

void op_import_image(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (import(node, call, &err) < 0)
		call_fail(call, &err);
}
