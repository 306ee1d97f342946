/*
 * Descriptors that whoever started us has opened for the container: sockets of a service manager (sd_listen_fds(3)) first, then those that
 * --preserve-fds counts, from 3 on. They are looked for before anything is opened here: what has such a number later is ours.
 */
#ifndef MONOPOD_OCI_DESCRIPTORS_H
#define MONOPOD_OCI_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/command.h"
#include "runtime/spec.h"

/* Sets oci->handed. `sockets`: of a service manager, too, when it says that they are for us. ERR_INVALID for one that is not open. */
int descriptors_check(struct oci *oci, int64_t preserved, bool sockets, struct error *err);

/* 3, 4, 5, ... become what the process finds there. */
int descriptors_list(const struct handed *handed, struct process_extras *extras, struct arena *arena, struct error *err);

/* The same for a container, with what its environment says of sockets. */
int descriptors_hand_on(const struct handed *handed, struct container_spec *spec, struct arena *arena, struct error *err);

#endif
