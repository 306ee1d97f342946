/* The two maps of host ports: nft_maps.c and nft.c share their names. */
#ifndef MONOPOD_NET_NFT_MAPS_H
#define MONOPOD_NET_NFT_MAPS_H

#include "net/nft.h"

extern const char nft_map_ports[];
extern const char nft_map_address_ports[];

/* Appends the messages that create both, empty. */
void nft_put_maps(struct nl_batch *b, const struct nft_network *net);

/* Appends the messages that add (NFT_MSG_NEWSETELEM) or remove (NFT_MSG_DELSETELEM) the ports. */
void nft_put_ports(struct nl_batch *b, uint16_t type, const struct nft_network *net, const struct nft_port *ports, size_t n);

#endif
