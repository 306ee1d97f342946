#include "task/container.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/image.h"
#include "loop/lane.h"
#include "runtime/cgroup.h"
#include "runtime/process.h"
#include "task/events.h"
#include "task/exit_container.h"
#include "task/logs.h"
#include "task/message.h"
#include "task/node_impl.h"
#include "task/objects.h"
#include "task/store.h"

#define BIT(state) (1u << (state))

/* What may follow each state. */
static const unsigned followers[CONTAINER_STATE_END] = {
	[CONTAINER_STATE_CREATING] = BIT(CONTAINER_STATE_CREATED) | BIT(CONTAINER_STATE_GONE),
	[CONTAINER_STATE_CREATED] = BIT(CONTAINER_STATE_STARTING) | BIT(CONTAINER_STATE_REMOVING),
	[CONTAINER_STATE_STARTING] = BIT(CONTAINER_STATE_RUNNING) | BIT(CONTAINER_STATE_EXITED),
	[CONTAINER_STATE_RUNNING] = BIT(CONTAINER_STATE_EXITING),
	[CONTAINER_STATE_EXITING] = BIT(CONTAINER_STATE_EXITED),
	[CONTAINER_STATE_EXITED] = BIT(CONTAINER_STATE_REMOVING),
	[CONTAINER_STATE_REMOVING] = BIT(CONTAINER_STATE_EXITED) | BIT(CONTAINER_STATE_GONE),
};

static const struct {
	const char *name;
	Cri__ContainerState public_state;
} states[CONTAINER_STATE_END] = {
	[0] = { "?", CRI__CONTAINER_STATE__CONTAINER_UNKNOWN },
	[CONTAINER_STATE_CREATING] = { "creating", CRI__CONTAINER_STATE__CONTAINER_UNKNOWN },
	[CONTAINER_STATE_CREATED] = { "created", CRI__CONTAINER_STATE__CONTAINER_CREATED },
	[CONTAINER_STATE_STARTING] = { "starting", CRI__CONTAINER_STATE__CONTAINER_CREATED },
	[CONTAINER_STATE_RUNNING] = { "running", CRI__CONTAINER_STATE__CONTAINER_RUNNING },
	[CONTAINER_STATE_EXITING] = { "exiting", CRI__CONTAINER_STATE__CONTAINER_RUNNING },
	[CONTAINER_STATE_EXITED] = { "exited", CRI__CONTAINER_STATE__CONTAINER_EXITED },
	[CONTAINER_STATE_REMOVING] = { "removing", CRI__CONTAINER_STATE__CONTAINER_EXITED },
	[CONTAINER_STATE_GONE] = { "gone", CRI__CONTAINER_STATE__CONTAINER_UNKNOWN },
};

bool container_may_become(enum container_state from, enum container_state to)
{
	return from < CONTAINER_STATE_END && (followers[from] & BIT(to));
}

const char *container_state_name(enum container_state state)
{
	return states[state < CONTAINER_STATE_END ? state : 0].name;
}

Cri__ContainerState container_public_state(const struct container *container)
{
	return states[container->state].public_state;
}

bool container_is_public(const struct container *container)
{
	return container->state != CONTAINER_STATE_CREATING && container->state != CONTAINER_STATE_GONE;
}

bool container_is_alive(const struct container *container)
{
	return container->state == CONTAINER_STATE_RUNNING || container->state == CONTAINER_STATE_EXITING;
}

/* What holds in every state; a violation is a mistake of ours. */
static const char *broken_rule(const struct container *container)
{
	if (container->state == CONTAINER_STATE_RUNNING && container->process.pidfd < 0)
		return "it runs without a process";
	if (container->state == CONTAINER_STATE_EXITED && container->waiters)
		return "it has exited and somebody still waits for it";
	if (container->state != CONTAINER_STATE_CREATING && container->creator)
		return "it was made and is still being made";
	return NULL;
}

