/* PodSandboxStatus and ContainerStatus, with what an operator wants to know in the verbose form: namespaces, process, and how long each
 * step of the start took. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "task/events.h"
#include "task/list.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/path.h"
#include "task/sandbox_spec.h"
#include "task/signals.h"

/* ---- verbose: JSON under the key "info", as other runtimes have it ---- */

static void add_timeline(cJSON *root, const struct timeline *timeline)
{
	cJSON *object, *steps;

	if (!timeline)
		return;
	object = cJSON_AddObjectToObject(root, "timeline");
	(void)cJSON_AddNumberToObject(object, "totalUs", timeline->total_us);
	steps = cJSON_AddArrayToObject(object, "steps");
	for (unsigned i = 0; i < timeline->n_entries; i++) {
		cJSON *step = cJSON_CreateObject();

		(void)cJSON_AddStringToObject(step, "name", timeline->entries[i].name);
		(void)cJSON_AddNumberToObject(step, "startUs", timeline->entries[i].start_us);
		(void)cJSON_AddNumberToObject(step, "tookUs", timeline->entries[i].took_us);
		(void)cJSON_AddItemToArray(steps, step);
	}
}

/* Prints and deletes. NULL when memory is out. */
static char *print(cJSON *root, struct arena *arena)
{
	char *text = cJSON_PrintUnformatted(root);
	char *copy = text ? arena_strdup(arena, text) : NULL;

	cJSON_free(text);
	cJSON_Delete(root);
	return copy;
}

static struct map_entry **info_map(struct arena *arena, const ProtobufCMessageDescriptor *type, char *text)
{
	struct map_entry *entry = arena_alloc(arena, type->sizeof_message);
	struct map_entry **map = arena_new(arena, struct map_entry *);

	if (!entry || !map || !text)
		return NULL;
	protobuf_c_message_init(type, entry);
	entry->key = arena_strdup(arena, "info");
	entry->value = text;
	map[0] = entry;
	return entry->key ? map : NULL;
}

/* ---- containers ---- */

static Cri__ContainerUser *user_message(struct arena *arena, const struct container *container)
{
	Cri__ContainerUser *message = arena_new(arena, Cri__ContainerUser);
	Cri__LinuxContainerUser *user = arena_new(arena, Cri__LinuxContainerUser);
	size_t n = container->user.n_groups;

	if (!container->cwd || !message || !user) /* not started: nobody knows yet */
		return NULL;
	cri__container_user__init(message);
	cri__linux_container_user__init(user);
	user->uid = container->user.uid;
	user->gid = container->user.gid;
	user->supplemental_groups = arena_new_array(arena, int64_t, n + 1);
	for (size_t i = 0; user->supplemental_groups && i < n; i++)
		user->supplemental_groups[user->n_supplemental_groups++] = container->user.groups[i];
	message->linux = user;
	return message;
}

static Cri__ContainerResources *resources_message(struct arena *arena, const struct container *container)
{
	Cri__LinuxContainerResources *resources = container_resources_now(container);
	Cri__ContainerResources *message;

	if (!resources)
		return NULL;
	message = arena_new(arena, Cri__ContainerResources);
	if (!message)
		return NULL;
	cri__container_resources__init(message);
	message->linux = resources;
	return message;
}

static void fill_outcome(Cri__ContainerStatus *message, struct container *container)
{
	message->state = container_public_state(container);
	message->created_at = container->created_at_ns;
	message->started_at = container->started_at_ns;
	message->exit_code = container->exit_code;
	if (message->state != CRI__CONTAINER_STATE__CONTAINER_EXITED)
		return;
	message->finished_at = container->finished_at_ns;
	if (container->reason)
		message->reason = container->reason;
	if (container->message)
		message->message = container->message;
}

Cri__ContainerStatus *container_status_message(struct arena *arena, struct container *container)
{
	const Cri__ContainerConfig *config = container->config;
	Cri__ContainerStatus *message = arena_new(arena, Cri__ContainerStatus);

	if (!message)
		return NULL;
	cri__container_status__init(message);
	fill_outcome(message, container);
	message->id = container->id;
	message->metadata = config->metadata;
	message->image = container_image_spec(arena, container);
	message->image_ref = message->image_id = container->image_id;
	message->labels = MAP_AS(Cri__ContainerStatus__LabelsEntry, config->labels);
	message->n_labels = config->n_labels;
	message->annotations = MAP_AS(Cri__ContainerStatus__AnnotationsEntry, config->annotations);
	message->n_annotations = config->n_annotations;
	message->mounts = config->mounts;
	message->n_mounts = config->n_mounts;
	if (container->log_path)
		message->log_path = container->log_path;
	message->resources = resources_message(arena, container);
	message->user = user_message(arena, container);
	message->stop_signal = signal_to_cri(container->stop_signal);
	return message;
}

