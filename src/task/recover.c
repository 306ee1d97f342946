/*
 * Recovery, before the daemon serves: what a former daemon recorded is adopted, brought to an end, or taken away.
 *
 *     recorded        of another boot               of this boot
 *     sandbox
 *       CREATING      undone                        undone
 *       READY         NOTREADY, released            READY when its namespaces and init are there, else NOTREADY
 *       the others    NOTREADY, released            NOTREADY
 *     container
 *       CREATING      undone                        undone
 *       CREATED       EXITED 255                    CREATED
 *       STARTING      EXITED 128                    EXITED 128, what had been started is killed
 *       RUNNING, EXITING  EXITED 255                RUNNING when its process is there, else EXITED 255 (or OOMKilled)
 *       REMOVING      EXITED                        EXITED
 *
 * An object that cannot be adopted is logged and left as ended as it can be; only a store that cannot be read ends the start.
 * Directories and links without a record are removed. Everything here blocks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/image.h"
#include "net/net.h"
#include "runtime/cgroup.h"
#include "task/cleanup.h"
#include "task/container_hooks.h"
#include "task/exit_container.h"
#include "task/logs.h"
#include "task/node_impl.h"
#include "task/path.h"
#include "task/sandbox_spec.h"
#include "task/stdio.h"
#include "task/store.h"
#include "task/user_ns.h"

/* ---- records ---- */

static int load_sandbox(void *arg, const char *id, const uint8_t *data, size_t len, struct error *err)
{
	struct node *node = arg;
	Store__Sandbox *record = store__sandbox__unpack(NULL, len, data);
	struct error why = ERROR_INIT;
	struct sandbox *sandbox = NULL;

	(void)err;
	(void)error_set(&why, ERR_DATA_LOSS, "the record does not decode");
	if (record)
		sandbox = sandbox_from_record(node, record, &why);
	if (!sandbox || sandbox_publish(sandbox, &why) < 0)
		log_error("recover", "sandbox %s: %s", id, why.text);
	sandbox_unref(sandbox);
	store__sandbox__free_unpacked(record, NULL);
	return 0;
}

static struct container *container_of_record(struct node *node, const Store__Container *record, struct error *err)
{
	struct sandbox *sandbox = sandbox_find(node, record->sandbox_id);

	if (sandbox)
		return container_from_record(sandbox, record, err);
	(void)error_set(err, ERR_DATA_LOSS, "its sandbox %s is not known", record->sandbox_id);
	return NULL;
}

static int load_container(void *arg, const char *id, const uint8_t *data, size_t len, struct error *err)
{
	struct node *node = arg;
	Store__Container *record = store__container__unpack(NULL, len, data);
	struct error why = ERROR_INIT;
	struct container *container = NULL;

	(void)err;
	(void)error_set(&why, ERR_DATA_LOSS, "the record does not decode");
	if (record)
		container = container_of_record(node, record, &why);
	if (!container || container_publish(container, &why) < 0)
		log_error("recover", "container %s: %s", id, why.text);
	container_unref(container);
	store__container__free_unpacked(record, NULL);
	return 0;
}

/* ---- containers ---- */

static void warn(const char *what, const char *id, int result, const struct error *err)
{
	if (result < 0)
		log_warn("recover", "%s %.12s: %s", what, id, err->text);
}

static void take_cgroup_away(const struct container *container)
{
	struct error err = ERROR_INIT;

	if (container->of_this_boot)
		warn("container", container->id, remove_cgroup(container->node->cgroups, container->cgroup_path, &err), &err);
}

static void undo_container(struct container *container)
{
	struct error err = ERROR_INIT;
	struct node *node = container->node;

	take_cgroup_away(container);
	warn("container", container->id, io_remove_tree(AT_FDCWD, container->state_dir, &err), &err);
	warn("container", container->id, io_remove_tree(AT_FDCWD, container->root_dir, &err), &err);
	warn("container", container->id, store_erase(node->store, STORE_CONTAINER, container->id, &err), &err);
	container_forget(container);
}

static void finish_container(struct container *container, int exit_code, const char *reason, const char *message)
{
	take_cgroup_away(container);
	container_run_poststop(container);
	container->state = CONTAINER_STATE_EXITING; /* where ends are published from */
	container_finish(container, exit_code, reason, message);
}

