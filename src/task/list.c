/* ListPodSandbox and ListContainers, and their streams: kubelet asks both every second, so they only walk memory and copy nothing but
 * pointers. */
#include "task/list.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/feed.h"
#include "task/message.h"
#include "task/node_impl.h"

/* An id or its beginning; "" matches all. */
static bool id_matches(const char *id, const char *wanted)
{
	return !strncmp(id, wanted, strlen(wanted));
}

/* ---- sandboxes ---- */

bool sandbox_matches(const struct sandbox *sandbox, const Cri__PodSandboxFilter *filter)
{
	const Cri__PodSandboxConfig *config = sandbox->config;

	if (!sandbox_is_public(sandbox))
		return false;
	if (!filter)
		return true;
	if (!id_matches(sandbox->id, filter->id))
		return false;
	if (filter->state && filter->state->state != sandbox_public_state(sandbox))
		return false;
	return map_contains(MAP(config->labels), config->n_labels, MAP(filter->label_selector), filter->n_label_selector);
}

static Cri__PodSandbox *sandbox_message(struct arena *arena, struct sandbox *sandbox)
{
	const Cri__PodSandboxConfig *config = sandbox->config;
	Cri__PodSandbox *message = arena_new(arena, Cri__PodSandbox);

	if (!message)
		return NULL;
	cri__pod_sandbox__init(message);
	message->id = sandbox->id;
	message->metadata = config->metadata;
	message->state = sandbox_public_state(sandbox);
	message->created_at = sandbox->created_at_ns;
	message->labels = MAP_AS(Cri__PodSandbox__LabelsEntry, config->labels);
	message->n_labels = config->n_labels;
	message->annotations = MAP_AS(Cri__PodSandbox__AnnotationsEntry, config->annotations);
	message->n_annotations = config->n_annotations;
	message->runtime_handler = sandbox->runtime_handler;
	return message;
}

