/*
 * CreateContainer: a record, two directories and a copy of the seccomp profile; everything else is made when it is started.
 *
 * A repeated request with the same configuration joins the one in flight, or gets the id of the container that it made as long as
 * that has not been started; with another configuration the name is taken. What is made stays when the caller leaves: the caller
 * finds it under the same name, and it costs a record and two directories. A request for a name that is being undone or removed waits for
 * the end of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "task/container_cdi.h"
#include "task/container_spec.h"
#include "task/latecomer.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/path.h"
#include "task/signals.h"
#include "task/store.h"
#include "task/user_ns.h"

struct caller {
	struct create_container *op;
	struct call *call;
	struct caller *prev, *next;
};

struct create_container {
	struct operation op; /* first */
	struct container *container;
	struct caller *callers;
};

static step_fn write_record, erase_record, make_directories, remove_directories, publish;

static const struct step steps[] = {
	/* name             run                 undo                  deadline_ms */
	{ "record", write_record, erase_record, 5000 },
	{ "directories", make_directories, remove_directories, 30000 },
	{ "publish", publish, NULL, 5000 },
};

const struct machine create_container_machine = MACHINE("create_container", steps);

static struct create_container *create_container_of(struct task *task)
{
	return container_of(task, struct create_container, op.task);
}

/* ---- record ---- */