/* It ended while nobody watched: all that is left to ask is the cgroup. */
static void finish_lost(struct container *container)
{
	struct error err = ERROR_INIT;
	struct cgroup *cgroup = NULL;
	bool oom_killed = false;

	if (container->of_this_boot && cgroup_open(container->node->cgroups, container->cgroup_path, &cgroup, &err) == 0)
		oom_killed = exit_was_oom(container, cgroup);
	cgroup_close(cgroup);
	if (oom_killed)
		finish_container(container, 137, "OOMKilled", NULL);
	else
		finish_container(container, 255, "Unknown", "it ended while no daemon was there to learn its exit status");
}

static int reopen_log(struct container *container, struct error *err)
{
	struct stdio stdio = STDIO_INIT;
	struct log_pump *pump;
	int file_fd = -1;

	if (container->config->tty) /* the terminal went with the daemon that held it */
		return 0;
	if (stdio_reopen(container->state_dir, &stdio, err) < 0 ||
	    (container->log_path && (file_fd = log_file_open(container->log_path, err)) < 0) ||
	    log_pump_new(container->node->loop, container->lane, container->id, file_fd, &pump, err) < 0) {
		stdio_release(&stdio);
		return -1;
	}
	container->log = pump;
	if (log_pump_add(pump, "stdout", stdio.read_end[0], err) < 0) {
		close_fd(&stdio.read_end[1]);
		return -1;
	}
	return log_pump_add(pump, "stderr", stdio.read_end[1], err);
}

static void adopt_running(struct container *container)
{
	struct process *process = &container->process;
	struct error err = ERROR_INIT;

	process->pidfd = container->of_this_boot ? process_open(process->pid, process->start_ticks, &err) : -1;
	if (process->pidfd < 0) {
		finish_lost(container);
		return;
	}
	warn("container", container->id, cgroup_open(container->node->cgroups, container->cgroup_path, &container->cgroup, &err),
	     &err);
	container_hold_cgroup(container);
	container->state = CONTAINER_STATE_RUNNING;
	warn("container", container->id, reopen_log(container, &err), &err);
	if (container_watch(container, &err) == 0)
		return;
	warn("container", container->id, -1, &err);
	finish_lost(container);
}

static void recover_container(struct container *container)
{
	struct error err = ERROR_INIT;

	if (image_find(container->node->images, container->image_id, &container->image, &err) < 0)
		warn("container", container->id, -1, &err);
	warn("container", container->id, volume_images_recover(container->node->images, &container->volume_images, &err), &err);
	switch (container->state) {
	case CONTAINER_STATE_CREATING:
		undo_container(container);
		break;
	case CONTAINER_STATE_CREATED:
		if (!container->of_this_boot)
			finish_lost(container);
		break;
	case CONTAINER_STATE_STARTING:
		finish_container(container, 128, "StartError", "the daemon ended while it was started");
		break;
	case CONTAINER_STATE_RUNNING:
	case CONTAINER_STATE_EXITING:
		adopt_running(container);
		break;
	case CONTAINER_STATE_EXITED:
	case CONTAINER_STATE_REMOVING:
	case CONTAINER_STATE_GONE:
	case CONTAINER_STATE_END:
	default:
		container->state = CONTAINER_STATE_EXITED;
		take_cgroup_away(container);
		break;
	}
}

/* ---- sandboxes ---- */

/* Executing plugins is for the sweep, off the start. */
static void detach_pod(struct sandbox *sandbox)
{
	struct net_engine *engine = network_of(sandbox)->engine;
	const struct net_request request = { .pod_id = sandbox->id, .pod_name = sandbox->config->metadata->name, .netns = -1 };
	struct error err = ERROR_INIT;

	if (!sandbox_host_network(sandbox->config) && sandbox->network == NETWORK_BRIDGE)
		warn("sandbox", sandbox->id, engine->ops->detach(engine, &request, &err), &err);
}

static void take_pod_away(struct sandbox *sandbox)
{
	struct node *node = sandbox->node;
	struct error err = ERROR_INIT;

	detach_pod(sandbox);
	if (sandbox->of_this_boot)
		warn("sandbox", sandbox->id, remove_cgroup(node->cgroups, sandbox->cgroup_path, &err), &err);
	warn("sandbox", sandbox->id, remove_pod_dir(sandbox->dir, &err), &err);
	process_release(&sandbox->init);
}

