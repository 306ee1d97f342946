#include "net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mem.h"

static void put_link(struct nlmsghdr *m, int index, unsigned flags)
{
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(m, sizeof(*body));

	body->ifi_family = AF_UNSPEC;
	body->ifi_index = index;
	body->ifi_flags = flags;
	body->ifi_change = flags;
}

/* IPv6 on ports makes each new pod dearer than the one before (duplicate address detection floods the bridge), and the network has
 * no IPv6 anyhow. */
static void put_no_ipv6_address(struct nlmsghdr *m)
{
	struct nlattr *families = mnl_attr_nest_start(m, IFLA_AF_SPEC);
	struct nlattr *ipv6 = mnl_attr_nest_start(m, AF_INET6);

	mnl_attr_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(m, ipv6);
	mnl_attr_nest_end(m, families);
}

int link_create_bridge(struct netlink *nl, const struct bridge_spec *spec, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create bridge %s", spec->name);
	unsigned char mac[MAC_SIZE];
	struct nlattr *info, *data;

	if (m) {
		ipv4_mac(mac, spec->address);
		put_link(m, 0, 0);
		mnl_attr_put_strz(m, IFLA_IFNAME, spec->name);
		mnl_attr_put(m, IFLA_ADDRESS, sizeof(mac), mac);
		mnl_attr_put_u32(m, IFLA_MTU, spec->mtu);
		info = mnl_attr_nest_start(m, IFLA_LINKINFO);
		mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
		data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
		mnl_attr_put_u8(m, IFLA_BR_MCAST_SNOOPING, 0);
		mnl_attr_nest_end(m, data);
		mnl_attr_nest_end(m, info);
	}
	return nl_batch_run(nl, &b, err);
}

static void add_no_ipv6(struct nl_batch *b, const char *name)
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_NEWLINK, 0, "keep IPv6 addresses off %s", name);

	if (!m)
		return;
	put_link(m, 0, 0);
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	put_no_ipv6_address(m);
	/* The kernel has no IPv6: as wanted. */
	nl_batch_tolerate(b, EAFNOSUPPORT);
}

static void add_up(struct nl_batch *b, const char *name)
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_NEWLINK, 0, "bring up %s", name);

	if (!m)
		return;
	put_link(m, 0, IFF_UP);
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
}

static void add_address(struct nl_batch *b, uint16_t type, int index, uint32_t address, uint8_t prefix_length)
{
	struct ipv4_prefix network = { .base = address & ipv4_mask(prefix_length), .length = prefix_length };
	char text[IPV4_TEXT_SIZE];
	struct ifaddrmsg *body;
	struct nlmsghdr *m;

	ipv4_format(text, address);
	m = nl_batch_add(b, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0, "%s address %s/%u",
			 type == RTM_NEWADDR ? "add" : "remove", text, prefix_length);
	if (!m)
		return;
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	body->ifa_family = AF_INET;
	body->ifa_prefixlen = prefix_length;
	body->ifa_scope = RT_SCOPE_UNIVERSE;
	body->ifa_index = (unsigned)index;
	mnl_attr_put_u32(m, IFA_LOCAL, htonl(address));
	mnl_attr_put_u32(m, IFA_ADDRESS, htonl(address));
	if (type == RTM_NEWADDR)
		mnl_attr_put_u32(m, IFA_BROADCAST, htonl(ipv4_broadcast(&network)));
	nl_batch_tolerate(b, type == RTM_NEWADDR ? EEXIST : EADDRNOTAVAIL);
}

int link_bring_up(struct netlink *nl, const struct ipv4_link *link, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	add_no_ipv6(&b, link->name);
	add_address(&b, RTM_NEWADDR, link->index, link->address, link->prefix_length);
	add_up(&b, link->name);
	return nl_batch_run(nl, &b, err);
}

static void put_end(struct nlmsghdr *m, const char *name, uint32_t mtu)
{
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	mnl_attr_put_u32(m, IFLA_MTU, mtu);
	/* One queue each way: the default is one per CPU, of which a veth uses the first only. */
	mnl_attr_put_u32(m, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(m, IFLA_NUM_RX_QUEUES, 1);
}

static void put_peer(struct nlmsghdr *m, const struct veth_spec *spec)
{
	struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	struct nlattr *data, *peer;
	unsigned char mac[MAC_SIZE];

	ipv4_mac(mac, spec->peer_address);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
	put_link(m, 0, 0);
	put_end(m, spec->peer_name, spec->mtu);
	mnl_attr_put(m, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_u32(m, IFLA_NET_NS_FD, (uint32_t)spec->peer_netns);
	mnl_attr_nest_end(m, peer);
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
}

int link_create_veth(struct netlink *nl, const struct veth_spec *spec, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create veth %s with peer %s", spec->name,
					  spec->peer_name);

	if (m) {
		put_link(m, 0, 0);
		put_end(m, spec->name, spec->mtu);
		mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)spec->bridge);
		put_peer(m, spec);
	}
	return nl_batch_run(nl, &b, err);
}

/* A pod that reaches itself through a service of the cluster is answered on the port it came from when bridged frames pass the
 * host's netfilter rules (br_netfilter); a port refuses that unless it is in hairpin mode. */
