/*
 * The firewall's part of the pod network: one nftables table of the IPv4 family, named after the bridge and owned by us alone.
 *
 *     table ip monopod-BRIDGE {
 *       map ports         { inet_proto . inet_service : ipv4_addr . inet_service }
 *       map address_ports { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
 *       chain guard       { filter prerouting raw:  from the bridge, source or destination 127.0.0.0/8: drop }
 *       chain prerouting  { nat prerouting dstnat:  destination is the host's: jump publish }
 *       chain output      { nat output dstnat:      destination is the host's: jump publish }
 *       chain publish     { dnat to address_ports, to ports; from a pod also: mark }
 *       chain postrouting { nat postrouting srcnat: marked: masquerade; from 127.0.0.0/8 to the bridge: masquerade;
 *                                                   from a pod to elsewhere: masquerade }
 *     }
 *
 * A pod costs no rule, only an element for each of its host ports, so that neither packets nor starts get slower with more pods.
 * Elements carry the pod's id as their comment.
 *
 * The guard keeps the host's loopback services out of reach for pods: host ports on 127.0.0.1 need route_localnet on the bridge,
 * which alone would open them (CVE-2020-8558). The mark is bit 0x2000, the one that the CNI portmap plugin uses for the same: a pod
 * that reaches a pod through a host port must be masqueraded, or the answer would come from an address it never spoke to.
 *
 * What other tables drop stays dropped: an accept of ours ends our chain only. nft_find_forward_drop() finds such a host.
 */
#ifndef MONOPOD_NET_NFT_H
#define MONOPOD_NET_NFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"
#include "net/ipv4.h"
#include "net/netlink.h"

#define NFT_TABLE_SIZE 32 /* "monopod-" and a link name */

struct nft_network {
	char table[NFT_TABLE_SIZE];
	const char *bridge;
	struct ipv4_prefix range;
};

struct nft_port {
	uint8_t protocol;      /* IPPROTO_TCP, _UDP, _SCTP */
	uint16_t host_port;    /* ports in host byte order */
	uint32_t host_address; /* 0: any of the host's */
	uint16_t pod_port;
	uint32_t pod_address;
	char pod_id[ID_SIZE]; /* empty: an element that somebody else put in */
};

/* Replaces the whole table by one with these ports, in one transaction: no packet meets a half-made table. With `commit` false the
 * kernel only checks whether it could. */
int nft_program(struct netlink *nl, const struct nft_network *net, const struct nft_port *ports, size_t n, bool commit,
		struct error *err);

/* ERR_NOT_FOUND when the table is not there, as after `nft flush ruleset`. */
int nft_find_table(struct netlink *nl, const struct nft_network *net, struct error *err);

/* Success when it is gone already. */
int nft_delete_table(struct netlink *nl, const struct nft_network *net, struct error *err);

/* All or none. ERR_NOT_FOUND when the table, or an element to remove, is not there. */
int nft_add_ports(struct netlink *nl, const struct nft_network *net, const struct nft_port *ports, size_t n, struct error *err);
int nft_remove_ports(struct netlink *nl, const struct nft_network *net, const struct nft_port *ports, size_t n, struct error *err);

/* The ports that the kernel has now; no table is no ports. */
typedef int nft_port_fn(const struct nft_port *port, void *arg, struct error *err);
int nft_each_port(struct netlink *nl, const struct nft_network *net, nft_port_fn *fn, void *arg, struct error *err);

/* Writes "table/chain" of a base chain that drops forwarded packets unless a rule accepts them; "" when there is none. */
#define NFT_CHAIN_PATH_SIZE 128
int nft_find_forward_drop(struct netlink *nl, char ret_path[NFT_CHAIN_PATH_SIZE], struct error *err);

#endif
