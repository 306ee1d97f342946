/* The ways to make an overlay and an image volume, apart, so that each can be tested on a kernel that would always take the first. */
#ifndef MONOPOD_RUNTIME_ROOTFS_INTERNAL_H
#define MONOPOD_RUNTIME_ROOTFS_INTERNAL_H

#include "runtime/rootfs.h"

enum overlay_way {
	OVERLAY_BY_LAYER, /* fsconfig("lowerdir+") for each layer: Linux 6.8 */
	OVERLAY_BY_LIST,  /* fsconfig("lowerdir", "a:b:c"): while the list is shorter than 256 bytes */
	OVERLAY_BY_MOUNT, /* mount(2), whose options may fill a page, in a mount namespace that lives for the call */
};

/* Whether this kernel takes OVERLAY_BY_LAYER. */
bool overlay_takes_layers(void);

/* -1 with *err set on failure; `way` is taken as it is. */
int overlay_open_by(enum overlay_way way, const struct overlay_spec *spec, struct error *err);

/* overlay_open_id_mapped() where the kernel wants layers to be attached somewhere (before 6.15). */
int overlay_open_attached(const struct overlay_spec *spec, int user_ns, struct error *err);

/* The directory `dir` of the detached `mount` as a mount of its own, on kernels that make none of a mount that is attached nowhere.
 * `mount` is used up; `place` is any directory. */
int image_volume_copy_attached(int mount, int dir, const char *place, struct error *err);

#endif
