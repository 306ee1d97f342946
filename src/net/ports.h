/*
 * Host ports: which pod has which, checked for conflicts and kept in step with the maps of the nftables table.
 *
 * The kernel's maps are the record that survives us; ports_load() reads them. A port of the host on all addresses conflicts with
 * the same port on one address, as the Kubernetes scheduler sees it.
 */
#ifndef MONOPOD_NET_PORTS_H
#define MONOPOD_NET_PORTS_H

#include <stddef.h>

#include "base/error.h"
#include "net/net.h"
#include "net/nft.h"

/* Of one pod, and of all: far more than a node's pods declare (arbitrary); each costs the kernel about 200 bytes,
 * and the room for all of them 16 bytes each. */
#define PORTS_MAX_PER_POD 256
#define PORTS_MAX 16384

struct ports {
	struct nft_port *list;
	size_t n, cap;
};

void ports_release(struct ports *ports);

int ports_load(struct ports *ports, struct netlink *nl, const struct nft_network *net, struct error *err);

/* Publishes what the request asks for and is not published yet. ERR_EXISTS names the port and the pod that has it. On failure
 * nothing of the request is added. */
int ports_publish(struct ports *ports, struct netlink *nl, const struct nft_network *net, const struct net_request *request,
		  uint32_t pod_address, struct error *err);

/* Takes all ports of the pod away. */
int ports_withdraw(struct ports *ports, struct netlink *nl, const struct nft_network *net, const char *pod_id, struct error *err);

/* Takes the ports of all pods away that are not in the sorted list. */
int ports_sweep(struct ports *ports, struct netlink *nl, const struct nft_network *net, const char *const *live_pod_ids, size_t n,
		struct error *err);

#endif
