#include "net/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <netinet/ip.h>
#include <stddef.h>
#include <stdio.h>

#include "net/nft_maps.h"
#include "net/nft_rule.h"

/* The registers of nft_rule.h as the rules below use them. Registers 0 to 3 are for comparisons. */
enum { REG_COMPARE = 0, REG_KEY = 4, REG_VALUE_ADDRESS = 8, REG_VALUE_PORT = 9, REG_MARK = 12 };

#define MARK_MASQUERADE 0x2000u

static const struct ipv4_prefix loopback = { .base = 127u << 24, .length = 8 };

static void put_table(struct nl_batch *b, uint16_t type, uint16_t flags, const struct nft_network *net, const char *verb)
{
	struct nlmsghdr *m = nl_batch_add_nft(b, type, flags, "%s table %s", verb, net->table);

	if (m)
		mnl_attr_put_strz(m, NFTA_TABLE_NAME, net->table);
}

struct base_chain {
	const char *name;
	const char *type; /* NULL: a chain that others jump to */
	uint32_t hook;
	int32_t priority;
};

/* Priorities: linux/netfilter_ipv4.h. */
/* clang-format off */
static const struct base_chain chains[] = {
	{ "guard",       "filter", NF_INET_PRE_ROUTING,  NF_IP_PRI_RAW },
	{ "publish",     NULL,     0,                    0 },
	{ "prerouting",  "nat",    NF_INET_PRE_ROUTING,  NF_IP_PRI_NAT_DST },
	{ "output",      "nat",    NF_INET_LOCAL_OUT,    NF_IP_PRI_NAT_DST },
	{ "postrouting", "nat",    NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
};
/* clang-format on */

static void put_chain(struct nl_batch *b, const struct nft_network *net, const struct base_chain *chain)
{
	struct nlmsghdr *m = nl_batch_add_nft(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add chain %s", chain->name);
	struct nlattr *hook;

	if (!m)
		return;
	mnl_attr_put_strz(m, NFTA_CHAIN_TABLE, net->table);
	mnl_attr_put_strz(m, NFTA_CHAIN_NAME, chain->name);
	if (!chain->type)
		return;
	mnl_attr_put_strz(m, NFTA_CHAIN_TYPE, chain->type);
	hook = mnl_attr_nest_start(m, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(m, NFTA_HOOK_HOOKNUM, htonl(chain->hook));
	mnl_attr_put_u32(m, NFTA_HOOK_PRIORITY, htonl((uint32_t)chain->priority));
	mnl_attr_nest_end(m, hook);
}

static void put_guard_rules(struct nl_batch *b, const struct nft_network *net)
{
	struct nft_rule r = nft_rule_new(net->table, "guard", "pods cannot reach the host's loopback");

	nft_match_link(&r, NFT_META_IIFNAME, NFT_CMP_EQ, net->bridge);
	nft_match_destination(&r, NFT_CMP_EQ, &loopback);
	nft_drop(&r);
	nft_rule_add(&r, b);

	r = nft_rule_new(net->table, "guard", "pods cannot pretend to be the host's loopback");
	nft_match_link(&r, NFT_META_IIFNAME, NFT_CMP_EQ, net->bridge);
	nft_match_source(&r, NFT_CMP_EQ, &loopback);
	nft_drop(&r);
	nft_rule_add(&r, b);
}

static void put_jump_rule(struct nl_batch *b, const struct nft_network *net, const char *chain)
{
	struct nft_rule r = nft_rule_new(net->table, chain, "to an address of the host");
	uint32_t local = RTN_LOCAL;

	nft_load_destination_type(&r, REG_COMPARE);
	nft_compare(&r, NFT_CMP_EQ, REG_COMPARE, &local, sizeof(local));
	nft_jump(&r, "publish");
	nft_rule_add(&r, b);
}

static void set_mark(struct nft_rule *r)
{
	nft_load_meta(r, NFT_META_MARK, REG_MARK);
	nft_bitwise(r, REG_MARK, ~MARK_MASQUERADE, MARK_MASQUERADE);
	nft_set_meta(r, NFT_META_MARK, REG_MARK);
}

/* The key is built word by word, as sets compare concatenations: [address,] protocol, port. */
static void load_key(struct nft_rule *r, bool with_address)
{
	unsigned reg = REG_KEY;

	if (with_address)
		nft_load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), sizeof(uint32_t), reg++);
	nft_load_meta(r, NFT_META_L4PROTO, reg++);
	/* TCP, UDP and SCTP have the destination port at the same place. */
	nft_load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(uint16_t), reg);
}

