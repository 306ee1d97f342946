/*
 * File systems for a container, as detached mounts: descriptors that are attached by the child alone and vanish when nobody holds
 * them. Nothing here appears in the host's mount table. Everything blocks; a host path may hang for ever: call from the pod's lane.
 */
#ifndef MONOPOD_RUNTIME_ROOTFS_H
#define MONOPOD_RUNTIME_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct overlay_spec {
	const char *const *lower_dirs; /* topmost layer first */
	size_t n_lower_dirs;
	const char *upper_dir; /* both NULL: read-only overlay */
	const char *work_dir;
};

/* Returns a descriptor of the detached mount; read-only without an upper directory. Paths may hold any byte. */
int overlay_open(const struct overlay_spec *spec, struct error *err);

enum propagation { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL };

struct volume_spec {
	const char *host_path; /* absolute; symbolic links are followed (kubelet hands us such paths) */
	bool readonly;
	bool recursive_readonly;
	enum propagation propagation;
	bool create_missing_dir; /* kubelet of old creates host paths itself; CRI runtimes make a missing one a directory */
};

/*
 * Returns a descriptor of the detached bind with everything mounted below it; *ret_is_file says whether its root is anything but a
 * directory. `readonly` is for the top mount alone, as in every engine; `recursive_readonly` for all of them, and needs `readonly` and
 * private propagation (CRI Mount.recursive_read_only). Bidirectional propagation of a mount that is not shared is ERR_INVALID.
 */
int volume_open(const struct volume_spec *spec, bool *ret_is_file, struct error *err);

#endif
