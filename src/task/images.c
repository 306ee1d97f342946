/* ListImages, StreamImages, ImageStatus, ImageFsInfo: from the image store's memory, without waiting. RemoveImage deletes files: in a lane. */
#include <string.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "image/image.h"
#include "loop/lane.h"
#include "task/feed.h"
#include "task/machines.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/operation.h"

static char **copy_list(struct arena *arena, char *const *list, size_t *ret_n)
{
	size_t n = 0;
	char **copy;

	while (list[n])
		n++;
	copy = arena_new_array(arena, char *, n + 1);
	for (size_t i = 0; copy && i < n; i++)
		copy[i] = arena_strdup(arena, list[i]);
	*ret_n = copy ? n : 0;
	return copy;
}

/* What an image says need not be UTF-8, but strings of the wire are: then whatever is not ASCII is lost. */
static void make_text(char *text)
{
	if (!text || utf8_is_text((const uint8_t *)text, strlen(text)))
		return;
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		*p = *p < 0x80 ? *p : '?';
}

/* (uid_t)-1 is no user. */
static bool parse_uid(const char *text, uint64_t *ret_uid)
{
	uint64_t uid = 0;

	for (; *text; text++) {
		uid = uid * 10 + (uint64_t)(*text - '0');
		if (uid >= UINT32_MAX)
			return false;
	}
	*ret_uid = uid;
	return true;
}

/*
 * The user part of USER, a number or a name (CRI Image.uid and Image.username). Kubelets take an image without either for root's and
 * ask for user 0. A number that is no user id is therefore handed out as a name: it comes back as run_as_username and is refused,
 * and runAsNonRoot does not take it either (CVE-2024-40635).
 */
static void set_user(struct arena *arena, Cri__Image *message, const char *user)
{
	size_t len = strcspn(user, ":");
	char *name = arena_strndup(arena, user, len);
	uint64_t uid;

	if (!name || len == 0)
		return;
	if (strspn(name, "0123456789") != len || !parse_uid(name, &uid)) {
		make_text(name);
		message->username = name;
		return;
	}
	message->uid = arena_new(arena, Cri__Int64Value);
	if (!message->uid)
		return;
	cri__int64_value__init(message->uid);
	message->uid->value = (int64_t)uid;
}

static Cri__ImageSpec *spec_message(struct arena *arena, const char *id)
{
	Cri__ImageSpec *spec = arena_new(arena, Cri__ImageSpec);

	if (!spec)
		return NULL;
	cri__image_spec__init(spec);
	spec->image = arena_strdup(arena, id);
	return spec;
}

static Cri__Image *image_message(struct arena *arena, const struct image *image)
{
	Cri__Image *message = arena_new(arena, Cri__Image);

	if (!message)
		return NULL;
	cri__image__init(message);
	message->id = arena_strdup(arena, image->id);
	message->repo_tags = copy_list(arena, image->repo_tags, &message->n_repo_tags);
	message->repo_digests = copy_list(arena, image->repo_digests, &message->n_repo_digests);
	message->size = image->size_bytes;
	message->spec = spec_message(arena, image->id);
	message->pinned = image->pinned;
	set_user(arena, message, image->config.user);
	return message;
}

static void fail_memory(struct call *call)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
	call_fail(call, &err);
}

/* ---- ListImages ---- */

static int collect(struct node *node, const Cri__ImageFilter *filter, struct image ***ret_images, size_t *ret_n, struct error *err)
{
	const char *wanted = filter && filter->image ? filter->image->image : "";
	struct image **one;

	if (!*wanted)
		return image_list(node->images, ret_images, ret_n, err);
	one = calloc(2, sizeof(*one));
	if (!one)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (image_find(node->images, wanted, &one[0], err) < 0) {
		free(one);
		return -1;
	}
	*ret_images = one;
	*ret_n = one[0] != NULL;
	return 0;
}

