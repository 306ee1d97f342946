#include "oci/container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "oci/scope.h"
#include "runtime/hook.h"

void container_init(struct container *c, struct oci *oci)
{
	memset(c, 0, sizeof(*c));
	c->oci = oci;
	c->store = (struct store){ .arena = &oci->arena, .dir = -1 };
}

void container_close(struct container *c)
{
	cgroup_close(c->cgroup);
	cgroup_roots_close(c->roots);
	config_drop(&c->config);
	store_close(&c->store);
}

/* A container that was killed while being made may have no configuration: then it has no hooks and no process. */
static int read_config(struct container *c, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_BYTES_MAX);
	struct error cause = ERROR_INIT;

	if (io_read_file(c->store.dir, "config.json", &text, &cause) < 0) {
		if (cause.code == ERR_NOT_FOUND)
			return 0;
		*err = cause;
		return -1;
	}
	return config_parse(text.data ? text.data : "", text.len, &c->config, err);
}

static int open_cgroup(struct container *c, struct error *err)
{
	struct error cause = ERROR_INIT;

	if (!c->store.state.cgroup)
		return 0;
	if (cgroup_roots_open_with("auto", resources_hierarchies(&c->config.resources), &c->roots, err) < 0)
		return -1;
	if (cgroup_open(c->roots, c->store.state.cgroup, &c->cgroup, &cause) == 0 || cause.code == ERR_NOT_FOUND)
		return 0;
	*err = cause;
	return -1;
}

int container_open(struct container *c, const char *id, bool lock, struct error *err)
{
	if (store_open(&c->store, c->oci->root, id, lock, err) < 0)
		return -1;
	c->bundle = c->store.state.bundle;
	if (read_config(c, err) < 0 || open_cgroup(c, err) < 0)
		return error_prefix(err, "container %s", id);
	return 0;
}

enum container_status container_status(struct container *c)
{
	enum container_status status = state_status(&c->store.state);

	return status == STATUS_RUNNING && c->cgroup && cgroup_is_frozen(c->cgroup) ? STATUS_PAUSED : status;
}

int container_limit(struct container *c, struct resources *resources, struct error *err)
{
	if (resources->set_memory_swappiness && cgroup_roots_unified(c->roots)) {
		oci_warn(c->oci, "resources.memory.swappiness: cgroup version 2 has no such setting; ignored");
		resources->set_memory_swappiness = false;
	}
	return cgroup_apply(c->cgroup, resources, err);
}

/* --- hooks ------------------------------------------------------------------------------------------------------------- */

static int print_state(struct container *c, enum container_status status, struct buffer *b, struct error *err)
{
	return state_print(&c->store.state, status, false, b, err);
}

int container_hooks(struct container *c, enum hook_moment moment, enum container_status status, struct error *err)
{
	_cleanup_buffer_ struct buffer state = BUFFER_INIT((size_t)1 << 20);
	const struct hook_list *list = &c->config.hooks[moment];

	if (list->n == 0)
		return 0;
	if (print_state(c, status, &state, err) < 0)
		return -1;
	return hook_run_all(list->hooks, list->n, state.data, state.len, err);
}

void container_hooks_warn(struct container *c, enum hook_moment moment, enum container_status status)
{
	_cleanup_buffer_ struct buffer state = BUFFER_INIT((size_t)1 << 20);
	const struct hook_list *list = &c->config.hooks[moment];
	struct error err = ERROR_INIT;

	if (list->n > 0 && print_state(c, status, &state, &err) < 0)
		oci_warn(c->oci, "%s", err.text);
	for (size_t i = 0; state.data && i < list->n; i++) {
		err = (struct error)ERROR_INIT;
		if (hook_run(&list->hooks[i], state.data, state.len, &err) < 0)
			oci_warn(c->oci, "%s", err.text);
	}
}

/* --- the end ----------------------------------------------------------------------------------------------------------- */

/* Everything in the cgroup, which is more than the first process when that shares the host's PID namespace. */
static int kill_all(struct container *c, struct error *err)
{
	struct error ignored = ERROR_INIT;
	_cleanup_fd_ int pidfd = -1;

	if (c->cgroup)
		(void)cgroup_freeze(c->cgroup, false, &ignored);
	if (c->store.state.pid > 0)
		pidfd = state_open_process(&c->store.state, &ignored);
	if (pidfd >= 0 && process_signal(pidfd, SIGKILL, err) < 0)
		return -1;
	return c->cgroup && cgroup_kill(c->roots, c->store.state.cgroup, err) < 0 ? -1 : 0;
}

static int remove_cgroup(struct container *c, struct error *err)
{
	const struct container_state *state = &c->store.state;
	int result = -1;

	if (!state->cgroup || !c->roots)
		return 0;
	/* processes that were killed take a moment to go */
	for (int i = 0; i < 50 && result < 0; i++) {
		*err = (struct error)ERROR_INIT;
		result = cgroup_remove(c->roots, state->cgroup, err);
		if (result < 0 && err->code != ERR_STATE)
			return -1;
	}
	if (result == 0 && state->scope)
		return scope_remove(state->scope, c->roots, err);
	if (result == 0)
		cgroup_prune(c->roots, state->cgroup, state->cgroup_topmost);
	return result;
}

int container_destroy(struct container *c, struct error *err)
{
	if (kill_all(c, err) < 0 || remove_cgroup(c, err) < 0 || store_remove(&c->store, err) < 0)
		return error_prefix(err, "delete container %s", c->store.id);
	container_hooks_warn(c, HOOK_POSTSTOP, STATUS_STOPPED);
	return 0;
}

int write_pid_file(const char *path, pid_t pid, struct error *err)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", pid);

	return io_replace_file(AT_FDCWD, path, text, (size_t)n, 0644, err) < 0 ? error_prefix(err, "pid file") : 0;
}