static void undo_sandbox(struct sandbox *sandbox)
{
	struct node *node = sandbox->node;
	struct error err = ERROR_INIT;

	take_pod_away(sandbox);
	cgroup_prune(node->cgroups, sandbox->cgroup_path, NULL);
	warn("sandbox", sandbox->id, store_erase(node->store, STORE_SANDBOX, sandbox->id, &err), &err);
	sandbox_forget(sandbox);
}

/* True when everything that a ready sandbox consists of is there. */
static bool reopen_sandbox(struct sandbox *sandbox)
{
	const Cri__PodSandboxConfig *config = sandbox->config;
	struct process *init = &sandbox->init;
	struct error err = ERROR_INIT;

	if (pod_namespaces_open(sandbox->dir, &sandbox->ns, &err) < 0) {
		warn("sandbox", sandbox->id, -1, &err);
		return false;
	}
	if ((user_ns_wanted(sandbox_user_options(config)) && sandbox->ns.user < 0) ||
	    (!sandbox_host_network(config) && sandbox->ns.net < 0) || (!sandbox_host_ipc(config) && sandbox->ns.ipc < 0))
		return false;
	if (!sandbox_has_init(sandbox))
		return true;
	init->pidfd = process_open(init->pid, init->start_ticks, &err);
	return init->pidfd >= 0 && sandbox_watch_init(sandbox, &err) == 0;
}

static void recover_sandbox(struct sandbox *sandbox)
{
	bool was_ready = sandbox->state == SANDBOX_READY;
	struct error err = ERROR_INIT;

	if (sandbox->state == SANDBOX_CREATING) {
		undo_sandbox(sandbox);
		return;
	}
	sandbox->state = SANDBOX_NOTREADY;
	if (!sandbox->of_this_boot && !sandbox->released) {
		take_pod_away(sandbox);
		sandbox->net.n_addresses = 0;
		sandbox->released = true;
	}
	if (!sandbox->released && reopen_sandbox(sandbox) && was_ready)
		sandbox->state = SANDBOX_READY;
	warn("sandbox", sandbox->id, sandbox_save(sandbox, &err), &err);
}

/* ---- what nobody owns ---- */

static bool is_owned(struct node *node, const char *name, bool pods)
{
	const struct sandbox *sandbox;
	const struct container *container;

	if (pods) {
		HASH_FIND_STR(node->sandboxes, name, sandbox);
		return sandbox != NULL;
	}
	HASH_FIND_STR(node->containers, name, container);
	return container != NULL;
}

static void sweep_dir(struct node *node, const char *base, const char *sub, bool pods)
{
	char parent[PATH_MAX], path[PATH_MAX];
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;
	struct error too_long = ERROR_INIT;

	dir = path_format(parent, &too_long, "%s/%s", base, sub) < 0 ? NULL : opendir(parent);
	while (dir && (entry = readdir(dir))) {
		struct error err = ERROR_INIT;

		if (!id_is_valid(entry->d_name) || is_owned(node, entry->d_name, pods) ||
		    path_format(path, &err, "%s/%s", parent, entry->d_name) < 0)
			continue;
		warn("directory", entry->d_name, pods ? remove_pod_dir(path, &err) : io_remove_tree(AT_FDCWD, path, &err), &err);
	}
}

static void sweep(struct node *node)
{
	struct error err = ERROR_INIT;

	sweep_dir(node, node->config->state_dir, "pods", true);
	sweep_dir(node, node->config->state_dir, "containers", false);
	sweep_dir(node, node->config->root_dir, "containers", false);
	if (networks_sweep(node, &err) < 0)
		log_warn("recover", "sweep network: %s", err.text);
}

int node_recover(struct node *node, struct error *err)
{
	struct container *container, *next_container;
	struct sandbox *sandbox, *next_sandbox;

	if (store_each(node->store, STORE_SANDBOX, load_sandbox, node, err) < 0 ||
	    store_each(node->store, STORE_CONTAINER, load_container, node, err) < 0)
		return error_prefix(err, "recover");
	HASH_ITER (hh, node->containers, container, next_container)
		recover_container(container);
	HASH_ITER (hh, node->sandboxes, sandbox, next_sandbox)
		recover_sandbox(sandbox);
	image_store_settle(node->images);
	sweep(node);
	if (node->sandboxes)
		log_info("recover", "%u sandboxes, %u containers", HASH_COUNT(node->sandboxes), HASH_COUNT(node->containers));
	return 0;
}