/* Which states the world hears of. A removal that failed is back to EXITED, and a container that was never made is gone: no news. */
static const struct {
	bool told;
	Cri__ContainerEventType type;
	enum container_state unless_from;
} news[CONTAINER_STATE_END] = {
	[CONTAINER_STATE_CREATED] = { true, CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT, 0 },
	[CONTAINER_STATE_RUNNING] = { true, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT, 0 },
	[CONTAINER_STATE_EXITED] = { true, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT, CONTAINER_STATE_REMOVING },
	[CONTAINER_STATE_GONE] = { true, CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT, CONTAINER_STATE_CREATING },
};

static void tell(struct container *container, enum container_state from)
{
	if (news[container->state].told && from != news[container->state].unless_from)
		event_of_container(container, news[container->state].type);
}

void container_set_state(struct container *container, enum container_state state)
{
	enum container_state from = container->state;
	const char *rule = NULL;

	if (!container_may_become(container->state, state))
		rule = "no such transition";
	log_debug("task", "container %.12s: %s -> %s", container->id, container_state_name(container->state),
		  container_state_name(state));
	if (!rule) {
		container->state = state;
		rule = broken_rule(container);
	}
	if (rule) {
		log_error("task", "container %s (%s) to %s: %s", container->id, container_state_name(container->state),
			  container_state_name(state), rule);
		abort();
	}
	tell(container, from);
}

char *container_name_key(const struct sandbox *sandbox, const Cri__ContainerConfig *config)
{
	const char *parts[] = { sandbox->id, config->metadata->name };

	return name_key(parts, ARRAY_SIZE(parts), config->metadata->attempt);
}

static char *format(const char *a, const char *between, const char *b)
{
	char *text;

	return asprintf(&text, "%s%s%s", a, between, b) < 0 ? NULL : text;
}

static int fill(struct container *container, struct error *err)
{
	const struct node *node = container->node;
	const char *log_directory = container->sandbox->config->log_directory;
	bool logged = *log_directory && *container->config->log_path;

	container->name_key = container_name_key(container->sandbox, container->config);
	container->root_dir = format(node->config->root_dir, "/containers/", container->id);
	container->state_dir = format(node->config->state_dir, "/containers/", container->id);
	container->cgroup_path = format(container->sandbox->cgroup_parent, "/", container->id);
	if (logged)
		container->log_path = format(log_directory, "/", container->config->log_path);
	if (!container->name_key || !container->root_dir || !container->state_dir || !container->cgroup_path ||
	    (logged && !container->log_path))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return lane_open(node->loop->lanes, container->id, &container->lane, err);
}

struct container *container_new(struct sandbox *sandbox, const char *id, Cri__ContainerConfig *config, struct error *err)
{
	struct container *container = calloc(1, sizeof(*container));

	if (!container) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
		return NULL;
	}
	(void)snprintf(container->id, sizeof(container->id), "%s", id);
	container->node = sandbox->node;
	container->sandbox = sandbox_ref(sandbox);
	container->refs = 1;
	container->state = CONTAINER_STATE_CREATING;
	container->created_at_ns = clock_realtime_ns();
	container->own_pid_ns = container_pid_mode(config, sandbox->config) == CRI__NAMESPACE_MODE__CONTAINER;
	process_init(&container->process);
	container->config = config;
	if (fill(container, err) < 0) {
		container->config = NULL;
		container_unref(container);
		return NULL;
	}
	return container;
}

struct container *container_ref(struct container *container)
{
	container->refs++;
	return container;
}

void container_unref(struct container *container)
{
	if (!container || --container->refs > 0)
		return;
	reaper_forget(container->node->loop->reaper, &container->process.watch);
	process_release(&container->process);
	cgroup_close(container->cgroup);
	lane_close(container->lane);
	message_free(container->config);
	message_free(container->resources);
	image_unref(container->image);
	volume_images_release(&container->volume_images);
	arena_release(&container->start_arena);
	free(container->name_key);
	free(container->image_id);
	free(container->reason);
	free(container->message);
	free(container->log_path);
	free(container->root_dir);
	free(container->state_dir);
	free(container->cgroup_path);
	free(container->timeline);
	sandbox_unref(container->sandbox);
	free(container);
}

