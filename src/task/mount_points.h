/*
 * The lowest layer of every container's root: directories and empty files that the standard mounts stand on. Few images have them all,
 * and making them in a container's own directory, on a disk, was the longest part of attaching its mounts. What an image has in their
 * places lies above and counts.
 */
#ifndef MONOPOD_TASK_MOUNT_POINTS_H
#define MONOPOD_TASK_MOUNT_POINTS_H

#include "base/error.h"

#define MOUNT_POINTS_DIR "mount-points" /* below root_dir */

/* Makes what is missing of the layer. Blocks: for the start of the daemon. */
int mount_points_make(const char *root_dir, struct error *err);

#endif
