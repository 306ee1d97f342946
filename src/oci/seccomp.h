/* The filter of a configuration's "linux.seccomp", which is a profile as engines write them with its conditions resolved. */
#ifndef MONOPOD_OCI_SECCOMP_H
#define MONOPOD_OCI_SECCOMP_H

#include "oci/config.h"
#include "runtime/seccomp.h"

/* NULL without one. In the arena. */
int seccomp_of(const struct config *config, struct arena *arena, const struct seccomp_filter **ret_filter, struct error *err);

#endif
