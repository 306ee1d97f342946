/*
 * The limit of open files, RLIMIT_NOFILE: the daemon raises its own and gives what it starts the limit that it was started with, as
 * other runtimes do: a container that inherits a soft limit of a million makes programs that close every descriptor, or select(2),
 * slow or wrong.
 */
#ifndef MONOPOD_BASE_DESCRIPTORS_H
#define MONOPOD_BASE_DESCRIPTORS_H

#include <sys/resource.h>

#include "base/error.h"

/* Raises the soft limit to the hard one. Before there are threads. */
int descriptors_raise_limit(struct error *err);

/* The limit before it was raised; the present one when it never was. */
struct rlimit descriptors_former_limit(void);

#endif
