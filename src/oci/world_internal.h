/* What the files of the world share. */
#ifndef MONOPOD_OCI_WORLD_INTERNAL_H
#define MONOPOD_OCI_WORLD_INTERNAL_H

#include "oci/world.h"

/* Keeps a descriptor until world_close(), and returns it. */
int world_keep(struct world *world, int fd);

/* Relative paths are the bundle's. NULL when memory is out. */
const char *world_in_bundle(struct arena *arena, const char *bundle, const char *path);

/* world_mounts.c: spec.mounts, in the order of the configuration, and /dev before them where it has none. */
int world_open_mounts(struct world *world, struct arena *arena, const struct config *config, const char *bundle, struct error *err);

#endif
