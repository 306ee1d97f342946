/* From a configuration to struct container_spec: opens what it names on the host. */
#ifndef MONOPOD_OCI_WORLD_H
#define MONOPOD_OCI_WORLD_H

#include "base/arena.h"
#include "base/error.h"
#include "oci/config.h"
#include "runtime/cgroup_stat.h"
#include "runtime/spec.h"

/* The spec and every descriptor that it refers to. Close with world_close(), after a failed world_open() too. */
struct world {
	struct container_spec spec;
	struct hooks_spec hooks;
	struct time_ns_spec time_ns;
	int user_ns; /* a descriptor, NS_NEW or NS_HOST: its maps are the caller's to find, and spec.user_ns to set */
	bool has_user_ns;
	char *rootfs_path; /* resolved */
	int *fds;          /* of the arena */
	size_t n_fds;
	int cgroup_trees[CGROUP_TREES_MAX];
};

/* `bundle` is absolute. The strings are the configuration's, the lists of its arena. */
int world_open(const struct config *config, const char *id, const char *bundle, const struct cgroup_roots *roots,
	       const struct cgroup *cgroup, struct world *ret_world, struct error *err);
void world_close(struct world *world);

/* What a process of the container is, cut to the capabilities that we hold: for its first and for exec. */
int world_identity(struct process_config *process, struct error *err);

#endif
