/* Links, addresses and routes over rtnetlink(7), without a library. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

/* 10.88.0.1/16, in a network namespace of our own. */
#define GATEWAY 0x0a580001u

struct message {
	struct nlmsghdr *header;
	char bytes[2048] __attribute__((aligned(8)));
	size_t used;
};

static void *message_begin(struct message *m, uint16_t type, uint16_t flags, size_t body)
{
	m->header = (struct nlmsghdr *)(void *)(m->bytes + m->used);
	memset(m->header, 0, NLMSG_SPACE(body));
	m->header->nlmsg_type = type;
	m->header->nlmsg_flags = NLM_F_REQUEST | flags;
	m->header->nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	return NLMSG_DATA(m->header);
}

static struct rtattr *attr_put(struct message *m, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)m->header + NLMSG_ALIGN(m->header->nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	m->header->nlmsg_len = NLMSG_ALIGN(m->header->nlmsg_len) + (uint32_t)RTA_SPACE(len);
	return a;
}

static void attr_end(struct message *m, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((char *)m->header + m->header->nlmsg_len - (char *)nest);
}

static void message_end(struct message *m, bool wants_answer)
{
	if (wants_answer)
		m->header->nlmsg_flags |= NLM_F_ACK;
	m->used += NLMSG_ALIGN(m->header->nlmsg_len);
}

/* One sendmsg for all messages; the last one's answer, or the first error, ends it. */
static void message_send(struct message *m, int fd, const char *what)
{
	char answer[4096] __attribute__((aligned(8)));
	ssize_t n;

	MUST(send(fd, m->bytes, m->used, 0));
	n = MUST(recv(fd, answer, sizeof(answer), 0));
	for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		const struct nlmsgerr *e = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_ERROR && e->error) {
			errno = -e->error;
			die("%s", what);
		}
	}
	m->used = 0;
}

/* No automatic IPv6 address: its duplicate detection floods the bridge. */
static void put_no_ipv6_address(struct message *m)
{
	uint8_t none = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *spec = attr_put(m, IFLA_AF_SPEC, NULL, 0);
	struct rtattr *family = attr_put(m, AF_INET6, NULL, 0);

	attr_put(m, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
	attr_end(m, family);
	attr_end(m, spec);
}

static void put_address(struct message *m, unsigned index, uint32_t address, uint8_t prefix)
{
	struct ifaddrmsg *a = message_begin(m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*a));

	*a = (struct ifaddrmsg){ .ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index };
	attr_put(m, IFA_LOCAL, &address, sizeof(address));
	attr_put(m, IFA_ADDRESS, &address, sizeof(address));
}

static void put_link_up(struct message *m, unsigned index)
{
	struct ifinfomsg *i = message_begin(m, RTM_NEWLINK, 0, sizeof(*i));

	*i = (struct ifinfomsg){ .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
}

static uint32_t pod_address(unsigned number)
{
	return htonl(GATEWAY + 255 + number % 60000);
}

void make_bridge(void)
{
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	struct message m = { .used = 0 };
	struct ifinfomsg *i = message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*i));
	struct rtattr *info;

	*i = (struct ifinfomsg){ .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	attr_put(&m, IFLA_IFNAME, "floor0", 7);
	info = attr_put(&m, IFLA_LINKINFO, NULL, 0);
	attr_put(&m, IFLA_INFO_KIND, "bridge", 7);
	attr_end(&m, info);
	message_end(&m, true);
	message_send(&m, fd, "make the bridge");
	floor_.bridge_index = if_nametoindex("floor0");
	put_address(&m, floor_.bridge_index, htonl(GATEWAY), 16);
	message_end(&m, true);
	message_send(&m, fd, "give the bridge its address");
	bring_up_loopback(fd);
	(void)close(fd);
}

void bring_up_loopback(int inside)
{
	struct message m = { .used = 0 };

	put_link_up(&m, 1);
	message_end(&m, true);
	message_send(&m, inside, "bring lo up");
}

/* Asking for the link state makes the kernel settle it now instead of within a second. */
static void settle_link(int fd, const char *name)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GLINK };
	struct ifreq request = { .ifr_data = (void *)&value };

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	MUST(ioctl(fd, SIOCETHTOOL, &request));
}

/* By name: its index is not known yet. */
static void put_host_end(struct message *m, const char *name)
{
	put_link_up(m, 0);
	attr_put(m, IFLA_IFNAME, name, strlen(name) + 1);
	attr_put(m, IFLA_MASTER, &floor_.bridge_index, sizeof(floor_.bridge_index));
	put_no_ipv6_address(m);
}

static void make_pair(int fd, const struct pod *pod, const char *name)
{
	struct message m = { .used = 0 };
	struct ifinfomsg *i = message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*i));
	const struct ifinfomsg peer = { .ifi_index = 2 };
	uint32_t netns = (uint32_t)pod->ns[NS_NET];
	struct rtattr *info;
	struct rtattr *data;
	struct rtattr *other;

	*i = (struct ifinfomsg){ 0 };
	attr_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
	info = attr_put(&m, IFLA_LINKINFO, NULL, 0);
	attr_put(&m, IFLA_INFO_KIND, "veth", 5);
	data = attr_put(&m, IFLA_INFO_DATA, NULL, 0);
	other = attr_put(&m, VETH_INFO_PEER, &peer, sizeof(peer));
	attr_put(&m, IFLA_IFNAME, "eth0", 5);
	attr_put(&m, IFLA_NET_NS_FD, &netns, sizeof(netns));
	attr_end(&m, other);
	attr_end(&m, data);
	attr_end(&m, info);
	message_end(&m, false);
	put_host_end(&m, name);
	message_end(&m, true);
	message_send(&m, fd, "make the veth pair");
}

static void configure_pod_end(int fd, const struct pod *pod)
{
	struct message m = { .used = 0 };
	uint32_t gateway = htonl(GATEWAY);
	struct rtmsg *route;

	put_link_up(&m, 2);
	put_no_ipv6_address(&m);
	message_end(&m, false);
	put_address(&m, 2, pod_address(pod->number), 16);
	message_end(&m, false);
	route = message_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*route));
	*route = (struct rtmsg){ .rtm_family = AF_INET,
				 .rtm_table = RT_TABLE_MAIN,
				 .rtm_protocol = RTPROT_STATIC,
				 .rtm_scope = RT_SCOPE_UNIVERSE,
				 .rtm_type = RTN_UNICAST };
	attr_put(&m, RTA_GATEWAY, &gateway, sizeof(gateway));
	message_end(&m, true);
	message_send(&m, fd, "configure eth0");
}

void make_network(const struct pod *pod, int inside)
{
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	char name[IFNAMSIZ];

	(void)snprintf(name, sizeof(name), "fl%u", pod->number);
	make_pair(fd, pod, name);
	configure_pod_end(inside, pod);
	settle_link(fd, name);
	settle_link(inside, "eth0");
	(void)close(fd);
	(void)close(inside);
}
