/* The reading half of link.h: links, addresses and routes as the kernel lists them. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "net/link.h"

static void copy_text(char *text, size_t size, const struct nlattr *attr)
{
	(void)snprintf(text, size, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
}

static void parse_info(const struct nlattr *info, struct link_info *ret_info)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			copy_text(ret_info->kind, sizeof(ret_info->kind), attr);
	}
}

static void parse_link(const struct nlmsghdr *m, struct link_info *ret_info)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(m);
	const struct nlattr *attr;

	*ret_info = (struct link_info){ .index = body->ifi_index };
	mnl_attr_for_each(attr, m, sizeof(*body))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			copy_text(ret_info->name, sizeof(ret_info->name), attr);
			break;
		case IFLA_IFALIAS:
			copy_text(ret_info->alias, sizeof(ret_info->alias), attr);
			break;
		case IFLA_MASTER:
			ret_info->master = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK:
			ret_info->peer = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_MTU:
			ret_info->mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(attr) == sizeof(ret_info->mac))
				memcpy(ret_info->mac, mnl_attr_get_payload(attr), sizeof(ret_info->mac));
			break;
		case IFLA_LINKINFO:
			parse_info(attr, ret_info);
			break;
		default:
			break;
		}
	}
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

static int visit_address(const struct nlmsghdr *m, void *arg, struct error *err)
{
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(m);
	const struct address_walk *walk = arg;
	const struct nlattr *attr;

	if (m->nlmsg_type != RTM_NEWADDR || body->ifa_family != AF_INET)
		return 0;
	mnl_attr_for_each(attr, m, sizeof(*body))
	{
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			return walk->fn((int)body->ifa_index, ntohl(mnl_attr_get_u32(attr)), body->ifa_prefixlen, walk->arg, err);
	}
	return 0;
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

static int visit_route(const struct nlmsghdr *m, void *arg, struct error *err)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(m);
	const struct route_walk *walk = arg;
	struct ipv4_prefix destination = { .length = body->rtm_dst_len };
	const struct nlattr *attr;
	int link = 0;

	if (m->nlmsg_type != RTM_NEWROUTE || body->rtm_table != RT_TABLE_MAIN || (body->rtm_flags & RTM_F_CLONED))
		return 0;
	mnl_attr_for_each(attr, m, sizeof(*body))
	{
		if (mnl_attr_get_type(attr) == RTA_DST)
			destination.base = ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) == RTA_OIF)
			link = (int)mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == RTA_MULTIPATH && mnl_attr_get_payload_len(attr) >= sizeof(struct rtnexthop))
			link = ((const struct rtnexthop *)mnl_attr_get_payload(attr))->rtnh_ifindex;
	}
	return walk->fn(link, &destination, walk->arg, err);
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
