/* The users of a pod: from the CRI's mappings to those of src/runtime. No side effects. */
#ifndef MONOPOD_TASK_USER_NS_H
#define MONOPOD_TASK_USER_NS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "proto/cri.pb-c.h"
#include "runtime/spec.h"

struct spawner;

/* True when the pod has a user namespace of its own (mode POD); absent options mean the host's. */
bool user_ns_wanted(const Cri__UserNamespace *options);

/* Same mode, same maps. */
bool user_ns_equal(const Cri__UserNamespace *a, const Cri__UserNamespace *b);

/* Mappings of a request, in the arena; checked as the kernel would (ERR_INVALID). */
int id_maps_convert(Cri__IDMapping *const *uids, size_t n_uids, Cri__IDMapping *const *gids, size_t n_gids, struct arena *arena,
		    struct id_maps *ret_maps, struct error *err);

/* The maps of the pod; empty for the host's users. */
int sandbox_id_maps(const Cri__PodSandboxConfig *config, struct arena *arena, struct id_maps *ret_maps, struct error *err);

/* What the specs of a pod's processes are given: NULL for the host's users. In the arena; the descriptor is the sandbox's. */
int sandbox_user_ns(const Cri__PodSandboxConfig *config, int user_ns, struct arena *arena, const struct user_ns_spec **ret_user_ns,
		    struct error *err);

/* Tries what a pod with users of its own needs: the namespace, and an overlay of id-mapped layers where the images are. A kubelet sends
 * such pods to a runtime that says so alone. The reason of a no is logged. Blocks. */
bool user_ns_probe(struct spawner *spawner, const char *root_dir);

/* Gives a file or directory that a pod's containers use to their root; nothing to do for the host's users. */
int sandbox_own(const Cri__PodSandboxConfig *config, const char *path, struct error *err);

#endif
