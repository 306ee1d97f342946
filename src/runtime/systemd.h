/*
 * The systemd cgroup driver: where systemd is the init it owns the tree of cgroups, and a part of it that is ours is a scope of its.
 *
 * A scope is a unit around processes that systemd did not start: asked for with the pid of one of them over D-Bus (StartTransientUnit),
 * delegated, so that what is below is ours alone, and gone by itself with the last process. A pod is one scope, below the slice that
 * the client made for it, and its containers are groups in that scope which we make, limit, watch and remove as everywhere: a
 * container's start, update, command and end need no word to systemd. Rejected: a scope for each container, as others have it. It
 * costs two calls more for each, systemd has to be told every limit lest it writes its own when it reloads, and it removes the group
 * the moment that the last process is gone, before anybody can ask it whether that was for want of memory.
 *
 * libsystemd is loaded when the driver is chosen, and by nobody else: it brings five more libraries, which a daemon on another host
 * and each run of the command line would pay for. Every call opens a connection of its own and closes it, blocks for as long as
 * systemd takes, and belongs in a lane. Sources: org.freedesktop.systemd1(5), systemd.slice(5), systemd.scope(5),
 * https://systemd.io/CGROUP_DELEGATION.
 */
#ifndef MONOPOD_RUNTIME_SYSTEMD_H
#define MONOPOD_RUNTIME_SYSTEMD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* True when systemd is the init (sd_booted(3)). */
bool systemd_is_init(void);

/* Loads the library; ERR_STATE when it is not there. Once, before any other function here is used; not thread-safe. */
int systemd_load(struct error *err);

/* "a-b.slice" is the group "/a.slice/a-b.slice", "-.slice" the root, "". free(). ERR_INVALID for what is no name of a slice. */
int systemd_slice_path(const char *slice, char **ret_path, struct error *err);

/* ERR_INVALID for what is no name of a unit. */
int systemd_check_unit(const char *unit, struct error *err);

/* "/a/b-c" as a slice, "a-b_c.slice", as kubelets spell it. free(); NULL when memory is out. */
char *systemd_slice_name(const char *path);

/* A delegated scope in that slice without limits, with the process in it; `what` it is, for people. ERR_UNAVAILABLE when the bus or systemd
 * does not answer. */
int systemd_start_scope(const char *unit, const char *slice, const char *what, pid_t pid, struct error *err);

#endif
