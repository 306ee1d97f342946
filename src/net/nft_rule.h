/*
 * One nftables rule, built expression by expression; the words are those of nft(8). When memory is out the builder goes on quietly
 * and nft_rule_add() marks the batch as failed.
 *
 * Registers are numbered as 32-bit words: 0 to 15. A value that is shorter than a word fills its front.
 */
#ifndef MONOPOD_NET_NFT_RULE_H
#define MONOPOD_NET_NFT_RULE_H

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/ipv4.h"
#include "net/netlink.h"

struct nftnl_rule;

struct nft_rule {
	struct nftnl_rule *rule;
	bool failed;
};

struct nft_rule nft_rule_new(const char *table, const char *chain, const char *comment);

/* Appends the rule to its chain by one message of the batch, and frees it. */
void nft_rule_add(struct nft_rule *r, struct nl_batch *b);

/* meta KEY into a register; meta KEY set from a register. */
void nft_load_meta(struct nft_rule *r, enum nft_meta_keys key, unsigned reg);
void nft_set_meta(struct nft_rule *r, enum nft_meta_keys key, unsigned reg);

/* Bytes of a packet's header into a register. */
void nft_load_payload(struct nft_rule *r, enum nft_payload_bases base, unsigned offset, unsigned len, unsigned reg);

/* fib daddr type: an RTN_ number, into a register. */
void nft_load_destination_type(struct nft_rule *r, unsigned reg);

/* reg = (reg & mask) ^ flip, of one word; both in the byte order of what the register holds. */
void nft_bitwise(struct nft_rule *r, unsigned reg, uint32_t mask, uint32_t flip);

/* Goes on with the rule only when the comparison holds. */
void nft_compare(struct nft_rule *r, enum nft_cmp_ops op, unsigned reg, const void *data, size_t len);

/* ip saddr or ip daddr in (or not in) a prefix; uses register 0. */
void nft_match_source(struct nft_rule *r, enum nft_cmp_ops op, const struct ipv4_prefix *prefix);
void nft_match_destination(struct nft_rule *r, enum nft_cmp_ops op, const struct ipv4_prefix *prefix);

/* iifname or oifname (by the meta key) is the link's name; uses registers 0 to 3. */
void nft_match_link(struct nft_rule *r, enum nft_meta_keys key, enum nft_cmp_ops op, const char *name);

/* Goes on when the key in the registers from `reg` is in the map, with its value in the registers from `value_reg`. */
void nft_lookup(struct nft_rule *r, const char *map, unsigned reg, unsigned value_reg);

void nft_dnat(struct nft_rule *r, unsigned address_reg, unsigned port_reg);
void nft_masquerade(struct nft_rule *r);
void nft_drop(struct nft_rule *r);
void nft_jump(struct nft_rule *r, const char *chain);

#endif
