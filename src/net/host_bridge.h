/* The host's side of the pod network: the bridge with the gateway's address, and the kernel settings that it needs. */
#ifndef MONOPOD_NET_HOST_BRIDGE_H
#define MONOPOD_NET_HOST_BRIDGE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/ipv4.h"
#include "net/link.h"
#include "net/netlink.h"

struct host_bridge {
	char name[IFNAMSIZ];
	struct ipv4_prefix range;
	struct gateway gateway;
	uint32_t configured_mtu; /* 0: auto */

	/* Set by host_bridge_ensure(), and the gateway's MAC too. */
	int index;
	uint32_t mtu;
};

/* Name and MTU from the configuration: "auto" or a number. ERR_INVALID. */
int host_bridge_parse(struct host_bridge *hb, const char *name, const char *mtu, struct error *err);

/* Whether host_bridge_ensure() could do its work; changes nothing. */
int host_bridge_check(const struct host_bridge *hb, struct netlink *nl, struct error *err);

/* Makes the bridge unless it is there: then a few microseconds. ERR_EXISTS: see net_bridge_open(). */
int host_bridge_ensure(struct host_bridge *hb, struct netlink *nl, struct error *err);

/* Deletes the bridge when it is one; success when it is gone. */
int host_bridge_delete(struct host_bridge *hb, struct netlink *nl, struct error *err);

#endif
