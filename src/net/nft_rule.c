#include "net/nft_rule.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <string.h>

#define REGISTER(reg) ((uint32_t)NFT_REG32_00 + (reg))

static void put_comment(struct nft_rule *r, const char *comment)
{
	struct nftnl_udata_buf *data = nftnl_udata_buf_alloc(NFTNL_UDATA_COMMENT_MAXLEN + 8);

	if (!data || !nftnl_udata_put_strz(data, NFTNL_UDATA_RULE_COMMENT, comment) ||
	    nftnl_rule_set_data(r->rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(data), nftnl_udata_buf_len(data)) < 0)
		r->failed = true;
	if (data)
		nftnl_udata_buf_free(data);
}

struct nft_rule nft_rule_new(const char *table, const char *chain, const char *comment)
{
	struct nft_rule r = { .rule = nftnl_rule_alloc() };

	if (!r.rule) {
		r.failed = true;
		return r;
	}
	nftnl_rule_set_u32(r.rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	if (nftnl_rule_set_str(r.rule, NFTNL_RULE_TABLE, table) < 0 || nftnl_rule_set_str(r.rule, NFTNL_RULE_CHAIN, chain) < 0)
		r.failed = true;
	put_comment(&r, comment);
	return r;
}

void nft_rule_add(struct nft_rule *r, struct nl_batch *b)
{
	struct nlmsghdr *m = NULL;

	if (r->failed)
		b->failed = true;
	else
		m = nl_batch_add_nft(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add rule to chain %s",
				     nftnl_rule_get_str(r->rule, NFTNL_RULE_CHAIN));
	if (m)
		nftnl_rule_nlmsg_build_payload(m, r->rule);
	if (r->rule)
		nftnl_rule_free(r->rule);
	r->rule = NULL;
}

/* A new expression at the rule's end; NULL when memory is out. */
static struct nftnl_expr *add(struct nft_rule *r, const char *kind)
{
	struct nftnl_expr *e = r->failed ? NULL : nftnl_expr_alloc(kind);

	if (e)
		nftnl_rule_add_expr(r->rule, e);
	else
		r->failed = true;
	return e;
}

static void put_data(struct nft_rule *r, struct nftnl_expr *e, uint16_t attribute, const void *data, size_t len)
{
	if (nftnl_expr_set(e, attribute, data, (uint32_t)len) < 0)
		r->failed = true;
}

static void put_str(struct nft_rule *r, struct nftnl_expr *e, uint16_t attribute, const char *text)
{
	if (nftnl_expr_set_str(e, attribute, text) < 0)
		r->failed = true;
}

void nft_load_meta(struct nft_rule *r, enum nft_meta_keys key, unsigned reg)
{
	struct nftnl_expr *e = add(r, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, REGISTER(reg));
}

void nft_set_meta(struct nft_rule *r, enum nft_meta_keys key, unsigned reg)
{
	struct nftnl_expr *e = add(r, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, REGISTER(reg));
}

void nft_load_payload(struct nft_rule *r, enum nft_payload_bases base, unsigned offset, unsigned len, unsigned reg)
{
	struct nftnl_expr *e = add(r, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, REGISTER(reg));
}

void nft_load_destination_type(struct nft_rule *r, unsigned reg)
{
	struct nftnl_expr *e = add(r, "fib");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, REGISTER(reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
}

void nft_bitwise(struct nft_rule *r, unsigned reg, uint32_t mask, uint32_t flip)
{
	struct nftnl_expr *e = add(r, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, REGISTER(reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, REGISTER(reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(mask));
	put_data(r, e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof(mask));
	put_data(r, e, NFTNL_EXPR_BITWISE_XOR, &flip, sizeof(flip));
}

void nft_compare(struct nft_rule *r, enum nft_cmp_ops op, unsigned reg, const void *data, size_t len)
{
	struct nftnl_expr *e = add(r, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, REGISTER(reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	put_data(r, e, NFTNL_EXPR_CMP_DATA, data, len);
}

static void match_address(struct nft_rule *r, enum nft_cmp_ops op, unsigned offset, const struct ipv4_prefix *prefix)
{
	uint32_t base = htonl(prefix->base);

	nft_load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(base), 0);
	nft_bitwise(r, 0, htonl(ipv4_mask(prefix->length)), 0);
	nft_compare(r, op, 0, &base, sizeof(base));
}

void nft_match_source(struct nft_rule *r, enum nft_cmp_ops op, const struct ipv4_prefix *prefix)
{
	match_address(r, op, offsetof(struct iphdr, saddr), prefix);
}

void nft_match_destination(struct nft_rule *r, enum nft_cmp_ops op, const struct ipv4_prefix *prefix)
{
	match_address(r, op, offsetof(struct iphdr, daddr), prefix);
}

void nft_match_link(struct nft_rule *r, enum nft_meta_keys key, enum nft_cmp_ops op, const char *name)
{
	char padded[IFNAMSIZ] = { 0 };

	(void)snprintf(padded, sizeof(padded), "%s", name);
	nft_load_meta(r, key, 0);
	nft_compare(r, op, 0, padded, sizeof(padded));
}

void nft_lookup(struct nft_rule *r, const char *map, unsigned reg, unsigned value_reg)
{
	struct nftnl_expr *e = add(r, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, REGISTER(reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, REGISTER(value_reg));
	put_str(r, e, NFTNL_EXPR_LOOKUP_SET, map);
}

void nft_dnat(struct nft_rule *r, unsigned address_reg, unsigned port_reg)
{
	struct nftnl_expr *e = add(r, "nat");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, REGISTER(address_reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, REGISTER(port_reg));
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
}

void nft_masquerade(struct nft_rule *r)
{
	(void)add(r, "masq");
}

static void verdict(struct nft_rule *r, uint32_t code, const char *chain)
{
	struct nftnl_expr *e = add(r, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, code);
	if (chain)
		put_str(r, e, NFTNL_EXPR_IMM_CHAIN, chain);
}

void nft_drop(struct nft_rule *r)
{
	verdict(r, NF_DROP, NULL);
}

void nft_jump(struct nft_rule *r, const char *chain)
{
	verdict(r, (uint32_t)NFT_JUMP, chain);
}