static char *container_info(struct arena *arena, const struct container *container)
{
	cJSON *root = cJSON_CreateObject();

	(void)cJSON_AddStringToObject(root, "sandboxID", container->sandbox->id);
	(void)cJSON_AddNumberToObject(root, "pid", container->process.pid);
	(void)cJSON_AddStringToObject(root, "state", container_state_name(container->state));
	(void)cJSON_AddStringToObject(root, "image", container->image_id);
	(void)cJSON_AddStringToObject(root, "cgroup", container->cgroup_path);
	(void)cJSON_AddStringToObject(root, "logPath", container->log_path ? container->log_path : "");
	add_timeline(root, container->timeline);
	return print(root, arena);
}

static void fail(struct call *call, enum error_code code, const char *what, const char *id)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, code, "%s%s", what, id);
	call_fail(call, &err);
}

void op_container_status(struct node *node, struct call *call)
{
	const Cri__ContainerStatusRequest *request = (const Cri__ContainerStatusRequest *)call->request;
	Cri__ContainerStatusResponse reply = CRI__CONTAINER_STATUS_RESPONSE__INIT;
	struct container *container = container_find(node, request->container_id);

	if (!container || !container_is_public(container)) {
		fail(call, ERR_NOT_FOUND, "there is no container ", request->container_id);
		return;
	}
	reply.status = container_status_message(&call->arena, container);
	if (request->verbose) {
		reply.info = MAP_AS(Cri__ContainerStatusResponse__InfoEntry,
				    info_map(&call->arena, &cri__container_status_response__info_entry__descriptor,
					     container_info(&call->arena, container)));
		reply.n_info = reply.info ? 1 : 0;
	}
	if (arena_failed(&call->arena))
		fail(call, ERR_EXHAUSTED, "out of memory", "");
	else
		call_reply(call, &reply.base);
}

/* ---- sandboxes ---- */

static Cri__PodSandboxNetworkStatus *network_message(struct arena *arena, struct sandbox *sandbox)
{
	Cri__PodSandboxNetworkStatus *message = arena_new(arena, Cri__PodSandboxNetworkStatus);
	Cri__PodIP *ips = arena_new_array(arena, Cri__PodIP, NET_MAX_ADDRESSES);

	if (!message || !ips)
		return NULL;
	cri__pod_sandbox_network_status__init(message);
	if (sandbox->net.n_addresses == 0)
		return message;
	message->ip = sandbox->net.addresses[0];
	message->additional_ips = arena_new_array(arena, Cri__PodIP *, NET_MAX_ADDRESSES);
	for (size_t i = 1; message->additional_ips && i < sandbox->net.n_addresses; i++) {
		cri__pod_ip__init(&ips[i]);
		ips[i].ip = sandbox->net.addresses[i];
		message->additional_ips[message->n_additional_ips++] = &ips[i];
	}
	return message;
}

static Cri__LinuxPodSandboxStatus *namespaces_message(struct arena *arena, const Cri__PodSandboxConfig *config)
{
	Cri__LinuxPodSandboxStatus *message = arena_new(arena, Cri__LinuxPodSandboxStatus);
	Cri__Namespace *namespaces = arena_new(arena, Cri__Namespace);
	Cri__NamespaceOption *options = arena_new(arena, Cri__NamespaceOption);

	if (!message || !namespaces || !options)
		return NULL;
	cri__linux_pod_sandbox_status__init(message);
	cri__namespace__init(namespaces);
	cri__namespace_option__init(options);
	options->network = sandbox_host_network(config) ? CRI__NAMESPACE_MODE__NODE : CRI__NAMESPACE_MODE__POD;
	options->ipc = sandbox_host_ipc(config) ? CRI__NAMESPACE_MODE__NODE : CRI__NAMESPACE_MODE__POD;
	options->pid = sandbox_pid_mode(config);
	options->userns_options = sandbox_user_options(config);
	namespaces->options = options;
	message->namespaces = namespaces;
	return message;
}

Cri__PodSandboxStatus *sandbox_status_message(struct arena *arena, struct sandbox *sandbox)
{
	const Cri__PodSandboxConfig *config = sandbox->config;
	Cri__PodSandboxStatus *message = arena_new(arena, Cri__PodSandboxStatus);

	if (!message)
		return NULL;
	cri__pod_sandbox_status__init(message);
	message->id = sandbox->id;
	message->metadata = config->metadata;
	message->state = sandbox_public_state(sandbox);
	message->created_at = sandbox->created_at_ns;
	message->network = network_message(arena, sandbox);
	message->linux = namespaces_message(arena, config);
	message->labels = MAP_AS(Cri__PodSandboxStatus__LabelsEntry, config->labels);
	message->n_labels = config->n_labels;
	message->annotations = MAP_AS(Cri__PodSandboxStatus__AnnotationsEntry, config->annotations);
	message->n_annotations = config->n_annotations;
	message->runtime_handler = sandbox->runtime_handler;
	return message;
}

