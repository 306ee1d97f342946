/*
 * Where the cgroups of a pod are, by the node's driver: groups named after the ids of its init and its containers, below the request's
 * cgroup_parent, or in a scope "monopod-ID.scope" of systemd's in that slice (runtime/systemd.h). All that comes after is the same.
 */
#ifndef MONOPOD_TASK_GROUP_H
#define MONOPOD_TASK_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "proto/cri.pb-c.h"

struct node;

/* node->systemd from runtime.cgroup_driver and what the host has. With cgroup roots open. */
int group_choose_driver(struct node *node, struct error *err);

/* The path of the group in which those of pod `id` are made; "" is the root. free(). ERR_INVALID when the request's cgroup_parent is
 * spelled for the other driver. */
int group_parent_path(const struct node *node, const Cri__PodSandboxConfig *config, const char *id, char **ret_path,
		      struct error *err);

/* True when the pod's parent is a scope: it needs a process for as long as the pod lives. */
bool group_is_scope(const char *parent);

/* Has systemd make the scope around the pod's init, and moves the init into its own group `path` in there, so that the scope can hand
 * controllers down (cgroup-v2.rst, "No Internal Process Constraint"). Blocks. */
int group_adopt_init(struct node *node, const char *parent, const char *path, pid_t init, struct error *err);

#endif