int container_publish(struct container *container, struct error *err)
{
	struct node *node = container->node;

	if (name_take(&node->container_names, container->name_key, container->id, err) < 0)
		return -1;
	HASH_ADD_STR(node->containers, id, container);
	if (!container->hh.tbl) {
		name_drop(&node->container_names, container->name_key, container->id);
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	DL_APPEND(container->sandbox->containers, container);
	(void)container_ref(container);
	return 0;
}

void container_forget(struct container *container)
{
	struct node *node = container->node;

	if (!container->hh.tbl)
		return;
	name_drop(&node->container_names, container->name_key, container->id);
	HASH_DEL(node->containers, container);
	container->hh.tbl = NULL;
	DL_DELETE(container->sandbox->containers, container);
	container_unref(container);
}

struct container *container_find(struct node *node, const char *id)
{
	struct container *container, *next, *found = NULL;

	HASH_FIND_STR(node->containers, id, container);
	if (container || !id_is_prefix(id))
		return container;
	HASH_ITER (hh, node->containers, container, next) {
		if (strncmp(container->id, id, strlen(id)) != 0)
			continue;
		if (found)
			return NULL;
		found = container;
	}
	return found;
}

/* The message borrows the container's memory; the lists are the caller's scratch. */
static void fill_record(struct container *container, Store__Container *record, Store__Process *process,
			Cri__LinuxContainerUser *user)
{
	process->pid = container->process.pid;
	process->start_ticks = container->process.start_ticks;
	record->id = container->id;
	record->sandbox_id = container->sandbox->id;
	record->boot_id = container->node->boot_id;
	record->config = container->config;
	record->resources = container->resources;
	record->image_id = container->image_id;
	record->volume_image_ids = container->volume_images.ids;
	record->n_volume_image_ids = container->volume_images.n;
	record->created_at_ns = container->created_at_ns;
	record->started_at_ns = container->started_at_ns;
	record->finished_at_ns = container->finished_at_ns;
	record->exit_code = container->exit_code;
	record->stop_signal = container->stop_signal;
	record->own_pid_ns = container->own_pid_ns;
	record->oom_kills_inside = container->oom_kills_inside;
	if (container->reason)
		record->reason = container->reason;
	if (container->message)
		record->message = container->message;
	if (container->process.pid)
		record->process = process;
	if (container->log_path)
		record->log_path = container->log_path;
	if (!container->cwd)
		return;
	record->cwd = container->cwd;
	user->uid = container->user.uid;
	user->gid = container->user.gid;
	record->user = user;
}

static int fill_lists(const struct container *container, struct arena *scratch, Store__Container *record, struct error *err)
{
	const struct container_user *user = &container->user;
	size_t n_env = 0;

	if (!container->cwd)
		return 0;
	while (container->env[n_env])
		n_env++;
	record->env = arena_new_array(scratch, ProtobufCBinaryData, n_env + 1);
	record->user->supplemental_groups = arena_new_array(scratch, int64_t, user->n_groups + 1);
	if (arena_failed(scratch))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < n_env; i++)
		record->env[i] = (ProtobufCBinaryData){ strlen(container->env[i]), (uint8_t *)container->env[i] };
	for (size_t i = 0; i < user->n_groups; i++)
		record->user->supplemental_groups[i] = user->groups[i];
	record->n_env = n_env;
	record->user->n_supplemental_groups = user->n_groups;
	return 0;
}

int container_save(struct container *container, struct error *err)
{
	return container_save_as(container, container->state, err);
}