static void put_hairpin(struct nlmsghdr *m)
{
	struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	struct nlattr *data;

	mnl_attr_put_strz(m, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(m, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(m, IFLA_BRPORT_MODE, 1);
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
}

/* The pod's MAC is behind this port and stays there: no other pod can draw its frames by sending with the same MAC. */
static void add_forwarding_entry(struct nl_batch *b, int port, const unsigned char mac[MAC_SIZE])
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add forwarding entry");
	struct ndmsg *body;

	if (!m)
		return;
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	body->ndm_family = AF_BRIDGE;
	body->ndm_ifindex = port;
	body->ndm_state = NUD_NOARP;
	body->ndm_flags = NTF_MASTER | NTF_STICKY;
	mnl_attr_put(m, NDA_LLADDR, MAC_SIZE, mac);
}

/* A hint that the kernel drops or corrects by its usual rules, as it does with what it learned itself. */
static void add_neighbour(struct nl_batch *b, int index, uint32_t address, const unsigned char mac[MAC_SIZE])
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add neighbour");
	struct ndmsg *body;

	if (!m)
		return;
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	body->ndm_family = AF_INET;
	body->ndm_ifindex = index;
	body->ndm_state = NUD_STALE;
	mnl_attr_put_u32(m, NDA_DST, htonl(address));
	mnl_attr_put(m, NDA_LLADDR, MAC_SIZE, mac);
	/* The neighbour table is full. */
	nl_batch_tolerate(b, ENOBUFS);
}

static void add_port_settings(struct nl_batch *b, const struct port_spec *spec)
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_NEWLINK, 0, "start bridge port %s", spec->name);

	if (!m)
		return;
	put_link(m, 0, IFF_UP);
	mnl_attr_put_strz(m, IFLA_IFNAME, spec->name);
	mnl_attr_put_strz(m, IFLA_IFALIAS, spec->alias);
	put_hairpin(m);
}

int link_start_port(struct netlink *nl, const struct port_spec *spec, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	int index = (int)if_nametoindex(spec->name);
	unsigned char mac[MAC_SIZE];

	if (index == 0)
		return error_sys(err, errno, "find %s", spec->name);
	ipv4_mac(mac, spec->address);
	add_no_ipv6(&b, spec->name);
	add_port_settings(&b, spec);
	add_forwarding_entry(&b, index, mac);
	add_neighbour(&b, spec->bridge, spec->address, mac);
	return nl_batch_run(nl, &b, err);
}

int link_join_bridge(struct netlink *nl, const char *name, int bridge, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_NEWLINK, 0, "make %s a port of link %d", name, bridge);

	if (m) {
		put_link(m, 0, 0);
		mnl_attr_put_strz(m, IFLA_IFNAME, name);
		mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)bridge);
	}
	return nl_batch_run(nl, &b, err);
}

int link_delete(struct netlink *nl, int index, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_DELLINK, 0, "delete link %d", index);

	if (m)
		put_link(m, index, 0);
	nl_batch_tolerate(&b, ENODEV);
	return nl_batch_run(nl, &b, err);
}

int link_set_up(struct netlink *nl, const char *name, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	add_up(&b, name);
	return nl_batch_run(nl, &b, err);
}

static void add_default_route(struct nl_batch *b, int index, uint32_t gateway)
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add default route");
	struct rtmsg *body;

	if (!m)
		return;
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	body->rtm_family = AF_INET;
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_protocol = RTPROT_STATIC;
	body->rtm_scope = RT_SCOPE_UNIVERSE;
	body->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(m, RTA_GATEWAY, htonl(gateway));
	mnl_attr_put_u32(m, RTA_OIF, (uint32_t)index);
	nl_batch_tolerate(b, EEXIST);
}

int link_configure_pod(struct netlink *nl, const struct ipv4_link *link, const struct gateway *gateway, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	add_up(&b, "lo");
	add_address(&b, RTM_NEWADDR, link->index, link->address, link->prefix_length);
	add_up(&b, link->name);
	add_default_route(&b, link->index, gateway->address);
	add_neighbour(&b, link->index, gateway->address, gateway->mac);
	return nl_batch_run(nl, &b, err);
}

int link_remove_address(struct netlink *nl, const struct ipv4_link *link, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	add_address(&b, RTM_DELADDR, link->index, link->address, link->prefix_length);
	return nl_batch_run(nl, &b, err);
}

/* The kernel's worker runs at once where it can; more than this is a link that comes and goes (arbitrary). */
#define SETTLE_TRIES 10000
#define SETTLE_PAUSE_US 200

/* Kernels that know how act on the carrier now. */
static int ask_for_carrier(const char *name, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = { .cmd = ETHTOOL_GLINK };
	struct ifreq request = { .ifr_data = (void *)&value };

	if (fd < 0)
		return error_sys(err, errno, "open socket to settle %s", name);
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return error_sys(err, errno, "settle the link state of %s", name);
	return 0;
}

int link_settle(struct netlink *nl, const char *name, struct error *err)
{
	struct timespec pause = { .tv_nsec = SETTLE_PAUSE_US * 1000L };
	struct link_info info;

	if (ask_for_carrier(name, err) < 0)
		return -1;
	for (int i = 0; i < SETTLE_TRIES; i++) {
		if (link_find(nl, name, &info, err) < 0)
			return -1;
		if (!info.has_carrier || info.is_active)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}
