#include "net/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

/* Bits of CTA_FILTER_ORIG_FLAGS (net/netfilter/nf_internals.h in the kernel): which parts of the tuple given must match. */
#define MATCH_PROTOCOL (1u << 3)
#define MATCH_DESTINATION_PORT (1u << 5)

/* Flows deleted per round: their tuples must fit one batch (arbitrary); what is left is found by the next round. */
#define ROUND_MAX 256

void port_set_add(struct port_set *set, uint16_t port)
{
	set->count += !port_set_has(set, port);
	set->bits[port / 64] |= (uint64_t)1 << port % 64;
}

bool port_set_has(const struct port_set *set, uint16_t port)
{
	return set->bits[port / 64] >> port % 64 & 1;
}

static struct nlmsghdr *add_message(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what)
{
	struct nlmsghdr *m = nl_batch_add(b, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, "%s", what);
	struct nfgenmsg *body;

	if (!m)
		return NULL;
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	body->nfgen_family = AF_INET;
	body->version = NFNETLINK_V0;
	return m;
}

struct round {
	struct nl_batch deletions;
	const struct port_set *ports;
	unsigned count;
};

struct tuple {
	uint8_t protocol;
	uint16_t port;
};

static int take_protocol_attribute(const struct nlattr *attr, void *arg)
{
	struct tuple *tuple = arg;

	if (mnl_attr_get_type(attr) == CTA_PROTO_NUM)
		tuple->protocol = mnl_attr_get_u8(attr);
	else if (mnl_attr_get_type(attr) == CTA_PROTO_DST_PORT)
		tuple->port = ntohs(mnl_attr_get_u16(attr));
	return MNL_CB_OK;
}

static int take_tuple_attribute(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == CTA_TUPLE_PROTO)
		return mnl_attr_parse_nested(attr, take_protocol_attribute, arg);
	return MNL_CB_OK;
}

static int find_tuple(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG)
		*(const struct nlattr **)arg = attr;
	return MNL_CB_OK;
}

/* Kernels before 5.8 do not filter dumps, so that what comes is looked at again. */
static bool is_wanted(const struct nlattr *attr, const struct port_set *ports)
{
	struct tuple tuple = { 0 };

	(void)mnl_attr_parse_nested(attr, take_tuple_attribute, &tuple);
	return tuple.protocol == IPPROTO_UDP && port_set_has(ports, tuple.port);
}

static void add_deletion(struct round *round, const struct nlattr *tuple)
{
	struct nlmsghdr *m = add_message(&round->deletions, IPCTNL_MSG_CT_DELETE, 0, "forget UDP flow");

	if (m)
		mnl_attr_put(m, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(tuple), mnl_attr_get_payload(tuple));
	/* It ended by itself meanwhile. */
	nl_batch_tolerate(&round->deletions, ENOENT);
	round->count++;
}

static int take_flow(const struct nlmsghdr *m, void *arg, struct error *err)
{
	const struct nlattr *tuple = NULL;
	struct round *round = arg;

	(void)err;
	(void)mnl_attr_parse(m, sizeof(struct nfgenmsg), find_tuple, &tuple);
	if (tuple && round->count < ROUND_MAX && is_wanted(tuple, round->ports))
		add_deletion(round, tuple);
	return 0;
}

static void put_filter(struct nlmsghdr *m)
{
	struct nlattr *tuple = mnl_attr_nest_start(m, CTA_TUPLE_ORIG);
	struct nlattr *protocol = mnl_attr_nest_start(m, CTA_TUPLE_PROTO);
	struct nlattr *filter;

	mnl_attr_put_u8(m, CTA_PROTO_NUM, IPPROTO_UDP);
	mnl_attr_nest_end(m, protocol);
	mnl_attr_nest_end(m, tuple);
	filter = mnl_attr_nest_start(m, CTA_FILTER);
	mnl_attr_put_u32(m, CTA_FILTER_ORIG_FLAGS, MATCH_PROTOCOL);
	mnl_attr_put_u32(m, CTA_FILTER_REPLY_FLAGS, 0);
	mnl_attr_nest_end(m, filter);
}

static int list_flows(struct netlink *nl, struct round *round, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = add_message(&b, IPCTNL_MSG_CT_GET, 0, "list UDP flows");

	if (m)
		put_filter(m);
	return nl_dump(nl, &b, take_flow, round, err);
}

int conntrack_forget_udp(struct netlink *nl, const struct port_set *ports, struct error *err)
{
	for (;;) {
		struct round round = { .ports = ports };
		int r = list_flows(nl, &round, err);

		if (r == 0 && round.count > 0)
			r = nl_batch_run(nl, &round.deletions, err);
		nl_batch_release(&round.deletions);
		if (r < 0 || round.count < ROUND_MAX)
			return r;
	}
}