int container_save_as(struct container *container, enum container_state state, struct error *err)
{
	struct node *node = container->node;
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	Store__Container record = STORE__CONTAINER__INIT;
	Store__Process process = STORE__PROCESS__INIT;
	Cri__LinuxContainerUser user = CRI__LINUX_CONTAINER_USER__INIT;

	fill_record(container, &record, &process, &user);
	record.state = state;
	if (fill_lists(container, &scratch, &record, err) < 0 ||
	    store_put(node->store, STORE_CONTAINER, container->id, &record.base, err) < 0)
		return -1;
	node_checkpoint(node);
	return 0;
}

void container_save_if_possible(struct container *container)
{
	struct error err = ERROR_INIT;

	if (container_save(container, &err) < 0)
		log_warn("task", "container %.12s: its record is behind: %s", container->id, err.text);
}

static int take_started(struct container *container, const Store__Container *record, struct error *err)
{
	struct arena *arena = &container->start_arena;
	struct container_user *user = &container->user;

	if (!record->user)
		return 0;
	user->uid = (uid_t)record->user->uid;
	user->gid = (gid_t)record->user->gid;
	user->n_groups = record->user->n_supplemental_groups;
	user->groups = arena_new_array(arena, gid_t, user->n_groups + 1);
	container->env = arena_new_array(arena, char *, record->n_env + 1);
	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < user->n_groups; i++)
		user->groups[i] = (gid_t)record->user->supplemental_groups[i];
	for (size_t i = 0; i < record->n_env; i++)
		container->env[i] = arena_strndup(arena, (const char *)record->env[i].data, record->env[i].len);
	container->cwd = arena_strdup(arena, record->cwd);
	return arena_failed(arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

Cri__LinuxContainerResources *container_resources_now(const struct container *container)
{
	const Cri__LinuxContainerConfig *specific = container->config->linux;

	if (container->resources)
		return container->resources;
	return specific ? specific->resources : NULL;
}

static int take_record(struct container *container, const Store__Container *record, struct error *err)
{
	container->state = record->state;
	container->of_this_boot = !strcmp(record->boot_id, container->node->boot_id);
	container->created_at_ns = record->created_at_ns;
	container->started_at_ns = record->started_at_ns;
	container->finished_at_ns = record->finished_at_ns;
	container->exit_code = record->exit_code;
	container->stop_signal = record->stop_signal;
	container->own_pid_ns = record->own_pid_ns;
	container->oom_kills_inside = record->oom_kills_inside;
	container->image_id = strdup(record->image_id);
	container->reason = *record->reason ? strdup(record->reason) : NULL;
	container->message = *record->message ? strdup(record->message) : NULL;
	if (record->process) {
		container->process.pid = record->process->pid;
		container->process.start_ticks = record->process->start_ticks;
	}
	if (!container->image_id)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (record->resources && !(container->resources = message_copy(&record->resources->base, err)))
		return -1;
	if (volume_images_from_ids(record->volume_image_ids, record->n_volume_image_ids, &container->volume_images, err) < 0)
		return -1;
	return take_started(container, record, err);
}

struct container *container_from_record(struct sandbox *sandbox, const Store__Container *record, struct error *err)
{
	Cri__ContainerConfig *config;
	struct container *container;

	if (!id_is_valid(record->id) || !record->config || !record->config->metadata || !record->config->image ||
	    record->state == 0 || record->state >= CONTAINER_STATE_GONE) {
		(void)error_set(err, ERR_DATA_LOSS, "record of container %s is damaged", record->id);
		return NULL;
	}
	config = message_copy(&record->config->base, err);
	container = config ? container_new(sandbox, record->id, config, err) : NULL;
	if (!container) {
		message_free(config);
		return NULL;
	}
	if (take_record(container, record, err) < 0) {
		container_unref(container);
		return NULL;
	}
	return container;
}

static void wake_waiters(struct container *container)
{
	struct exit_waiter *waiters = container->waiters, *waiter, *next;

	container->waiters = NULL;
	container_set_state(container, CONTAINER_STATE_EXITED);
	DL_FOREACH_SAFE (waiters, waiter, next) {
		DL_DELETE(waiters, waiter);
		waiter->waiting = false;
		waiter->on_exited(waiter);
	}
}

void container_finish(struct container *container, int32_t exit_code, const char *reason, const char *message)
{
	struct error err = ERROR_INIT;

	container->exit_code = exit_code;
	container->finished_at_ns = clock_realtime_ns();
	free(container->reason);
	free(container->message);
	container->reason = strdup(reason);
	container->message = message ? strdup(message) : NULL;
	process_release(&container->process);
	/* On disk first: who learns of the exit may ask again after a restart. */
	if (container_save_as(container, CONTAINER_STATE_EXITED, &err) < 0)
		log_error("task", "container %.12s: its exit with %d: %s", container->id, exit_code, err.text);
	wake_waiters(container);
}

static void on_exit_of(struct watch *watch, const struct exit_status *status)
{
	struct container *container = container_of(watch, struct container, process.watch);

	container->exit_status = *status;
	container_set_state(container, CONTAINER_STATE_EXITING);
	exit_container(container);
}

int container_watch(struct container *container, struct error *err)
{
	struct watch *watch = &container->process.watch;

	watch->pidfd = container->process.pidfd;
	watch->pid = container->process.pid;
	watch->on_exit = on_exit_of;
	return reaper_watch(container->node->loop->reaper, watch, err);
}

int container_kill(struct container *container, struct error *err)
{
	container->killed = true;
	return process_signal(container->process.pidfd, SIGKILL, err);
}

void container_account_oom(struct container *container, uint64_t kills)
{
	if (kills <= container->oom_kills_inside)
		return;
	container->oom_kills_inside++;
	if (container_is_alive(container))
		container_save_if_possible(container);
}

static void on_log_dropped(void *arg)
{
	struct container *container = arg;
	struct node *node = container->node;

	node->pumps--;
	container_unref(container);
	node_advance_close(node);
}

void container_drop_log(struct container *container, struct log_pump *pump)
{
	container->node->pumps++;
	log_pump_finish(pump, 0, on_log_dropped, container_ref(container));
}

void container_hold_cgroup(struct container *container)
{
	container->cgroup_users++;
}

void container_drop_cgroup(struct container *container)
{
	if (--container->cgroup_users > 0)
		return;
	cgroup_close(container->cgroup);
	container->cgroup = NULL;
}

void container_wait(struct container *container, struct exit_waiter *waiter)
{
	waiter->waiting = true;
	DL_APPEND(container->waiters, waiter);
}

void container_wait_cancel(struct container *container, struct exit_waiter *waiter)
{
	if (!waiter->waiting)
		return;
	waiter->waiting = false;
	DL_DELETE(container->waiters, waiter);
}

void config_canonicalize(Cri__ContainerConfig *config)
{
	Cri__LinuxContainerResources *resources = config->linux ? config->linux->resources : NULL;

	map_sort(MAP(config->labels), config->n_labels);
	map_sort(MAP(config->annotations), config->n_annotations);
	if (resources)
		map_sort(MAP(resources->unified), resources->n_unified);
}

Cri__NamespaceMode container_pid_mode(const Cri__ContainerConfig *config, const Cri__PodSandboxConfig *sandbox)
{
	const Cri__LinuxContainerSecurityContext *own = config->linux ? config->linux->security_context : NULL;
	const Cri__LinuxSandboxSecurityContext *pod = sandbox->linux ? sandbox->linux->security_context : NULL;

	if (own && own->namespace_options)
		return own->namespace_options->pid;
	if (pod && pod->namespace_options)
		return pod->namespace_options->pid;
	return CRI__NAMESPACE_MODE__POD;
}
