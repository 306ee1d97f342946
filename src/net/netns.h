/*
 * Work inside another network namespace.
 *
 * setns(2) moves the calling thread, and a thread that cannot be moved back afterwards would do all its later work in a pod. So the
 * work runs in a thread of its own that ends with it: about 50 us, and nothing to put back.
 */
#ifndef MONOPOD_NET_NETNS_H
#define MONOPOD_NET_NETNS_H

#include "base/error.h"

typedef int netns_fn(void *arg, struct error *err);

/* Runs fn(arg, err) in the namespace and returns what it returned. `arg` may live on the caller's stack. */
int netns_call(int netns, netns_fn *fn, void *arg, struct error *err);

#endif
