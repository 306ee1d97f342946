/* What a pod asks of its network, from the CRI's configuration. */
#ifndef MONOPOD_TASK_NETWORK_REQUEST_H
#define MONOPOD_TASK_NETWORK_REQUEST_H

#include "base/arena.h"
#include "base/error.h"
#include "net/net.h"
#include "task/sandbox.h"

/* For an attach; `netns` is the pod's, pinned below its directory. Strings live in the arena or in the sandbox. */
int network_request_make(const struct sandbox *sandbox, int netns, struct arena *arena, struct net_request *ret_request,
			 struct error *err);

/* A rate as Kubernetes writes it ("10M", "1.5Gi", "1e6"), in bits per second, from 1k to 999T. */
int network_rate_parse(const char *text, uint64_t *ret_bits, struct error *err);

#endif
