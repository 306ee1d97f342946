/*
 * ImportImage: an archive is read in a lane of its own, and no longer than its caller waits. Imports take turns with pulls: each holds a
 * thread and some megabytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "proto/admin.pb-c.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* Who writes into the pipe may be slow; a client's own deadline is mostly shorter. */
#define IMPORT_DEADLINE_MS (60 * 60 * 1000)

struct import_image {
	struct operation op;                /* first */
	Admin__ImportImageRequest *request; /* ours: the lane may outlive the call */
	int fd;                             /* that came with the connection; -1: none */
	char **only;                        /* the request's, NULL-terminated */
	struct lane *lane;
	atomic_bool cancelled;
	struct import_result result;
};

static step_fn read_archive, stop_reading;

static const struct step steps[] = {
	/* name           run           undo          deadline_ms */
	{ "archive", read_archive, stop_reading, IMPORT_DEADLINE_MS },
};

const struct machine import_image_machine = MACHINE("import_image", steps);

static struct import_image *import_image_of(struct task *task)
{
	return container_of(task, struct import_image, op.task);
}

/* ---- archive ---- */

static int open_archive(struct import_image *op, struct error *err)
{
	if (op->fd >= 0)
		return 0;
	/* O_NONBLOCK: a fifo without a writer would hold the lane for ever */
	op->fd = open(op->request->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return op->fd < 0 ? error_sys(err, errno, "open %s", op->request->path) : 0;
}

static int read_archive_work(struct task *task, struct error *err)
{
	struct import_image *op = import_image_of(task);
	struct import_request request = {
		.name = *op->request->name ? op->request->name : NULL,
		.only = op->only,
		.cancelled = &op->cancelled,
	};

	if (open_archive(op, err) < 0)
		return -1;
	request.fd = op->fd;
	return image_import(op->op.node->images, &request, &op->result, err);
}

static enum verdict read_archive(struct task *task, struct error *err)
{
	return task_run_in_lane(task, import_image_of(task)->lane, read_archive_work, err);
}

static enum verdict stop_reading(struct task *task, struct error *err)
{
	(void)err;
	atomic_store(&import_image_of(task)->cancelled, true);
	return STEP_DONE;
}

/* ---- the operation ---- */

static Admin__ImportedImage *describe(struct arena *arena, const struct image *image)
{
	Admin__ImportedImage *message = arena_new(arena, Admin__ImportedImage);

	if (!message)
		return NULL;
	admin__imported_image__init(message);
	message->image_id = image->id;
	message->repo_tags = image->repo_tags;
	while (image->repo_tags[message->n_repo_tags])
		message->n_repo_tags++;
	return message;
}

static void reply(struct operation *base, struct call *call)
{
	const struct import_result *result = &container_of(base, struct import_image, op)->result;
	Admin__ImportImageResponse message = ADMIN__IMPORT_IMAGE_RESPONSE__INIT;

	message.images = arena_new_array(&call->arena, Admin__ImportedImage *, result->n_images + 1);
	for (size_t i = 0; message.images && i < result->n_images; i++)
		message.images[message.n_images++] = describe(&call->arena, result->images[i]);
	call_reply_or_fail(call, &message.base);
}

/* The caller has gone: the reader looks at the flag, the engine waits for it to return. */
static void interrupt(struct operation *base)
{
	atomic_store(&container_of(base, struct import_image, op)->cancelled, true);
}

static void release(struct operation *base)
{
	struct import_image *op = container_of(base, struct import_image, op);

	image_list_free(op->result.images);
	close_fd(&op->fd);
	free(op->only);
	message_free(op->request);
	lane_close(op->lane);
}

static const struct operation_kind kind = {
	.machine = &import_image_machine,
	.size = sizeof(struct import_image),
	.interrupt = interrupt,
	.reply = reply,
	.release = release,
};

/* The strings stay the request's. */
static int copy_only(struct import_image *op, struct error *err)
{
	size_t n = op->request->n_only;

	op->only = calloc(n + 1, sizeof(*op->only));
	if (!op->only)
		return error_set(err, ERR_EXHAUSTED, "out of memory for names");
	for (size_t i = 0; i < n; i++)
		op->only[i] = op->request->only[i];
	return 0;
}

static int take_descriptor(struct import_image *op, const struct call *call, struct error *err)
{
	if (!op->request->attached)
		return 0;
	if (!call->attached)
		return error_set(err, ERR_INVALID, "attached: no descriptor came with the connection");
	op->fd = fcntl(*call->attached, F_DUPFD_CLOEXEC, 3);
	return op->fd < 0 ? error_sys(err, errno, "keep the descriptor of the archive") : 0;
}

static int prepare(struct import_image *op, const struct call *call, struct error *err)
{
	op->fd = -1;
	op->request = message_copy(call->request, err);
	if (!op->request || copy_only(op, err) < 0 || take_descriptor(op, call, err) < 0)
		return -1;
	return lane_open(op->op.node->loop->lanes, "image", &op->lane, err);
}

static int import(struct node *node, struct call *call, struct error *err)
{
	struct import_image *op = operation_new(node, &kind, call, err);

	if (!op)
		return -1;
	if (prepare(op, call, err) < 0) {
		operation_discard(&op->op);
		return -1;
	}
	operation_title(&op->op, "import %.200s", op->request->path);
	operation_begin(&op->op, &node->pulls);
	return 0;
}

void op_import_image(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (import(node, call, &err) < 0)
		call_fail(call, &err);
}
