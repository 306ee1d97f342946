/*
 * The systemd cgroup manager: a container is a scope that systemd makes in a slice, as runc and crun have it, and its process is in a group
 * `container` of the scope, which is delegated to us: limits are written there, not told to systemd, and what the scope is made around until
 * the container's process exists stays out of their way. systemd removes the scope when nothing is in it any more.
 */
#ifndef MONOPOD_OCI_SCOPE_H
#define MONOPOD_OCI_SCOPE_H

#include "base/arena.h"
#include "base/error.h"
#include "runtime/cgroup.h"
#include "runtime/spawner.h"

struct scope {
	const char *slice; /* "a-b.slice" */
	const char *unit;  /* "prefix-name.scope" */
	const char *path;  /* of its cgroup */
	const char *group; /* of the container in it */
};

/* `wanted` is cgroupsPath, "SLICE:PREFIX:NAME"; NULL: a scope named after the container in system.slice. ERR_INVALID for another form. */
int scope_parse(const char *wanted, const char *id, struct arena *arena, struct scope *ret_scope, struct error *err);

/* ERR_STATE where systemd is not the init, or has not version 2 of cgroups for itself. Loads what it takes to talk to it. */
int scope_check(const struct cgroup_roots *roots, struct error *err);

/* ERR_EXISTS when the unit's cgroup is there already: then it is somebody else's, whom nothing of ours may touch. */
int scope_check_free(const struct scope *scope, struct cgroup_roots *roots, struct error *err);

/*
 * Makes the scope around a process of ours, *ret_holder, which is to be ended when the container's is in its group. ERR_EXISTS as above.
 * After an error nothing of ours is in a scope of that name.
 */
int scope_start(const struct scope *scope, const char *id, struct cgroup_roots *roots, struct spawner *spawner,
		struct spawn_result *ret_holder, struct error *err);

/* Ends the process and removes its group. */
void scope_release(const char *path, struct cgroup_roots *roots, struct spawner *spawner, struct spawn_result *holder);

/* Ends what is left in the scope, and waits until systemd has removed it, so that the name is free. */
int scope_remove(const char *path, struct cgroup_roots *roots, struct error *err);

#endif
