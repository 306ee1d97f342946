#include "oci/scope.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/launch.h"
#include "runtime/plan.h"
#include "runtime/systemd.h"

#define SUFFIX ".scope"

/* systemd hears of an empty group at once and needs milliseconds; one that is reloading, seconds (arbitrary). */
#define GONE_TIMEOUT_MS 5000
#define GONE_POLL_MS 10

/* The process that the scope is made around has nothing to do but to be there. */
#define HOLDER_TIMEOUT_MS 10000

static int parse_parts(const char *wanted, struct arena *arena, const char *parts[3], struct error *err)
{
	char *rest = arena_strdup(arena, wanted);

	for (size_t i = 0; rest && i < 3; i++)
		parts[i] = i < 2 ? strsep(&rest, ":") : rest;
	if (!arena_failed(arena) && (!parts[1] || !parts[2] || !*parts[2] || strchr(parts[2], ':')))
		return error_set(err, ERR_INVALID,
				 "linux.cgroupsPath '%.200s': with the systemd cgroup manager it is SLICE:PREFIX:NAME", wanted);
	return arena_failed(arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

int scope_parse(const char *wanted, const char *id, struct arena *arena, struct scope *ret_scope, struct error *err)
{
	const char *parts[3] = { "", "monopod", id };
	_cleanup_free_
	char *slice_path = NULL;
	struct scope scope;

	if (wanted && parse_parts(wanted, arena, parts, err) < 0)
		return -1;
	scope.slice = *parts[0] ? parts[0] : "system.slice";
	scope.unit = arena_printf(arena, "%s%s%s" SUFFIX, parts[1], *parts[1] ? "-" : "", parts[2]);
	if (!scope.unit)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (systemd_check_unit(scope.unit, err) < 0 || systemd_slice_path(scope.slice, &slice_path, err) < 0)
		return error_prefix(err, "linux.cgroupsPath");
	scope.path = arena_printf(arena, "%s/%s", slice_path, scope.unit);
	scope.group = arena_printf(arena, "%s/%s/container", slice_path, scope.unit);
	*ret_scope = scope;
	return arena_failed(arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

int scope_check(const struct cgroup_roots *roots, struct error *err)
{
	if (!systemd_is_init() || !cgroup_roots_unified(roots))
		return error_set(err, ERR_STATE,
				 "the systemd cgroup manager needs systemd as init and cgroup version 2 alone; use cgroupfs");
	return systemd_load(err);
}

static bool is_there(struct cgroup_roots *roots, const char *path)
{
	struct error ignored = ERROR_INIT;
	struct cgroup *cgroup = NULL;

	if (cgroup_open(roots, path, &cgroup, &ignored) < 0)
		return false;
	cgroup_close(cgroup);
	return true;
}

int scope_check_free(const struct scope *scope, struct cgroup_roots *roots, struct error *err)
{
	return is_there(roots, scope->path) ? error_set(err, ERR_EXISTS, "unit %s exists already", scope->unit) : 0;
}

static int start_holder(struct spawner *spawner, struct spawn_result *ret_holder, struct error *err)
{
	static const int no_stdio[3] = { -1, -1, -1 };
	_cleanup_plan_ struct plan *plan = NULL;

	if (plan_compile_holder("scope", 0, &plan, err) < 0 ||
	    spawner_run(spawner, plan, no_stdio, HOLDER_TIMEOUT_MS, ret_holder, err) < 0)
		return -1;
	free(ret_holder->times);
	ret_holder->times = NULL;
	return 0;
}

/* Moved out of the way: a group of version 2 that has processes gives its children no controllers. */
static int move_holder(const char *path, struct cgroup_roots *roots, pid_t pid, struct error *err)
{
	_cleanup_free_
	char *group = NULL;

	if (asprintf(&group, "%s/holder", path) < 0)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return cgroup_move(roots, group, pid, err);
}

int scope_start(const struct scope *scope, const char *id, struct cgroup_roots *roots, struct spawner *spawner,
		struct spawn_result *ret_holder, struct error *err)
{
	_cleanup_free_
	char *what = NULL;

	if (asprintf(&what, "container %s of monopod-oci", id) < 0)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (scope_check_free(scope, roots, err) < 0 || start_holder(spawner, ret_holder, err) < 0)
		return -1;
	if (systemd_start_scope(scope->unit, scope->slice, what, ret_holder->pid, err) == 0 &&
	    move_holder(scope->path, roots, ret_holder->pid, err) == 0)
		return 0;
	scope_release(scope->path, roots, spawner, ret_holder);
	return -1;
}

void scope_release(const char *path, struct cgroup_roots *roots, struct spawner *spawner, struct spawn_result *holder)
{
	struct error ignored = ERROR_INIT;
	_cleanup_free_
	char *group = NULL;

	if (holder->pidfd < 0)
		return;
	child_end(spawner, holder->pid, steal_fd(&holder->pidfd));
	if (asprintf(&group, "%s/holder", path) >= 0)
		(void)cgroup_remove(roots, group, &ignored);
	else
		group = NULL;
}

int scope_remove(const char *path, struct cgroup_roots *roots, struct error *err)
{
	if (cgroup_kill(roots, path, err) < 0)
		return -1;
	for (int waited_ms = 0; waited_ms < GONE_TIMEOUT_MS; waited_ms += GONE_POLL_MS) {
		if (!is_there(roots, path))
			return 0;
		(void)poll(NULL, 0, GONE_POLL_MS);
	}
	/* systemd is not in a state to do so: nothing of ours stays */
	return cgroup_remove(roots, path, err);
}
