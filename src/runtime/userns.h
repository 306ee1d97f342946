/*
 * User namespaces and their maps (user_namespaces(7)).
 *
 * A namespace is made by a process that lives as long as it takes: the interpreter of a small plan, in memory of its own, not to be
 * traced by anybody. The daemon writes the maps, opens what it needs and ends it. Everything blocks.
 */
#ifndef MONOPOD_RUNTIME_USERNS_H
#define MONOPOD_RUNTIME_USERNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/spec.h"

struct spawner;

/* Lines that the kernel takes in one map (Linux 4.15). */
#define ID_MAPS_MAX 340

/*
 * What the kernel asks of maps, said in advance (ERR_INVALID): one map of users and of groups at least, none of length 0, beyond the last
 * id (4294967294) or overlapping another, inside or outside.
 */
int id_maps_check(const struct id_maps *maps, struct error *err);

/* The id outside; false when `inside` is in no map. */
bool id_map_find(const struct id_map *maps, size_t n, uint32_t inside, uint32_t *ret_outside);

bool id_maps_equal(const struct id_maps *a, const struct id_maps *b);

/* A new user namespace with these maps, a child of the daemon's own. The descriptor keeps it. */
int userns_create(struct spawner *spawner, const struct id_maps *maps, struct error *err);

/* The maps of a process's user namespace, in the arena. */
struct arena;
int userns_maps_of(pid_t pid, struct arena *arena, struct id_maps *ret_maps, struct error *err);

/* Those of any user namespace below ours, by a process that goes there for it. */
int userns_find_maps(struct spawner *spawner, int user_ns, struct arena *arena, struct id_maps *ret_maps, struct error *err);

/* The process of a namespace in the making. */
struct ns_holder {
	pid_t pid;
	int pidfd; /* -1: none */
};

/* Makes a user namespace with these maps and, owned by it, the namespaces in `flags` (CLONE_NEW*). */
int ns_holder_start(struct spawner *spawner, const struct id_maps *maps, unsigned flags, struct ns_holder *ret_holder,
		    struct error *err);

/* A descriptor of its namespace of that kind, by the name in /proc/PID/ns: "user", "net". */
int ns_holder_open(const struct ns_holder *holder, const char *kind, struct error *err);

/* Ends the process; what is open stays. */
void ns_holder_end(struct spawner *spawner, struct ns_holder *holder);

#endif
