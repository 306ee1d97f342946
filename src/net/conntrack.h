/* Connections that the kernel remembers: for UDP a remembered one outlives any change of the host ports that it was made under. */
#ifndef MONOPOD_NET_CONNTRACK_H
#define MONOPOD_NET_CONNTRACK_H

#include <stdint.h>

#include "base/error.h"
#include "net/netlink.h"

/* Forgets all UDP flows that were sent to this port, so that the next packet meets the rules afresh. Over a NETLINK_NETFILTER
 * socket. */
int conntrack_forget_udp(struct netlink *nl, uint16_t port, struct error *err);

#endif