static void answer(struct call *call, const ProtobufCMessage *reply)
{
	struct error err = ERROR_INIT;

	if (!arena_failed(&call->arena)) {
		call_reply(call, reply);
		return;
	}
	(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
	call_fail(call, &err);
}

void op_list_pod_sandbox(struct node *node, struct call *call)
{
	const Cri__ListPodSandboxRequest *request = (const Cri__ListPodSandboxRequest *)call->request;
	Cri__ListPodSandboxResponse reply = CRI__LIST_POD_SANDBOX_RESPONSE__INIT;
	struct sandbox *sandbox, *next;

	reply.items = arena_new_array(&call->arena, Cri__PodSandbox *, HASH_COUNT(node->sandboxes) + 1);
	HASH_ITER (hh, node->sandboxes, sandbox, next)
		if (reply.items && sandbox_matches(sandbox, request->filter))
			reply.items[reply.n_items++] = sandbox_message(&call->arena, sandbox);
	answer(call, &reply.base);
}

static ProtobufCMessage *sandbox_item(struct arena *arena, void *object)
{
	Cri__PodSandbox *message = sandbox_is_public(object) ? sandbox_message(arena, object) : NULL;

	return message ? &message->base : NULL;
}

static bool send_sandboxes(struct call *call, void **items, size_t n)
{
	Cri__StreamPodSandboxesResponse part = CRI__STREAM_POD_SANDBOXES_RESPONSE__INIT;

	part.pod_sandboxes = (Cri__PodSandbox **)items;
	part.n_pod_sandboxes = n;
	return call_send(call, &part.base);
}

static void unref_sandbox(void *object)
{
	sandbox_unref(object);
}

void op_stream_pod_sandboxes(struct node *node, struct call *call)
{
	static const struct feed_kind kind = { .item = sandbox_item, .send = send_sandboxes, .unref = unref_sandbox };
	const Cri__StreamPodSandboxesRequest *request = (const Cri__StreamPodSandboxesRequest *)call->request;
	void **objects = calloc(HASH_COUNT(node->sandboxes) + 1, sizeof(*objects));
	struct sandbox *sandbox, *next;
	size_t n = 0;

	HASH_ITER (hh, node->sandboxes, sandbox, next)
		if (objects && sandbox_matches(sandbox, request->filter))
			objects[n++] = sandbox_ref(sandbox);
	feed_begin(call, &kind, objects, n);
}

/* ---- containers ---- */

bool container_matches(const struct container *container, const Cri__ContainerFilter *filter)
{
	const Cri__ContainerConfig *config = container->config;

	if (!container_is_public(container))
		return false;
	if (!filter)
		return true;
	if (!id_matches(container->id, filter->id) || !id_matches(container->sandbox->id, filter->pod_sandbox_id))
		return false;
	if (filter->state && filter->state->state != container_public_state(container))
		return false;
	return map_contains(MAP(config->labels), config->n_labels, MAP(filter->label_selector), filter->n_label_selector);
}

Cri__ImageSpec *container_image_spec(struct arena *arena, const struct container *container)
{
	Cri__ImageSpec *spec = arena_new(arena, Cri__ImageSpec);
	const Cri__ImageSpec *asked = container->config->image;

	if (!spec)
		return NULL;
	cri__image_spec__init(spec);
	/* Kubelet wants back the name by which it knows the image, when it gave one. */
	spec->image = *asked->user_specified_image ? asked->user_specified_image : asked->image;
	spec->user_specified_image = asked->user_specified_image;
	return spec;
}

static Cri__Container *container_message(struct arena *arena, struct container *container)
{
	const Cri__ContainerConfig *config = container->config;
	Cri__Container *message = arena_new(arena, Cri__Container);

	if (!message)
		return NULL;
	cri__container__init(message);
	message->id = container->id;
	message->pod_sandbox_id = container->sandbox->id;
	message->metadata = config->metadata;
	message->image = container_image_spec(arena, container);
	message->image_ref = message->image_id = container->image_id;
	message->state = container_public_state(container);
	message->created_at = container->created_at_ns;
	message->labels = MAP_AS(Cri__Container__LabelsEntry, config->labels);
	message->n_labels = config->n_labels;
	message->annotations = MAP_AS(Cri__Container__AnnotationsEntry, config->annotations);
	message->n_annotations = config->n_annotations;
	return message;
}

void op_list_containers(struct node *node, struct call *call)
{
	const Cri__ListContainersRequest *request = (const Cri__ListContainersRequest *)call->request;
	Cri__ListContainersResponse reply = CRI__LIST_CONTAINERS_RESPONSE__INIT;
	struct container *container, *next;

	reply.containers = arena_new_array(&call->arena, Cri__Container *, HASH_COUNT(node->containers) + 1);
	HASH_ITER (hh, node->containers, container, next)
		if (reply.containers && container_matches(container, request->filter))
			reply.containers[reply.n_containers++] = container_message(&call->arena, container);
	answer(call, &reply.base);
}

static ProtobufCMessage *container_item(struct arena *arena, void *object)
{
	Cri__Container *message = container_is_public(object) ? container_message(arena, object) : NULL;

	return message ? &message->base : NULL;
}

static bool send_containers(struct call *call, void **items, size_t n)
{
	Cri__StreamContainersResponse part = CRI__STREAM_CONTAINERS_RESPONSE__INIT;

	part.containers = (Cri__Container **)items;
	part.n_containers = n;
	return call_send(call, &part.base);
}

static void unref_container(void *object)
{
	container_unref(object);
}

void op_stream_containers(struct node *node, struct call *call)
{
	static const struct feed_kind kind = { .item = container_item, .send = send_containers, .unref = unref_container };
	const Cri__StreamContainersRequest *request = (const Cri__StreamContainersRequest *)call->request;
	void **objects = calloc(HASH_COUNT(node->containers) + 1, sizeof(*objects));
	struct container *container, *next;
	size_t n = 0;

	HASH_ITER (hh, node->containers, container, next)
		if (objects && container_matches(container, request->filter))
			objects[n++] = container_ref(container);
	feed_begin(call, &kind, objects, n);
}