void op_list_images(struct node *node, struct call *call)
{
	Cri__ListImagesResponse reply = CRI__LIST_IMAGES_RESPONSE__INIT;
	struct error err = ERROR_INIT;
	struct image **images;
	size_t n;

	if (collect(node, ((const Cri__ListImagesRequest *)call->request)->filter, &images, &n, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	reply.images = arena_new_array(&call->arena, Cri__Image *, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (reply.images)
			reply.images[reply.n_images++] = image_message(&call->arena, images[i]);
		image_unref(images[i]);
	}
	free(images);
	if (arena_failed(&call->arena))
		fail_memory(call);
	else
		call_reply(call, &reply.base);
}

static ProtobufCMessage *image_item(struct arena *arena, void *object)
{
	Cri__Image *message = image_message(arena, object);

	return message ? &message->base : NULL;
}

static bool send_images(struct call *call, void **items, size_t n)
{
	Cri__StreamImagesResponse part = CRI__STREAM_IMAGES_RESPONSE__INIT;

	part.images = (Cri__Image **)items;
	part.n_images = n;
	return call_send(call, &part.base);
}

static void unref_image(void *object)
{
	image_unref(object);
}

void op_stream_images(struct node *node, struct call *call)
{
	static const struct feed_kind kind = { .item = image_item, .send = send_images, .unref = unref_image };
	struct error err = ERROR_INIT;
	struct image **images;
	size_t n;

	if (collect(node, ((const Cri__StreamImagesRequest *)call->request)->filter, &images, &n, &err) < 0)
		call_fail(call, &err);
	else
		feed_begin(call, &kind, (void **)images, n);
}

/* ---- ImageStatus ---- */

static void add_list(cJSON *object, const char *name, char *const *list)
{
	cJSON *array = cJSON_AddArrayToObject(object, name);

	for (; array && *list; list++)
		(void)cJSON_AddItemToArray(array, cJSON_CreateString(*list));
}

static char *verbose_text(struct arena *arena, const struct image *image)
{
	cJSON *root = cJSON_CreateObject(), *config = cJSON_AddObjectToObject(root, "config");
	char *text, *copy;

	add_list(config, "env", image->config.env);
	add_list(config, "entrypoint", image->config.entrypoint);
	add_list(config, "cmd", image->config.cmd);
	(void)cJSON_AddStringToObject(config, "workingDir", image->config.working_dir);
	(void)cJSON_AddStringToObject(config, "user", image->config.user);
	(void)cJSON_AddStringToObject(config, "stopSignal", image->config.stop_signal);
	add_list(root, "layers", image->layer_dirs);
	text = cJSON_PrintUnformatted(root);
	copy = text ? arena_strdup(arena, text) : NULL;
	make_text(copy);
	cJSON_free(text);
	cJSON_Delete(root);
	return copy;
}

static void add_verbose(struct arena *arena, Cri__ImageStatusResponse *reply, const struct image *image)
{
	Cri__ImageStatusResponse__InfoEntry *entry = arena_new(arena, Cri__ImageStatusResponse__InfoEntry);

	reply->info = arena_new(arena, Cri__ImageStatusResponse__InfoEntry *);
	if (!entry || !reply->info)
		return;
	cri__image_status_response__info_entry__init(entry);
	entry->key = arena_strdup(arena, "info");
	entry->value = verbose_text(arena, image);
	if (!entry->key || !entry->value)
		return;
	reply->info[0] = entry;
	reply->n_info = 1;
}

void op_image_status(struct node *node, struct call *call)
{
	const Cri__ImageStatusRequest *request = (const Cri__ImageStatusRequest *)call->request;
	Cri__ImageStatusResponse reply = CRI__IMAGE_STATUS_RESPONSE__INIT;
	struct image *image = NULL;
	struct error err = ERROR_INIT;

	if (!request->image || !*request->image->image) {
		(void)error_set(&err, ERR_INVALID, "image.image is missing");
		call_fail(call, &err);
		return;
	}
	if (image_find(node->images, request->image->image, &image, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (image) {
		reply.image = image_message(&call->arena, image);
		if (request->verbose)
			add_verbose(&call->arena, &reply, image);
	}
	image_unref(image);
	if (arena_failed(&call->arena))
		fail_memory(call);
	else
		call_reply(call, &reply.base);
}

/* ---- ImageFsInfo ---- */

static Cri__FilesystemUsage **usage_message(struct arena *arena, const char *path, uint64_t bytes, uint64_t inodes)
{
	Cri__FilesystemUsage **list = arena_new(arena, Cri__FilesystemUsage *);
	Cri__FilesystemUsage *usage = arena_new(arena, Cri__FilesystemUsage);
	Cri__FilesystemIdentifier *id = arena_new(arena, Cri__FilesystemIdentifier);
	Cri__UInt64Value *values = arena_new_array(arena, Cri__UInt64Value, 2);

	if (!list || !usage || !id || !values)
		return NULL;
	cri__filesystem_usage__init(usage);
	cri__filesystem_identifier__init(id);
	cri__uint64_value__init(&values[0]);
	cri__uint64_value__init(&values[1]);
	id->mountpoint = arena_strdup(arena, path);
	values[0].value = bytes;
	values[1].value = inodes;
	usage->timestamp = clock_realtime_ns();
	usage->fs_id = id;
	usage->used_bytes = &values[0];
	usage->inodes_used = &values[1];
	list[0] = usage;
	return list;
}

void op_image_fs_info(struct node *node, struct call *call)
{
	Cri__ImageFsInfoResponse reply = CRI__IMAGE_FS_INFO_RESPONSE__INIT;
	const char *images = arena_printf(&call->arena, "%s/images", node->config->root_dir);
	struct image_fs_usage usage;

	image_store_usage(node->images, &usage);
	if (images)
		reply.image_filesystems = usage_message(&call->arena, images, usage.used_bytes, usage.inodes);
	/* Writable layers lie on the same file system; kubelet compares the two mount points to learn just that. */
	reply.container_filesystems = reply.image_filesystems;
	reply.n_image_filesystems = reply.n_container_filesystems = reply.image_filesystems ? 1 : 0;
	if (arena_failed(&call->arena))
		fail_memory(call);
	else
		call_reply(call, &reply.base);
}

/* ---- RemoveImage ---- */

struct remove_image {
	struct operation op; /* first */
	Cri__RemoveImageRequest *request;
};

static step_fn remove_files;

static const struct step steps[] = {
	/* name       run           undo  deadline_ms */
	{ "files", remove_files, NULL, 600000 },
};

const struct machine remove_image_machine = MACHINE("remove_image", steps);

static int remove_files_work(struct task *task, struct error *err)
{
	const struct remove_image *op = container_of(task, struct remove_image, op.task);

	return image_remove(op->op.node->images, op->request->image->image, err);
}

static enum verdict remove_files(struct task *task, struct error *err)
{
	const struct remove_image *op = container_of(task, struct remove_image, op.task);

	return task_run_in_lane(task, op->op.node->image_lane, remove_files_work, err);
}

static void reply_removed(struct operation *base, struct call *call)
{
	Cri__RemoveImageResponse message = CRI__REMOVE_IMAGE_RESPONSE__INIT;

	(void)base;
	call_reply(call, &message.base);
}

static void release(struct operation *base)
{
	message_free(container_of(base, struct remove_image, op)->request);
}

static const struct operation_kind kind = {
	.machine = &remove_image_machine,
	.size = sizeof(struct remove_image),
	.outlives_caller = true,
	.reply = reply_removed,
	.release = release,
};

void op_remove_image(struct node *node, struct call *call)
{
	const Cri__RemoveImageRequest *request = (const Cri__RemoveImageRequest *)call->request;
	struct error err = ERROR_INIT;
	struct remove_image *op = NULL;

	if (!request->image || !*request->image->image)
		(void)error_set(&err, ERR_INVALID, "image.image is missing");
	else
		op = operation_new(node, &kind, call, &err);
	if (op && !(op->request = message_copy(call->request, &err))) {
		operation_discard(&op->op);
		op = NULL;
	}
	if (!op) {
		call_fail(call, &err);
		return;
	}
	operation_title(&op->op, "remove image %.200s", request->image->image);
	operation_begin(&op->op, NULL);
}
