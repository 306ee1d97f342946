/*
 * File systems for a container, as detached mounts: descriptors that are attached by the child alone and vanish when nobody holds
 * them. Nothing here appears in the host's mount table. Everything blocks; a host path may hang for ever: call from the pod's lane.
 */
#ifndef MONOPOD_RUNTIME_ROOTFS_H
#define MONOPOD_RUNTIME_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct user_ns_spec;

struct overlay_spec {
	const char *const *lower_dirs; /* topmost layer first */
	size_t n_lower_dirs;
	const char *upper_dir; /* both NULL: read-only overlay */
	const char *work_dir;
	const char *context; /* SELinux label of every file in it, whatever the layers say; NULL: theirs */
};

/* Returns a descriptor of the detached mount; read-only without an upper directory. Paths may hold any byte. */
int overlay_open(const struct overlay_spec *spec, struct error *err);

/*
 * The same for containers with users of their own: the ids in the layers are those inside of `user_ns`, the ones in the upper directory,
 * itself included, are the host's. Nothing is copied. ERR_UNIMPLEMENTED when the layers' file system does not know id-mapped mounts
 * or the kernel's overlay takes none (before Linux 5.19).
 */
int overlay_open_id_mapped(const struct overlay_spec *spec, int user_ns, struct error *err);

enum propagation { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL };

struct volume_spec {
	const char *host_path; /* absolute; symbolic links are followed (CRI Mount.host_path) */
	bool readonly;
	bool recursive_readonly;
	enum propagation propagation;
	bool create_missing_dir;  /* a missing host path becomes a directory, as in containerd and CRI-O */
	bool must_be_procfs;      /* ERR_INVALID for anything but the root of a procfs */
	bool lets_go;             /* private, but what the host unmounts below it is unmounted here, too */
	const char *label;        /* SELinux label for everything in it (relabel.h); NULL: as it is */
	uint64_t attributes;      /* MOUNT_ATTR_* of mount_setattr(2) for its top mount alone ... */
	uint64_t tree_attributes; /* ... and for every mount below as well */
};

/*
 * Returns a descriptor of the detached bind with everything mounted below it; *ret_is_file says whether its root is anything but a
 * directory. `readonly` is for the top mount alone, as in every engine; `recursive_readonly` for all of them, and needs `readonly` and
 * private propagation (CRI Mount.recursive_read_only). ERR_STATE where the host is not as the request needs it: bidirectional
 * propagation of a mount that is not shared, host-to-container propagation of one that is neither shared nor a slave, a path through a
 * file or a link without end.
 */
int volume_open(const struct volume_spec *spec, bool *ret_is_file, struct error *err);

/*
 * Id-maps a detached mount, not what is mounted below its root: the ids on the file system, seen as those inside of `user_ns`, become the
 * host's ids that are mapped there (Linux 5.12 and a file system that knows it). `what` names the mount in an error: ERR_UNIMPLEMENTED
 * when the file system does not.
 */
int mount_id_map(int mount, int user_ns, const char *what, struct error *err);

/* The same for everything that is mounted below its root, too. */
int mount_id_map_tree(int mount, int user_ns, const char *what, struct error *err);

/*
 * Any file system that the kernel knows, by mount(2) as other runtimes do it, as a detached mount: paths in `source` and `options` are
 * the host's, and so are the namespaces that a file system looks at. NULL is none for both. `flags` is MS_RDONLY and the like.
 * ERR_NOT_FOUND for a type that the kernel does not know.
 */
int file_system_open(const char *type, const char *source, unsigned long flags, const char *options, struct error *err);

/* Copies what is in a directory into another one: directories, files, links, nodes, with modes, owners and times of change. Names are not
 * followed. Hard links become files of their own; sockets are left out. */
int copy_up(int from, int to, struct error *err);

/* Whether this kernel makes whole trees read-only (mount_setattr(2), Linux 5.12): tried on a copy that nobody sees. */
bool volume_takes_recursive_readonly(void);

struct image_volume_spec {
	const char *const *layer_dirs; /* topmost first */
	size_t n_layers;
	const char *sub_path;               /* relative to the image's root, links inside it are followed; NULL or "": all of it */
	uint64_t attributes;                /* as above; read-only in any case (CRI Mount.image) */
	const struct user_ns_spec *user_ns; /* id-mapped for the users of the pod; NULL: as it is */
};

/* Returns a descriptor of the detached mount. ERR_NOT_FOUND for a sub path that does not exist, ERR_STATE for one that is no directory. */
int image_volume_open(const struct image_volume_spec *spec, struct error *err);

#endif
