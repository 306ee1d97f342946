/* Whether the pods' addresses are free to be used on this host. */
#ifndef MONOPOD_NET_OVERLAP_H
#define MONOPOD_NET_OVERLAP_H

#include "base/error.h"
#include "net/ipv4.h"
#include "net/netlink.h"

/*
 * ERR_EXISTS when another link than the bridge (index, 0 when there is none yet) has an address on a network that overlaps the
 * range, or a route of the main table leads a part of the range elsewhere. A route that is wider than the range is none of that:
 * the bridge's own, narrower route wins over it.
 */
int check_overlap(struct netlink *nl, const struct ipv4_prefix *range, int bridge, struct error *err);

#endif
