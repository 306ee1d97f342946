/*
 * Work inside another network namespace.
 *
 * setns(2) moves the calling thread, and a thread that cannot be moved back afterwards would do all its later work in a pod. So the
 * work runs in a thread of its own that ends with it: about 50 us, and nothing to put back.
 */
#ifndef MONOPOD_NET_NETNS_H
#define MONOPOD_NET_NETNS_H

#include <sys/types.h>

#include "base/error.h"

/* What tells namespaces apart: device and inode of their file. */
struct netns_id {
	dev_t dev;
	ino_t ino;
};

/* Of the calling thread's namespace. */
int netns_identify_self(struct netns_id *ret_id, struct error *err);

/* ERR_INVALID when the descriptor is no network namespace, or is the host's: a pod's settings there would cut the host off. */
int netns_check_pod(int netns, const struct netns_id *host, struct error *err);

typedef int netns_fn(void *arg, struct error *err);

/* Runs fn(arg, err) in the namespace and returns what it returned. `arg` may live on the caller's stack. */
int netns_call(int netns, netns_fn *fn, void *arg, struct error *err);

#endif
