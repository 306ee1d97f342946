/*
 * Taking rights away from a child that is about to parse what a stranger wrote. Nothing here can be undone by the process.
 *
 * The decompressor keeps nothing: no capability, no files, the system calls of a filter between two descriptors.
 *
 * The unpacker keeps what it needs to recreate files as they were: six capabilities that act on the one directory tree it can
 * see. That tree is a detached copy of the layer's mount in which device nodes, set-user-id bits and programs are dead
 * and symbolic links are not followed; it is the process's root, in namespaces of its own. CAP_SYS_ADMIN, which
 * trusted.overlay.opaque needs, is not among them: the daemon sets that attribute on the directories that the child names, by
 * descriptor (unpack.c). A child that was taken over can therefore write wrong files into its own layer, and no more.
 */
#ifndef MONOPOD_IMAGE_CONFINE_H
#define MONOPOD_IMAGE_CONFINE_H

#include <stdint.h>

#include "base/error.h"

int confine_inflater(struct error *err);

/* Makes `layer_fd` the root directory, and its own copy of that descriptor useless for anything outside. `max_file_bytes` is the
 * largest file that can be written. Linux 5.14 (mount_setattr with MOUNT_ATTR_NOSYMFOLLOW). */
int confine_unpacker(int layer_fd, uint64_t max_file_bytes, struct error *err);

#endif
