/*
 * The pod's own file system, on which lie what its containers get mounted: dir/fs with hosts, hostname, resolv.conf and the directory shm.
 * It has the label that all containers of the pod may use, and the files belong to their root. Everything blocks.
 */
#ifndef MONOPOD_TASK_POD_FILES_H
#define MONOPOD_TASK_POD_FILES_H

#include "base/error.h"

struct sandbox;

/* Makes the pod's directory and mounts the file system, with shm in it. What a failure leaves is remove_pod_dir()'s. */
int pod_files_make(const struct sandbox *sandbox, struct error *err);

/* Writes the three files, after pod_files_make(); `address` is the pod's own, NULL on the host's network. */
int pod_files_write(const struct sandbox *sandbox, const char *address, struct error *err);

#endif