static enum verdict write_record(struct task *task, struct error *err)
{
	return container_save(create_container_of(task)->container, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict erase_record(struct task *task, struct error *err)
{
	const struct container *container = create_container_of(task)->container;

	return store_erase(container->node->store, STORE_CONTAINER, container->id, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- directories ---- */

static int make_dir(const char *dir, const char *name, mode_t mode, struct error *err)
{
	char path[PATH_MAX];

	if (path_format(path, err, "%s%s", dir, name) < 0)
		return -1;
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create %s", path);
	if (chmod(path, mode) < 0) /* whatever our umask is */
		return error_sys(err, errno, "set mode of %s", path);
	return 0;
}

/* So that the caller learns at once of a device that is not there; they are asked again when the container starts. */
static int check_cdi(const struct container *container, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	struct cdi_edits edits;

	return container_cdi(container, &scratch, &edits, err) < 0 ? error_prefix(err, "config.CDI_devices") : 0;
}

/* The upper directory's mode and owner are those of the container's root. */
static int make_directories_work(struct task *task, struct error *err)
{
	const char *profile;
	const struct container *container = create_container_of(task)->container;
	char upper[PATH_MAX];

	if (make_dir(container->root_dir, "", 0700, err) < 0 || make_dir(container->root_dir, "/upper", 0755, err) < 0 ||
	    make_dir(container->root_dir, "/work", 0700, err) < 0)
		return -1;
	if (path_format(upper, err, "%s/upper", container->root_dir) < 0 || sandbox_own(container->sandbox->config, upper, err) < 0)
		return -1;
	if (make_dir(container->state_dir, "", 0700, err) < 0)
		return -1;
	if (check_cdi(container, err) < 0 || container_apparmor(container, &profile, err) < 0)
		return -1;
	return container_keep_seccomp(container, err);
}

static enum verdict make_directories(struct task *task, struct error *err)
{
	return task_run_in_lane(task, create_container_of(task)->container->lane, make_directories_work, err);
}

static int remove_directories_work(struct task *task, struct error *err)
{
	const struct container *container = create_container_of(task)->container;

	if (io_remove_tree(AT_FDCWD, container->state_dir, err) < 0)
		return -1;
	return io_remove_tree(AT_FDCWD, container->root_dir, err);
}

static enum verdict remove_directories(struct task *task, struct error *err)
{
	return task_run_in_lane(task, create_container_of(task)->container->lane, remove_directories_work, err);
}

/* ---- publish ---- */

static enum verdict publish(struct task *task, struct error *err)
{
	struct container *container = create_container_of(task)->container;

	if (container_save_as(container, CONTAINER_STATE_CREATED, err) < 0)
		return STEP_FAILED;
	container->creator = NULL;
	container_set_state(container, CONTAINER_STATE_CREATED);
	return STEP_DONE;
}

/* ---- callers ---- */

static void on_caller_gone(struct call *call, const struct error *why)
{
	struct caller *caller = call->op;

	DL_DELETE(caller->op->callers, caller);
	free(caller);
	call_fail(call, why);
}

static void reply_id(struct call *call, char *id)
{
	Cri__CreateContainerResponse reply = CRI__CREATE_CONTAINER_RESPONSE__INIT;

	reply.container_id = id;
	call_reply(call, &reply.base);
}

static int join(struct create_container *op, struct call *call, struct error *err)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	caller->op = op;
	caller->call = call;
	call->op = caller;
	call->on_cancel = on_caller_gone;
	DL_APPEND(op->callers, caller);
	return 0;
}

static void settle(struct operation *base, int result, const struct error *err)
{
	struct create_container *op = container_of(base, struct create_container, op);
	struct caller *caller, *next;
	struct error titled = ERROR_INIT;

	if (result < 0) {
		titled = *err;
		(void)error_prefix(&titled, "%s", base->title);
		op->container->creator = NULL;
		container_set_state(op->container, CONTAINER_STATE_GONE);
		container_forget(op->container);
	}
	DL_FOREACH_SAFE (op->callers, caller, next) {
		struct call *call = caller->call;

		DL_DELETE(op->callers, caller);
		free(caller);
		if (result < 0)
			call_fail(call, &titled);
		else
			reply_id(call, op->container->id);
	}
}

static void release(struct operation *base)
{
	container_unref(container_of(base, struct create_container, op)->container);
}

static const struct operation_kind kind = {
	.machine = &create_container_machine,
	.size = sizeof(struct create_container),
	.settle = settle,
	.release = release,
};

/* ---- the request ---- */

static int find_image(struct node *node, const Cri__ContainerConfig *config, struct image **ret_image, struct error *err)
{
	const char *reference = config->image ? config->image->image : "";

	if (!*reference)
		return error_set(err, ERR_INVALID, "config.image.image is missing");
	if (image_find(node->images, reference, ret_image, err) < 0)
		return error_prefix(err, "config.image.image");
	if (!*ret_image)
		return error_set(err, ERR_NOT_FOUND, "image %s is not here; pull it first", reference);
	return 0;
}

/* Kubelets look for the prefix, and ask only where Status says that we can. */
static int check_node(const struct node *node, const Cri__ContainerConfig *config, struct error *err)
{
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (config->mounts[i]->recursive_read_only && !node->may_recursive_readonly)
			return error_set(
				err, ERR_STATE,
				"RROUnsupported: config.mounts[%zu].recursive_read_only: this kernel makes no whole trees of "
				"mounts read-only (Linux 5.12)",
				i);
	}
	return 0;
}

static struct container *make_container(struct sandbox *sandbox, Cri__ContainerConfig *config, struct image *image,
					struct error *err)
{
	struct container *container;
	char id[ID_SIZE];

	id_generate(id);
	container = container_new(sandbox, id, config, err);
	if (!container) {
		message_free(config);
		return NULL;
	}
	container->image = image_ref(image);
	container->image_id = strdup(image->id);
	container->stop_signal = signal_choose(config->stop_signal, image->config.stop_signal);
	if (!container->image_id || volume_images_find(sandbox->node->images, config, &container->volume_images, err) < 0 ||
	    container_publish(container, err) < 0) {
		if (err->code == ERR_NONE)
			(void)error_set(err, ERR_EXHAUSTED, "out of memory");
		container_unref(container);
		return NULL;
	}
	return container;
}

/* Takes the configuration. */
static int begin(struct sandbox *sandbox, Cri__ContainerConfig *config, struct image *image, struct call *call, struct error *err)
{
	struct create_container *op = operation_new(sandbox->node, &kind, NULL, err);

	if (!op) {
		message_free(config);
		return -1;
	}
	op->container = make_container(sandbox, config, image, err);
	if (!op->container || join(op, call, err) < 0) {
		if (op->container)
			container_forget(op->container);
		operation_discard(&op->op);
		return -1;
	}
	op->container->creator = op;
	operation_title(&op->op, "create container %s", config->metadata->name);
	operation_begin(&op->op, &op->container->turns);
	return 0;
}

/* Takes the configuration. */
static int start_new(struct sandbox *sandbox, Cri__ContainerConfig *config, struct call *call, struct error *err)
{
	struct image *image = NULL;
	const struct container *other;
	unsigned n;
	int result;

	DL_COUNT(sandbox->containers, other, n);
	if (n >= MAX_CONTAINERS_OF_SANDBOX) {
		message_free(config);
		return error_set(err, ERR_EXHAUSTED, "the sandbox has %u containers; remove some first", n);
	}
	if (find_image(sandbox->node, config, &image, err) < 0 || check_node(sandbox->node, config, err) < 0 ||
	    container_check(sandbox, config, image, err) < 0) {
		message_free(config);
		result = -1;
	} else {
		result = begin(sandbox, config, image, call, err);
	}
	image_unref(image);
	return result;
}

/* Joining it would be joining its end. */
static bool is_ending(const struct container *container)
{
	return container->leaving || (container->creator && task_is_failing(&container->creator->op.task));
}

static int use_existing(struct container *container, const Cri__ContainerConfig *config, struct call *call, struct error *err)
{
	bool same = message_equal(&container->config->base, &config->base);

	if (is_ending(container))
		return container_await(container, call, op_create_container, err);
	if (same && container->state == CONTAINER_STATE_CREATING)
		return join(container->creator, call, err);
	if (!same || container->state != CONTAINER_STATE_CREATED)
		return error_set(err, ERR_EXISTS, "container %s has this name and attempt%s and is %s: remove it first",
				 container->id, same ? "" : ", another configuration,", container_state_name(container->state));
	reply_id(call, container->id);
	return 0;
}

/* Takes the configuration. */
static int create(struct sandbox *sandbox, Cri__ContainerConfig *config, struct call *call, struct error *err)
{
	_cleanup_free_
	char *key = container_name_key(sandbox, config);
	const char *id = key ? name_find(&sandbox->node->container_names, key) : NULL;
	int result;

	config_canonicalize(config);
	if (!id)
		return start_new(sandbox, config, call, err);
	result = use_existing(container_find(sandbox->node, id), config, call, err);
	message_free(config);
	return result;
}

static struct sandbox *find_sandbox(struct node *node, const Cri__CreateContainerRequest *request, struct error *err)
{
	struct sandbox *sandbox = sandbox_find(node, request->pod_sandbox_id);

	if (!request->config || !request->config->metadata)
		(void)error_set(err, ERR_INVALID, "config.metadata is missing");
	else if (!sandbox || !sandbox_is_public(sandbox))
		(void)error_set(err, ERR_NOT_FOUND, "there is no sandbox %s", request->pod_sandbox_id);
	else if (sandbox->state != SANDBOX_READY)
		(void)error_set(err, ERR_STATE, "sandbox %s is %s, not ready", sandbox->id, sandbox_state_name(sandbox->state));
	else
		return sandbox;
	return NULL;
}

void op_create_container(struct node *node, struct call *call)
{
	const Cri__CreateContainerRequest *request = (const Cri__CreateContainerRequest *)call->request;
	struct error err = ERROR_INIT;
	struct sandbox *sandbox = find_sandbox(node, request, &err);
	Cri__ContainerConfig *config = sandbox ? message_copy(&request->config->base, &err) : NULL;

	if (!config || create(sandbox, config, call, &err) < 0)
		call_fail(call, &err);
}
