/* The reading half of link.h: links, addresses and routes as the kernel lists them. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "net/link.h"

/* IF_OPER_UP of linux/if.h, which does not go with net/if.h. */
#define OPER_UP 6

static void copy_text(char *text, size_t size, const struct nlattr *attr)
{
	(void)snprintf(text, size, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
}

static int take_info_attribute(const struct nlattr *attr, void *arg)
{
	struct link_info *info = arg;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		copy_text(info->kind, sizeof(info->kind), attr);
	return MNL_CB_OK;
}

static int take_link_attribute(const struct nlattr *attr, void *arg)
{
	struct link_info *info = arg;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		copy_text(info->name, sizeof(info->name), attr);
		break;
	case IFLA_IFALIAS:
		copy_text(info->alias, sizeof(info->alias), attr);
		break;
	case IFLA_MASTER:
		info->master = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK:
		info->peer = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_MTU:
		info->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(info->mac))
			memcpy(info->mac, mnl_attr_get_payload(attr), sizeof(info->mac));
		break;
	case IFLA_CARRIER:
		info->has_carrier = mnl_attr_get_u8(attr) != 0;
		break;
	case IFLA_OPERSTATE:
		info->is_active = mnl_attr_get_u8(attr) == OPER_UP;
		break;
	case IFLA_LINKINFO:
		return mnl_attr_parse_nested(attr, take_info_attribute, info);
	default:
		break;
	}
	return MNL_CB_OK;
}

static void parse_link(const struct nlmsghdr *m, struct link_info *ret_info)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(m);

	*ret_info = (struct link_info){ .index = body->ifi_index };
	(void)mnl_attr_parse(m, sizeof(*body), take_link_attribute, ret_info);
}

static int take_link(const struct nlmsghdr *m, void *arg, struct error *err)
{
	(void)err;
	parse_link(m, arg);
	return 0;
}

int link_find(struct netlink *nl, const char *name, struct link_info *ret_info, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_GETLINK, 0, "find link %s", name);

	if (m) {
		(void)mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
		mnl_attr_put_strz(m, IFLA_IFNAME, name);
	}
	return nl_get(nl, &b, take_link, ret_info, err);
}

int link_find_index(struct netlink *nl, int index, struct link_info *ret_info, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_GETLINK, 0, "find link %d", index);

	if (m)
		((struct ifinfomsg *)mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg)))->ifi_index = index;
	return nl_get(nl, &b, take_link, ret_info, err);
}

struct link_walk {
	link_fn *fn;
	void *arg;
};

static int visit_link(const struct nlmsghdr *m, void *arg, struct error *err)
{
	const struct link_walk *walk = arg;
	struct link_info info;

	if (m->nlmsg_type != RTM_NEWLINK)
		return 0;
	parse_link(m, &info);
	return walk->fn(&info, walk->arg, err);
}

int link_each(struct netlink *nl, link_fn *fn, void *arg, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_GETLINK, 0, "list links");
	struct link_walk walk = { .fn = fn, .arg = arg };

	if (m)
		(void)mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
	return nl_dump(nl, &b, visit_link, &walk, err);
}

struct address_walk {
	address_fn *fn;
	void *arg;
};

static int take_address_attribute(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFA_LOCAL)
		*(uint32_t *)arg = ntohl(mnl_attr_get_u32(attr));
	return MNL_CB_OK;
}

static int visit_address(const struct nlmsghdr *m, void *arg, struct error *err)
{
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(m);
	const struct address_walk *walk = arg;
	uint32_t address = 0;

	if (m->nlmsg_type != RTM_NEWADDR || body->ifa_family != AF_INET)
		return 0;
	(void)mnl_attr_parse(m, sizeof(*body), take_address_attribute, &address);
	return address == 0 ? 0 : walk->fn((int)body->ifa_index, address, body->ifa_prefixlen, walk->arg, err);
}

int address_each(struct netlink *nl, address_fn *fn, void *arg, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_GETADDR, 0, "list addresses");
	struct address_walk walk = { .fn = fn, .arg = arg };

	if (m)
		((struct ifaddrmsg *)mnl_nlmsg_put_extra_header(m, sizeof(struct ifaddrmsg)))->ifa_family = AF_INET;
	return nl_dump(nl, &b, visit_address, &walk, err);
}

struct route_walk {
	route_fn *fn;
	void *arg;
};

struct route {
	struct ipv4_prefix destination;
	int link;
};

static int take_route_attribute(const struct nlattr *attr, void *arg)
{
	struct route *route = arg;

	switch (mnl_attr_get_type(attr)) {
	case RTA_DST:
		route->destination.base = ntohl(mnl_attr_get_u32(attr));
		break;
	case RTA_OIF:
		route->link = (int)mnl_attr_get_u32(attr);
		break;
	case RTA_MULTIPATH:
		if (mnl_attr_get_payload_len(attr) >= sizeof(struct rtnexthop))
			route->link = ((const struct rtnexthop *)mnl_attr_get_payload(attr))->rtnh_ifindex;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int visit_route(const struct nlmsghdr *m, void *arg, struct error *err)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(m);
	struct route route = { .destination = { .length = body->rtm_dst_len } };
	const struct route_walk *walk = arg;

	if (m->nlmsg_type != RTM_NEWROUTE || body->rtm_table != RT_TABLE_MAIN || (body->rtm_flags & RTM_F_CLONED))
		return 0;
	(void)mnl_attr_parse(m, sizeof(*body), take_route_attribute, &route);
	return walk->fn(route.link, &route.destination, walk->arg, err);
}

int route_each(struct netlink *nl, route_fn *fn, void *arg, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_GETROUTE, 0, "list routes");
	struct route_walk walk = { .fn = fn, .arg = arg };

	if (m)
		((struct rtmsg *)mnl_nlmsg_put_extra_header(m, sizeof(struct rtmsg)))->rtm_family = AF_INET;
	return nl_dump(nl, &b, visit_route, &walk, err);
}
