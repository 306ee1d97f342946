/*
 * What is taken away from a namespace behind our back: the kernel's notifications of deleted links, ports that leave a bridge, and
 * deleted addresses. Everything else is filtered out in the kernel, so that a node that starts pods is not woken by them.
 */
#ifndef MONOPOD_NET_LINK_WATCH_H
#define MONOPOD_NET_LINK_WATCH_H

#include <stdbool.h>

#include "base/error.h"

/* A descriptor that is readable when something was taken away, for the namespace of the calling thread. */
int link_watch_open(int *ret_fd, struct error *err);

/* Reads what has come. True when the bridge was deleted, lost an address, or lost a port that lives on; and when notifications were
 * lost, so that nobody knows. A port that ended, as each does with its pod, is no loss. */
bool link_watch_drain(int fd, int bridge_index);

#endif
