/*
 * Links of the host's namespace and of a pod's: the bridge, veth pairs, addresses, routes. Each function sends one batch over the
 * given rtnetlink socket; the calling thread must be in the namespace that the socket belongs to.
 */
#ifndef MONOPOD_NET_LINK_H
#define MONOPOD_NET_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/ipv4.h"
#include "net/netlink.h"

/* The kernel's limit for an alias is 256 with its NUL (IFALIASZ). */
#define LINK_ALIAS_SIZE 256

struct link_info {
	int index;
	int master; /* 0: none */
	int peer;   /* IFLA_LINK: of a veth end, the index of the other end in its own namespace */
	uint32_t mtu;
	bool has_carrier;
	bool is_active; /* operational state "up" (RFC 2863): the kernel has acted on the carrier, packets are queued and not dropped */
	unsigned char mac[MAC_SIZE];
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "veth", ...; empty for hardware */
	char alias[LINK_ALIAS_SIZE];
};

/* ERR_NOT_FOUND when there is no such link. */
int link_find(struct netlink *nl, const char *name, struct link_info *ret_info, struct error *err);
int link_find_index(struct netlink *nl, int index, struct link_info *ret_info, struct error *err);

typedef int link_fn(const struct link_info *info, void *arg, struct error *err);
int link_each(struct netlink *nl, link_fn *fn, void *arg, struct error *err);

typedef int address_fn(int link_index, uint32_t address, uint8_t prefix_length, void *arg, struct error *err);
int address_each(struct netlink *nl, address_fn *fn, void *arg, struct error *err);

/* Routes of the main table. link_index is that of the first path; 0 for routes to nowhere. */
typedef int route_fn(int link_index, const struct ipv4_prefix *destination, void *arg, struct error *err);
int route_each(struct netlink *nl, route_fn *fn, void *arg, struct error *err);

struct bridge_spec {
	const char *name;
	uint32_t address; /* its MAC is made of it: otherwise the bridge's MAC would change with its ports */
	uint32_t mtu;
};

/* Creates the bridge, down and without address. */
int link_create_bridge(struct netlink *nl, const struct bridge_spec *spec, struct error *err);

/* A link and the address it has or gets. */
struct ipv4_link {
	int index;
	const char *name;
	uint32_t address;
	uint8_t prefix_length;
};

/* Gives the link the address (one that it has already is fine) and no IPv6 address, and brings it up. */
int link_bring_up(struct netlink *nl, const struct ipv4_link *link, struct error *err);

struct veth_spec {
	const char *name;      /* of the host's end */
	const char *peer_name; /* of the pod's end, created inside peer_netns */
	int peer_netns;
	uint32_t peer_address; /* the pod's IP: the peer's MAC is made of it */
	uint32_t mtu;
	int bridge; /* index */
};

/* Creates the pair with the host's end as a port of the bridge, both down. err->sys_errno is EEXIST when a link of either name
 * exists. */
int link_create_veth(struct netlink *nl, const struct veth_spec *spec, struct error *err);

/* Makes the link a port of the bridge with this index; 0 takes it out of the one it is in. */
int link_join_bridge(struct netlink *nl, const char *name, int bridge, struct error *err);

struct port_spec {
	const char *name;
	const char *alias; /* the mark of its owner */
	int bridge;        /* index */
	uint32_t address;  /* the pod's IP, of which its MAC is made */
};

/* Makes a new bridge port ready: alias, hairpin mode, no IPv6 address, up; and tells the bridge and the host where the pod's
 * addresses are, so that nobody has to ask every port of the bridge for them. */
int link_start_port(struct netlink *nl, const struct port_spec *spec, struct error *err);

/* Success when it is gone already. Takes 15 to 25 ms for a veth (the kernel waits for an RCU grace period). */
int link_delete(struct netlink *nl, int index, struct error *err);

int link_set_up(struct netlink *nl, const char *name, struct error *err);

struct gateway {
	uint32_t address;
	unsigned char mac[MAC_SIZE];
};

/* For a socket in the pod's namespace: lo and the link up, address and default route set; what is there already is fine. */
int link_configure_pod(struct netlink *nl, const struct ipv4_link *link, const struct gateway *gateway, struct error *err);

/* Success when the address is gone already. */
int link_remove_address(struct netlink *nl, const struct ipv4_link *link, struct error *err);

/*
 * Makes the kernel act on the carrier of a link that was just brought up, in the namespace of the calling thread, and waits until it
 * has: otherwise the first packet may meet a queue that is not active yet and is sent again only a second later. Newer kernels act
 * when they are asked (Linux 6.8); older ones leave it to a worker, which on a busy machine takes its time. A link without carrier
 * has nothing to wait for; one that does not get ready within two seconds is left as it is.
 */
int link_settle(struct netlink *nl, const char *name, struct error *err);

#endif
