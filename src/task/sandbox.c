#include "task/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "runtime/selinux.h"
#include "task/events.h"
#include "task/group.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/objects.h"
#include "task/sandbox_spec.h"
#include "task/store.h"

#define BIT(state) (1u << (state))

/* What may follow each state. */
static const unsigned followers[SANDBOX_STATE_END] = {
	[SANDBOX_CREATING] = BIT(SANDBOX_READY) | BIT(SANDBOX_GONE),
	[SANDBOX_READY] = BIT(SANDBOX_STOPPING) | BIT(SANDBOX_NOTREADY),
	[SANDBOX_STOPPING] = BIT(SANDBOX_NOTREADY),
	[SANDBOX_NOTREADY] = BIT(SANDBOX_STOPPING) | BIT(SANDBOX_REMOVING),
	[SANDBOX_REMOVING] = BIT(SANDBOX_NOTREADY) | BIT(SANDBOX_GONE),
};

static const char *const state_names[SANDBOX_STATE_END] = {
	[SANDBOX_CREATING] = "creating", [SANDBOX_READY] = "ready",       [SANDBOX_STOPPING] = "stopping",
	[SANDBOX_NOTREADY] = "notready", [SANDBOX_REMOVING] = "removing", [SANDBOX_GONE] = "gone",
};

bool sandbox_may_become(enum sandbox_state from, enum sandbox_state to)
{
	return from < SANDBOX_STATE_END && (followers[from] & BIT(to));
}

const char *sandbox_state_name(enum sandbox_state state)
{
	return state < SANDBOX_STATE_END && state_names[state] ? state_names[state] : "?";
}

/* What holds in every state; a violation is a mistake of ours. */
static const char *broken_rule(const struct sandbox *sandbox)
{
	if (sandbox->state == SANDBOX_GONE && sandbox->containers)
		return "a sandbox that is gone has containers";
	if (sandbox->state == SANDBOX_READY && sandbox->released)
		return "a ready sandbox has been released";
	if (sandbox->state != SANDBOX_CREATING && sandbox->creator)
		return "a sandbox that was made is still being made";
	return NULL;
}

/* A pod that is not ready may be stopped again, and may fail to be removed: it is told of once. */
static void tell(struct sandbox *sandbox, enum sandbox_state from)
{
	if (sandbox->state == SANDBOX_READY) {
		event_of_sandbox(sandbox, CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT);
		event_of_sandbox(sandbox, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT);
	} else if (sandbox->state == SANDBOX_NOTREADY && !sandbox->stop_told) {
		event_of_sandbox(sandbox, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
		sandbox->stop_told = true;
	} else if (sandbox->state == SANDBOX_GONE && from != SANDBOX_CREATING) {
		event_of_sandbox(sandbox, CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT);
	}
}

void sandbox_set_state(struct sandbox *sandbox, enum sandbox_state state)
{
	enum sandbox_state from = sandbox->state;
	const char *rule = NULL;

	if (!sandbox_may_become(sandbox->state, state))
		rule = "no such transition";
	log_debug("task", "sandbox %.12s: %s -> %s", sandbox->id, sandbox_state_name(sandbox->state), sandbox_state_name(state));
	if (!rule) {
		sandbox->state = state;
		rule = broken_rule(sandbox);
	}
	if (rule) {
		log_error("task", "sandbox %s (%s) to %s: %s", sandbox->id, sandbox_state_name(sandbox->state),
			  sandbox_state_name(state), rule);
		abort();
	}
	tell(sandbox, from);
}

bool sandbox_is_public(const struct sandbox *sandbox)
{
	return sandbox->state != SANDBOX_CREATING && sandbox->state != SANDBOX_GONE;
}

Cri__PodSandboxState sandbox_public_state(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_READY ? CRI__POD_SANDBOX_STATE__SANDBOX_READY : CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

void process_init(struct process *process)
{
	*process = (struct process){ .pidfd = -1 };
}

void process_release(struct process *process)
{
	close_fd(&process->pidfd);
	process->pid = 0;
}

char *sandbox_name_key(const Cri__PodSandboxConfig *config)
{
	const Cri__PodSandboxMetadata *metadata = config->metadata;
	const char *parts[] = { metadata->namespace_, metadata->name, metadata->uid };

	return name_key(parts, ARRAY_SIZE(parts), metadata->attempt);
}

/* Recorded: the driver may be another one since, the groups are where they were. */
static int fill_groups(struct sandbox *sandbox, const Store__Sandbox *record, struct error *err)
{
	if (record && *record->cgroup_parent)
		sandbox->cgroup_parent = strdup(record->cgroup_parent);
	else if (group_parent_path(sandbox->node, sandbox->config, sandbox->id, &sandbox->cgroup_parent, err) < 0)
		return -1;
	if (sandbox->cgroup_parent && asprintf(&sandbox->cgroup_path, "%s/%s", sandbox->cgroup_parent, sandbox->id) < 0)
		sandbox->cgroup_path = NULL;
	return sandbox->cgroup_parent && sandbox->cgroup_path ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

bool sandbox_has_init(const struct sandbox *sandbox)
{
	return sandbox_pid_mode(sandbox->config) == CRI__NAMESPACE_MODE__POD || group_is_scope(sandbox->cgroup_parent);
}

static int fill(struct sandbox *sandbox, const char *runtime_handler, const Store__Sandbox *record, struct error *err)
{
	const struct node *node = sandbox->node;

	sandbox->runtime_handler = strdup(runtime_handler);
	sandbox->name_key = sandbox_name_key(sandbox->config);
	if (asprintf(&sandbox->dir, "%s/pods/%s", node->config->state_dir, sandbox->id) < 0)
		sandbox->dir = NULL;
	if (!sandbox->runtime_handler || !sandbox->name_key || !sandbox->dir)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (fill_groups(sandbox, record, err) < 0)
		return -1;
	return lane_open(node->loop->lanes, sandbox->id, &sandbox->lane, err);
}

static struct sandbox *new_sandbox(struct node *node, const char *id, Cri__PodSandboxConfig *config, const char *runtime_handler,
				   const Store__Sandbox *record, struct error *err)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));

	if (!sandbox) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
		return NULL;
	}
	(void)snprintf(sandbox->id, sizeof(sandbox->id), "%s", id);
	sandbox->node = node;
	sandbox->refs = 1;
	sandbox->state = SANDBOX_CREATING;
	sandbox->created_at_ns = clock_realtime_ns();
	sandbox->network_turn = node->network_turns++;
	sandbox->ns = (struct pod_namespaces)POD_NAMESPACES_INIT;
	process_init(&sandbox->init);
	sandbox->config = config;
	if (fill(sandbox, runtime_handler, record, err) < 0) {
		sandbox->config = NULL;
		sandbox_unref(sandbox);
		return NULL;
	}
	return sandbox;
}

