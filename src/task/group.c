#include "task/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "runtime/cgroup.h"
#include "runtime/systemd.h"
#include "task/node_impl.h"

#define SLICE ".slice"
#define SCOPE ".scope"

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len > strlen(end) && !strcmp(text + len - strlen(end), end);
}

/* ---- which driver ---- */

int group_choose_driver(struct node *node, struct error *err)
{
	const char *wanted = node->config->cgroup_driver;
	bool possible = systemd_is_init() && cgroup_roots_unified(node->cgroups);

	if (!strcmp(wanted, "systemd") && !possible)
		return error_set(err, ERR_STATE, "runtime.cgroup_driver: systemd needs systemd as init and cgroup version 2 alone");
	node->systemd = strcmp(wanted, "cgroupfs") != 0 && possible;
	log_info("node", "cgroup driver: %s", node->systemd ? "systemd" : "cgroupfs");
	return node->systemd ? systemd_load(err) : 0;
}

/* ---- names ---- */

/* "/a/" is "/a", and "/" the root, to which ids are added. */
static char *without_end(const char *path)
{
	size_t len = strlen(path);

	while (len > 0 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

static int slice_path(const struct node *node, const char *parent, char **ret_path, struct error *err)
{
	_cleanup_free_
	char *own = *parent ? strdup(parent) : systemd_slice_name(node->config->cgroup_parent);

	if (!own)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (own[0] == '/')
		return error_set(
			err, ERR_INVALID,
			"linux.cgroup_parent: '%s' is a path, but the cgroup driver is systemd: it must be a slice; set the "
			"client's driver to systemd",
			own);
	return systemd_slice_path(own, ret_path, err) < 0 ? error_prefix(err, "linux.cgroup_parent") : 0;
}

static int scope_path(const struct node *node, const char *parent, const char *id, char **ret_path, struct error *err)
{
	_cleanup_free_
	char *slice = NULL;

	if (slice_path(node, parent, &slice, err) < 0)
		return -1;
	return asprintf(ret_path, "%s/monopod-%s" SCOPE, slice, id) < 0 ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

int group_parent_path(const struct node *node, const Cri__PodSandboxConfig *config, const char *id, char **ret_path,
		      struct error *err)
{
	const char *parent = config->linux ? config->linux->cgroup_parent : "";

	if (node->systemd)
		return scope_path(node, parent, id, ret_path, err);
	if (ends_in(parent, SLICE))
		return error_set(err, ERR_INVALID,
				 "linux.cgroup_parent: '%s' is a systemd slice, but the cgroup driver is cgroupfs: set the "
				 "client's to cgroupfs",
				 parent);
	*ret_path = without_end(*parent ? parent : node->config->cgroup_parent);
	return *ret_path ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

bool group_is_scope(const char *parent)
{
	return ends_in(parent, SCOPE);
}

/* The slice right above the scope; free(). */
static char *slice_of(const char *path)
{
	const char *end = strrchr(path, '/'), *start = end;

	while (start > path && start[-1] != '/')
		start--;
	return start < end ? strndup(start, (size_t)(end - start)) : strdup("-" SLICE);
}

int group_adopt_init(struct node *node, const char *parent, const char *path, pid_t init, struct error *err)
{
	_cleanup_free_
	char *slice = slice_of(parent);

	if (!slice)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (systemd_start_scope(strrchr(parent, '/') + 1, slice, "pod of monopod", init, err) < 0)
		return -1;
	return cgroup_move(node->cgroups, path, init, err);
}