static void put_publish_rule(struct nl_batch *b, const struct nft_network *net, const char *map, bool from_pods)
{
	struct nft_rule r = nft_rule_new(net->table, "publish", from_pods ? "host ports, for pods" : "host ports");

	if (from_pods)
		nft_match_source(&r, NFT_CMP_EQ, &net->range);
	load_key(&r, map == nft_map_address_ports);
	nft_lookup(&r, map, REG_KEY, REG_VALUE_ADDRESS);
	if (from_pods)
		set_mark(&r);
	nft_dnat(&r, REG_VALUE_ADDRESS, REG_VALUE_PORT);
	nft_rule_add(&r, b);
}

static void put_postrouting_rules(struct nl_batch *b, const struct nft_network *net)
{
	struct nft_rule r = nft_rule_new(net->table, "postrouting", "pod to pod through a host port");
	uint32_t marked = MARK_MASQUERADE;

	nft_load_meta(&r, NFT_META_MARK, REG_MARK);
	nft_bitwise(&r, REG_MARK, MARK_MASQUERADE, 0);
	nft_compare(&r, NFT_CMP_EQ, REG_MARK, &marked, sizeof(marked));
	nft_match_link(&r, NFT_META_OIFNAME, NFT_CMP_EQ, net->bridge);
	nft_masquerade(&r);
	nft_rule_add(&r, b);

	r = nft_rule_new(net->table, "postrouting", "the host's loopback through a host port");
	nft_match_source(&r, NFT_CMP_EQ, &loopback);
	nft_match_link(&r, NFT_META_OIFNAME, NFT_CMP_EQ, net->bridge);
	nft_masquerade(&r);
	nft_rule_add(&r, b);

	r = nft_rule_new(net->table, "postrouting", "pods to the world");
	nft_match_source(&r, NFT_CMP_EQ, &net->range);
	nft_match_destination(&r, NFT_CMP_NEQ, &net->range);
	nft_match_link(&r, NFT_META_OIFNAME, NFT_CMP_NEQ, net->bridge);
	nft_masquerade(&r);
	nft_rule_add(&r, b);
}

static void put_rules(struct nl_batch *b, const struct nft_network *net)
{
	put_guard_rules(b, net);
	put_jump_rule(b, net, "prerouting");
	put_jump_rule(b, net, "output");
	put_publish_rule(b, net, nft_map_address_ports, true);
	put_publish_rule(b, net, nft_map_ports, true);
	put_publish_rule(b, net, nft_map_address_ports, false);
	put_publish_rule(b, net, nft_map_ports, false);
	put_postrouting_rules(b, net);
}

int nft_program(struct netlink *nl, const struct nft_network *net, const struct nft_port *ports, size_t n, bool commit,
		struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	nl_batch_nft_begin(&b);
	/* Created first so that there is one to delete. */
	put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, net, "find");
	put_table(&b, NFT_MSG_DELTABLE, 0, net, "replace");
	put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, net, "add");
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++)
		put_chain(&b, net, &chains[i]);
	nft_put_maps(&b, net);
	put_rules(&b, net);
	nft_put_ports(&b, NFT_MSG_NEWSETELEM, net, ports, n);
	if (commit)
		nl_batch_nft_end(&b);
	return nl_batch_run(nl, &b, err);
}

static int ignore_answer(const struct nlmsghdr *m, void *arg, struct error *err)
{
	(void)m;
	(void)arg;
	(void)err;
	return 0;
}

int nft_find_table(struct netlink *nl, const struct nft_network *net, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	put_table(&b, NFT_MSG_GETTABLE, 0, net, "find");
	return nl_get(nl, &b, ignore_answer, NULL, err);
}

int nft_delete_table(struct netlink *nl, const struct nft_network *net, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	nl_batch_nft_begin(&b);
	put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, net, "find");
	put_table(&b, NFT_MSG_DELTABLE, 0, net, "delete");
	nl_batch_nft_end(&b);
	return nl_batch_run(nl, &b, err);
}

static int check_chain(const struct nlmsghdr *m, void *arg, struct error *err)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();
	char *path = arg;

	if (!chain)
		return error_sys(err, ENOMEM, "list chains");
	if (nftnl_chain_nlmsg_parse(m, chain) >= 0 && nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) &&
	    nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM) == NF_INET_FORWARD &&
	    nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP)
		(void)snprintf(path, NFT_CHAIN_PATH_SIZE, "%s/%s", nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE),
			       nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
	nftnl_chain_free(chain);
	return 0;
}

int nft_find_forward_drop(struct netlink *nl, char ret_path[NFT_CHAIN_PATH_SIZE], struct error *err)
{
	static const uint8_t families[] = { NFPROTO_IPV4, NFPROTO_INET };

	ret_path[0] = '\0';
	for (size_t i = 0; i < sizeof(families); i++) {
		_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
		struct nlmsghdr *m = nl_batch_add_nft(&b, NFT_MSG_GETCHAIN, 0, "list chains");

		if (m)
			((struct nfgenmsg *)mnl_nlmsg_get_payload(m))->nfgen_family = families[i];
		if (nl_dump(nl, &b, check_chain, ret_path, err) < 0)
			return -1;
	}
	return 0;
}