struct sandbox *sandbox_new(struct node *node, const char *id, Cri__PodSandboxConfig *config, const char *runtime_handler,
			    struct error *err)
{
	return new_sandbox(node, id, config, runtime_handler, NULL, err);
}

struct sandbox *sandbox_ref(struct sandbox *sandbox)
{
	sandbox->refs++;
	return sandbox;
}

void sandbox_unref(struct sandbox *sandbox)
{
	if (!sandbox || --sandbox->refs > 0)
		return;
	reaper_forget(sandbox->node->loop->reaper, &sandbox->init.watch);
	process_release(&sandbox->init);
	pod_namespaces_close(&sandbox->ns);
	lane_close(sandbox->lane);
	message_free(sandbox->config);
	free(sandbox->runtime_handler);
	free(sandbox->name_key);
	free(sandbox->dir);
	free(sandbox->cgroup_parent);
	free(sandbox->cgroup_path);
	free(sandbox->timeline);
	free(sandbox);
}

int sandbox_publish(struct sandbox *sandbox, struct error *err)
{
	struct node *node = sandbox->node;

	if (name_take(&node->sandbox_names, sandbox->name_key, sandbox->id, err) < 0)
		return -1;
	HASH_ADD_STR(node->sandboxes, id, sandbox);
	if (!sandbox->hh.tbl) {
		name_drop(&node->sandbox_names, sandbox->name_key, sandbox->id);
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	(void)sandbox_ref(sandbox);
	return 0;
}

void sandbox_forget(struct sandbox *sandbox)
{
	struct node *node = sandbox->node;

	if (!sandbox->hh.tbl)
		return;
	name_drop(&node->sandbox_names, sandbox->name_key, sandbox->id);
	HASH_DEL(node->sandboxes, sandbox);
	sandbox->hh.tbl = NULL;
	sandbox_unref(sandbox);
}

struct sandbox *sandbox_find(struct node *node, const char *id)
{
	struct sandbox *sandbox, *next, *found = NULL;

	HASH_FIND_STR(node->sandboxes, id, sandbox);
	if (sandbox || !id_is_prefix(id))
		return sandbox;
	HASH_ITER (hh, node->sandboxes, sandbox, next) {
		if (strncmp(sandbox->id, id, strlen(id)) != 0)
			continue;
		if (found)
			return NULL;
		found = sandbox;
	}
	return found;
}

const char *sandbox_title(const struct sandbox *sandbox, char title[SANDBOX_TITLE_SIZE])
{
	(void)snprintf(title, SANDBOX_TITLE_SIZE, "%s/%s", sandbox->config->metadata->namespace_, sandbox->config->metadata->name);
	return title;
}

int sandbox_save(struct sandbox *sandbox, struct error *err)
{
	return sandbox_save_as(sandbox, sandbox->state, err);
}

int sandbox_save_as(struct sandbox *sandbox, enum sandbox_state state, struct error *err)
{
	struct node *node = sandbox->node;
	Store__Sandbox record = STORE__SANDBOX__INIT;
	Store__Process init = STORE__PROCESS__INIT;
	char *addresses[NET_MAX_ADDRESSES];

	for (size_t i = 0; i < sandbox->net.n_addresses; i++)
		addresses[i] = sandbox->net.addresses[i];
	init.pid = sandbox->init.pid;
	init.start_ticks = sandbox->init.start_ticks;
	record.id = sandbox->id;
	record.boot_id = node->boot_id;
	record.created_at_ns = sandbox->created_at_ns;
	record.state = state;
	record.config = sandbox->config;
	record.cgroup_parent = sandbox->cgroup_parent;
	record.runtime_handler = sandbox->runtime_handler;
	record.addresses = addresses;
	record.n_addresses = sandbox->net.n_addresses;
	record.interface = sandbox->net.interface;
	record.init = sandbox->init.pid ? &init : NULL;
	record.released = sandbox->released;
	record.selinux_pair = sandbox->selinux_pair;
	record.network = sandbox->network;
	if (store_put(node->store, STORE_SANDBOX, sandbox->id, &record.base, err) < 0)
		return -1;
	node_checkpoint(node);
	return 0;
}

void sandbox_save_if_possible(struct sandbox *sandbox, enum sandbox_state state)
{
	struct error err = ERROR_INIT;

	if (sandbox_save_as(sandbox, state, &err) < 0)
		log_warn("task", "sandbox %.12s: its record is behind: %s", sandbox->id, err.text);
}

static void take_network(struct sandbox *sandbox, const Store__Sandbox *record)
{
	struct net_result *net = &sandbox->net;

	sandbox->network = record->network < NETWORK_COUNT ? (enum network_kind)record->network : NETWORK_BRIDGE;
	(void)snprintf(net->interface, sizeof(net->interface), "%s", record->interface);
	for (size_t i = 0; i < record->n_addresses && i < NET_MAX_ADDRESSES; i++)
		(void)snprintf(net->addresses[net->n_addresses++], NET_ADDRESS_SIZE, "%s", record->addresses[i]);
}

struct sandbox *sandbox_from_record(struct node *node, const Store__Sandbox *record, struct error *err)
{
	_cleanup_message_ Cri__PodSandboxConfig *config = NULL;
	struct sandbox *sandbox;

	if (!id_is_valid(record->id) || !record->config || !record->config->metadata || record->state == 0 ||
	    record->state >= SANDBOX_GONE) {
		(void)error_set(err, ERR_DATA_LOSS, "record of sandbox %s is damaged", record->id);
		return NULL;
	}
	config = message_copy(&record->config->base, err);
	sandbox = config ? new_sandbox(node, record->id, config, record->runtime_handler, record, err) : NULL;
	if (!sandbox)
		return NULL;
	config = NULL;
	sandbox->state = record->state;
	sandbox->of_this_boot = !strcmp(record->boot_id, sandbox->node->boot_id);
	sandbox->stop_told = sandbox->state == SANDBOX_NOTREADY || sandbox->state == SANDBOX_REMOVING;
	sandbox->released = record->released;
	sandbox->selinux_pair = record->selinux_pair <= SELINUX_PAIRS ? record->selinux_pair : 0;
	sandbox->created_at_ns = record->created_at_ns;
	take_network(sandbox, record);
	if (record->init) {
		sandbox->init.pid = record->init->pid;
		sandbox->init.start_ticks = record->init->start_ticks;
	}
	return sandbox;
}

static void on_init_exit(struct watch *watch, const struct exit_status *status)
{
	struct sandbox *sandbox = container_of(watch, struct sandbox, init.watch);
	struct error err = ERROR_INIT;

	log_warn("task", "sandbox %.12s: its init ended with %d", sandbox->id, status->code);
	process_release(&sandbox->init);
	if (sandbox->state != SANDBOX_READY)
		return;
	sandbox_set_state(sandbox, SANDBOX_NOTREADY);
	if (sandbox_save(sandbox, &err) < 0)
		log_error("task", "%s", err.text);
}

int sandbox_watch_init(struct sandbox *sandbox, struct error *err)
{
	sandbox->init.watch.pidfd = sandbox->init.pidfd;
	sandbox->init.watch.pid = sandbox->init.pid;
	sandbox->init.watch.on_exit = on_init_exit;
	return reaper_watch(sandbox->node->loop->reaper, &sandbox->init.watch, err);
}
