#include "net/link_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* The kernel puts one notification into a datagram; those of links are below 4 KiB (NLMSG_GOODSIZE). */
#define DATAGRAM_BYTES 8192

/* Ports that left between two looks; more count as a loss, and are looked at in detail. */
#define MAX_LEFT 64

/* Only RTM_DELLINK and RTM_DELADDR. Classic BPF loads in network order, netlink headers are in the host's. */
static int filter(int fd, struct error *err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELLINK), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELADDR), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return error_sys(err, errno, "filter notifications of links");
	return 0;
}

int link_watch_open(int *ret_fd, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	const struct sockaddr_nl groups = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR };

	if (fd < 0)
		return error_sys(err, errno, "open a socket for notifications of links");
	if (filter(fd, err) < 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)&groups, sizeof(groups)) < 0)
		return error_sys(err, errno, "subscribe to notifications of links");
	*ret_fd = steal_fd(&fd);
	return 0;
}

struct losses {
	int bridge;
	bool is_damaged;
	int left[MAX_LEFT]; /* ports that are the bridge's no longer and were not deleted so far */
	size_t n_left;
};

static void add_left(struct losses *l, int index)
{
	if (l->n_left < MAX_LEFT)
		l->left[l->n_left++] = index;
	else
		l->is_damaged = true;
}

static void remove_left(struct losses *l, int index)
{
	for (size_t i = 0; i < l->n_left; i++) {
		if (l->left[i] == index)
			l->left[i--] = l->left[--l->n_left];
	}
}

static int take_master(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_MASTER && mnl_attr_get_payload_len(attr) >= sizeof(uint32_t))
		*(int *)arg = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

/* A bridge tells of a port that leaves in its own address family; the deletion of the link itself, if any, follows. */
static void take_link(struct losses *l, const struct nlmsghdr *m)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(m);
	int master = 0;

	if (body->ifi_family == AF_BRIDGE) {
		(void)mnl_attr_parse(m, sizeof(*body), take_master, &master);
		if (master == l->bridge)
			add_left(l, body->ifi_index);
	} else {
		l->is_damaged |= body->ifi_index == l->bridge;
		remove_left(l, body->ifi_index);
	}
}

static void take(struct losses *l, const void *data, size_t len)
{
	const struct nlmsghdr *m = data;

	if (len < sizeof(*m) || m->nlmsg_len > len)
		return;
	if (m->nlmsg_type == RTM_DELLINK && m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		take_link(l, m);
	else if (m->nlmsg_type == RTM_DELADDR && m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
		l->is_damaged |= (int)((const struct ifaddrmsg *)mnl_nlmsg_get_payload(m))->ifa_index == l->bridge;
}

bool link_watch_drain(int fd, int bridge_index)
{
	char data[DATAGRAM_BYTES] __attribute__((aligned(__alignof__(struct nlmsghdr))));
	struct losses losses = { .bridge = bridge_index };

	for (;;) {
		ssize_t n = recv(fd, data, sizeof(data), 0);

		if (n >= 0)
			take(&losses, data, (size_t)n);
		else if (errno == ENOBUFS)
			losses.is_damaged = true; /* some were dropped */
		else if (errno != EINTR)
			break;
	}
	return losses.is_damaged || losses.n_left > 0;
}