static void add_namespaces(cJSON *root, const struct sandbox *sandbox)
{
	cJSON *object = cJSON_AddObjectToObject(root, "namespaces");
	static const char *const names[] = { "user", "net", "ipc", "uts" };
	const int fds[] = { sandbox->ns.user, sandbox->ns.net, sandbox->ns.ipc, sandbox->ns.uts };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[PATH_MAX];
		struct error ignored = ERROR_INIT;
		bool own = fds[i] >= 0 && path_format(path, &ignored, "%s/%s", sandbox->dir, names[i]) == 0;

		(void)cJSON_AddStringToObject(object, names[i], own ? path : "host");
	}
}

/* What a client may have changed since it made the pod. */
static void add_resources(cJSON *root, const char *name, const Cri__LinuxContainerResources *resources)
{
	cJSON *object;

	if (!resources)
		return;
	object = cJSON_AddObjectToObject(root, name);
	(void)cJSON_AddNumberToObject(object, "cpuPeriod", (double)resources->cpu_period);
	(void)cJSON_AddNumberToObject(object, "cpuQuota", (double)resources->cpu_quota);
	(void)cJSON_AddNumberToObject(object, "cpuShares", (double)resources->cpu_shares);
	(void)cJSON_AddNumberToObject(object, "memoryLimitInBytes", (double)resources->memory_limit_in_bytes);
}

static char *sandbox_info(struct arena *arena, const struct sandbox *sandbox)
{
	cJSON *root = cJSON_CreateObject(), *addresses;

	(void)cJSON_AddStringToObject(root, "state", sandbox_state_name(sandbox->state));
	(void)cJSON_AddNumberToObject(root, "pid", sandbox->init.pid);
	(void)cJSON_AddStringToObject(root, "cgroupParent", sandbox->cgroup_parent);
	(void)cJSON_AddStringToObject(root, "interface", sandbox->net.interface);
	addresses = cJSON_AddArrayToObject(root, "addresses");
	for (size_t i = 0; i < sandbox->net.n_addresses; i++)
		(void)cJSON_AddItemToArray(addresses, cJSON_CreateString(sandbox->net.addresses[i]));
	add_namespaces(root, sandbox);
	if (sandbox->config->linux) {
		add_resources(root, "overhead", sandbox->config->linux->overhead);
		add_resources(root, "resources", sandbox->config->linux->resources);
	}
	add_timeline(root, sandbox->timeline);
	return print(root, arena);
}

Cri__ContainerStatus **sandbox_containers_statuses(struct arena *arena, const struct sandbox *sandbox, size_t *ret_n)
{
	struct container *container;
	Cri__ContainerStatus **statuses;
	size_t n = 0;

	*ret_n = 0;
	DL_COUNT(sandbox->containers, container, n);
	statuses = arena_new_array(arena, Cri__ContainerStatus *, n + 1);
	DL_FOREACH (sandbox->containers, container)
		if (statuses && container_is_public(container))
			statuses[(*ret_n)++] = container_status_message(arena, container);
	return statuses;
}

void op_pod_sandbox_status(struct node *node, struct call *call)
{
	const Cri__PodSandboxStatusRequest *request = (const Cri__PodSandboxStatusRequest *)call->request;
	Cri__PodSandboxStatusResponse reply = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	struct sandbox *sandbox = sandbox_find(node, request->pod_sandbox_id);

	if (!sandbox || !sandbox_is_public(sandbox)) {
		fail(call, ERR_NOT_FOUND, "there is no sandbox ", request->pod_sandbox_id);
		return;
	}
	reply.status = sandbox_status_message(&call->arena, sandbox);
	/* One call for all: kubelet's event-driven loop takes the containers from here. */
	reply.containers_statuses = sandbox_containers_statuses(&call->arena, sandbox, &reply.n_containers_statuses);
	reply.timestamp = event_stamp_ns(node);
	if (request->verbose) {
		reply.info = MAP_AS(Cri__PodSandboxStatusResponse__InfoEntry,
				    info_map(&call->arena, &cri__pod_sandbox_status_response__info_entry__descriptor,
					     sandbox_info(&call->arena, sandbox)));
		reply.n_info = reply.info ? 1 : 0;
	}
	if (arena_failed(&call->arena))
		fail(call, ERR_EXHAUSTED, "out of memory", "");
	else
		call_reply(call, &reply.base);
}
