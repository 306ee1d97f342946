/* Connections that the kernel remembers: for UDP a remembered one outlives any change of the host ports that it was made under. */
#ifndef MONOPOD_NET_CONNTRACK_H
#define MONOPOD_NET_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/netlink.h"

struct port_set {
	uint64_t bits[65536 / 64];
	unsigned count;
};

void port_set_add(struct port_set *set, uint16_t port);
bool port_set_has(const struct port_set *set, uint16_t port);

/*
 * Forgets all UDP flows that were sent to one of these ports, so that the next packet meets the rules afresh. Over a
 * NETLINK_NETFILTER socket. The kernel walks its whole table for that, about 10 ms with 262,144 buckets: ask once for all ports, and
 * only when there are any.
 */
int conntrack_forget_udp(struct netlink *nl, const struct port_set *ports, struct error *err);

#endif
