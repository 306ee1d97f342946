/*
 * A network of namespaces to test in. Before each test the process moves into a new namespace, which plays the host: nothing of the
 * machine's network is touched, no test sees what another left, and everything is gone when the process ends.
 *
 * A socket stays in the namespace that it was made in, so that one thread can talk from all of them.
 */
#ifndef TEST_UNIT_NET_LAB_H
#define TEST_UNIT_NET_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "net/link.h"
#include "net/net.h"
#include "net/netlink.h"
#include "net/netns.h"

#define LAB_BRIDGE "netlab0"
#define LAB_CIDR "10.213.0.0/16"

/* Every wait of a test: a second would pass for a lost first packet. */
#define LAB_TIMEOUT_MS 3000

#define assert_ok(call)                                                                                                            \
	do {                                                                                                                       \
		struct error err = ERROR_INIT;                                                                                     \
		if ((call) < 0)                                                                                                    \
			fail_msg("%s: %s", #call, err.text);                                                                       \
	} while (0)

#define assert_fails(call, expected)                                                                                               \
	do {                                                                                                                       \
		struct error err = ERROR_INIT;                                                                                     \
		if ((call) >= 0)                                                                                                   \
			fail_msg("%s succeeded", #call);                                                                           \
		if (err.code != (expected))                                                                                        \
			fail_msg("%s: %s instead of %s: %s", #call, error_code_name(err.code), error_code_name(expected),          \
				 err.text);                                                                                        \
	} while (0)

static inline int lab_unshare(void *arg, struct error *err)
{
	int *ret_fd = arg;

	if (unshare(CLONE_NEWNET) < 0)
		return error_sys(err, errno, "unshare");
	*ret_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? error_sys(err, errno, "open namespace") : 0;
}

/* The namespace that plays the host. */
static inline int lab_self(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline int lab_netns(void)
{
	int self = lab_self(), fd = -1;

	assert_ok(netns_call(self, lab_unshare, &fd, &err));
	(void)close(self);
	return fd;
}

/* Moves the process into a new host, and reports why not when it cannot. */
static inline bool lab_enter(void)
{
	struct error err = ERROR_INIT;
	int self;

	if (unshare(CLONE_NEWNET) < 0) {
		(void)printf("[  SKIPPED ] no network namespaces for us: %s\n", strerror(errno));
		return false;
	}
	self = lab_self();
	if (net_loopback_up(self, &err) < 0)
		(void)printf("lo stays down: %s\n", err.text);
	(void)close(self);
	return true;
}

struct lab_socket {
	int type, protocol;
	int fd;
};

static inline int lab_make_socket(void *arg, struct error *err)
{
	struct lab_socket *s = arg;

	s->fd = socket(AF_INET, s->type | SOCK_CLOEXEC, s->protocol);
	return s->fd < 0 ? error_sys(err, errno, "socket") : 0;
}

static inline int lab_socket(int netns, int type, int protocol)
{
	struct lab_socket s = { .type = type, .protocol = protocol, .fd = -1 };
	struct timeval timeout = { .tv_sec = LAB_TIMEOUT_MS / 1000 };
	int on = 1;

	assert_ok(netns_call(netns, lab_make_socket, &s, &err));
	assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	return s.fd;
}

static inline struct sockaddr_in lab_address(const char *address, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, address, &sa.sin_addr), 1);
	return sa;
}

static inline int lab_bound(int netns, int type, const char *address, uint16_t port)
{
	struct sockaddr_in sa = lab_address(address, port);
	int fd = lab_socket(netns, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static inline bool lab_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Microseconds until a datagram to address:port was echoed by `server`; -1 when one of both ways is closed for `timeout_ms`.
 * ret_source is whom the server saw. */
static inline int64_t lab_udp_echo(int client, int server, const char *address, uint16_t port, int timeout_ms,
				   struct sockaddr_in *ret_source)
{
	struct sockaddr_in to = lab_address(address, port), from = { 0 };
	socklen_t len = sizeof(from);
	int64_t start_us = clock_monotonic_us();
	char text[16];

	if (sendto(client, "ping", 4, 0, (struct sockaddr *)&to, sizeof(to)) != 4 || !lab_readable(server, timeout_ms))
		return -1;
	assert_int_equal(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from, &len), 4);
	if (ret_source)
		*ret_source = from;
	if (sendto(server, "pong", 4, 0, (struct sockaddr *)&from, len) != 4 || !lab_readable(client, timeout_ms))
		return -1;
	len = sizeof(from);
	assert_int_equal(recvfrom(client, text, sizeof(text), 0, (struct sockaddr *)&from, &len), 4);
	assert_memory_equal(text, "pong", 4);
	/* The answer must come from whom the question went to. */
	assert_int_equal(from.sin_addr.s_addr, to.sin_addr.s_addr);
	assert_int_equal(from.sin_port, to.sin_port);
	return clock_monotonic_us() - start_us;
}

/* True when a connection to address:port reaches the listener and a byte gets through each way. */
static inline bool lab_tcp_echo(int netns, int listener, const char *address, uint16_t port, int timeout_ms,
				struct sockaddr_in *ret_source)
{
	struct sockaddr_in to = lab_address(address, port), from = { 0 };
	struct timeval timeout = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	_cleanup_fd_ int client = lab_socket(netns, SOCK_STREAM, 0);
	_cleanup_fd_ int server = -1;
	socklen_t len = sizeof(from);
	char byte = 0;

	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	if (connect(client, (struct sockaddr *)&to, sizeof(to)) < 0 || !lab_readable(listener, timeout_ms))
		return false;
	server = accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
	assert_true(server >= 0);
	if (ret_source)
		*ret_source = from;
	return send(client, "a", 1, 0) == 1 && lab_readable(server, timeout_ms) && recv(server, &byte, 1, 0) == 1 &&
	       send(server, "b", 1, 0) == 1 && lab_readable(client, timeout_ms) && recv(client, &byte, 1, 0) == 1 && byte == 'b';
}

static inline uint16_t lab_icmp_checksum(const unsigned char *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* ICMP echo (RFC 792): true when the reply comes. */
static inline bool lab_ping(int netns, const char *address, int timeout_ms)
{
	unsigned char request[16] = { 8, 0, 0, 0, 0x12, 0x34, 0, 1, 'm', 'o', 'n', 'o', 'p', 'o', 'd', 0 };
	struct sockaddr_in to = lab_address(address, 0);
	_cleanup_fd_ int fd = lab_socket(netns, SOCK_RAW, IPPROTO_ICMP);
	uint16_t checksum = lab_icmp_checksum(request, sizeof(request));
	unsigned char packet[128];

	request[2] = (unsigned char)(checksum >> 8);
	request[3] = (unsigned char)checksum;
	if (sendto(fd, request, sizeof(request), 0, (struct sockaddr *)&to, sizeof(to)) != sizeof(request))
		return false;
	while (lab_readable(fd, timeout_ms)) {
		ssize_t n = recv(fd, packet, sizeof(packet), 0);

		/* An IPv4 header of 20 bytes, then type 0 (echo reply) and our identifier. */
		if (n >= 28 && packet[20] == 0 && packet[24] == 0x12 && packet[25] == 0x34)
			return true;
	}
	return false;
}

/* A second machine: a namespace with the given address on a wire to the host, which has the first address. */
struct lab_outside {
	struct ipv4_link link;
	struct gateway gateway;
};

static inline int lab_configure_outside(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	struct lab_outside *o = arg;

	o->link.index = (int)if_nametoindex(o->link.name);
	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0)
		return -1;
	return link_configure_pod(nl, &o->link, &o->gateway, err);
}

#define LAB_WIRE "wire0"
#define LAB_HOST_ADDRESS "192.0.2.1"
#define LAB_OUTSIDE_ADDRESS "192.0.2.2"

static inline int lab_outside(uint32_t mtu)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	int netns = lab_netns();
	struct veth_spec spec = {
		.name = LAB_WIRE, .peer_name = "eth0", .peer_netns = netns, .peer_address = 0xc0000202, .mtu = mtu
	};
	struct ipv4_link host = { .name = LAB_WIRE, .address = 0xc0000201, .prefix_length = 24 };
	struct lab_outside outside = { .link = { .name = "eth0", .address = 0xc0000202, .prefix_length = 24 },
				       .gateway = { .address = 0xc0000201 } };
	struct link_info wire;

	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	assert_ok(link_create_veth(nl, &spec, &err));
	assert_ok(link_find(nl, LAB_WIRE, &wire, &err));
	host.index = wire.index;
	memcpy(outside.gateway.mac, wire.mac, sizeof(wire.mac));
	assert_ok(link_bring_up(nl, &host, &err));
	assert_ok(netns_call(netns, lab_configure_outside, &outside, &err));
	assert_ok(link_settle(nl, LAB_WIRE, &err));
	return netns;
}

static inline void lab_cut_wire(int netns)
{
	_cleanup_netlink_ struct netlink *nl = NULL;

	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	assert_ok(link_delete(nl, (int)if_nametoindex(LAB_WIRE), &err));
	(void)close(netns);
}

struct lab_counts {
	unsigned links, addresses, routes, tables;
};

static inline int lab_count(const struct nlmsghdr *m, void *arg, struct error *err)
{
	(void)m;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static inline int lab_count_link(const struct link_info *info, void *arg, struct error *err)
{
	(void)info;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static inline int lab_count_address(int link, uint32_t address, uint8_t length, void *arg, struct error *err)
{
	(void)link;
	(void)address;
	(void)length;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static inline int lab_count_route(int link, const struct ipv4_prefix *destination, void *arg, struct error *err)
{
	(void)link;
	(void)destination;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

/* What is in the host's namespace, to compare before and after. */
static inline struct lab_counts lab_take_counts(void)
{
	_cleanup_netlink_ struct netlink *route = NULL, *netfilter = NULL;
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct lab_counts counts = { 0 };

	assert_ok(netlink_open(NETLINK_ROUTE, &route, &err));
	assert_ok(netlink_open(NETLINK_NETFILTER, &netfilter, &err));
	assert_ok(link_each(route, lab_count_link, &counts.links, &err));
	assert_ok(address_each(route, lab_count_address, &counts.addresses, &err));
	assert_ok(route_each(route, lab_count_route, &counts.routes, &err));
	(void)nl_batch_add_nft(&b, NFT_MSG_GETTABLE, 0, "list tables");
	assert_ok(nl_dump(netfilter, &b, lab_count, &counts.tables, &err));
	return counts;
}

static inline void lab_same_counts(struct lab_counts before, struct lab_counts after)
{
	assert_int_equal(before.links, after.links);
	assert_int_equal(before.addresses, after.addresses);
	assert_int_equal(before.routes, after.routes);
	assert_int_equal(before.tables, after.tables);
}

/* Links end with their namespace, in the background: waits for as many as there were. */
static inline void lab_wait_links(unsigned links)
{
	for (int i = 0; i < LAB_TIMEOUT_MS && lab_take_counts().links > links; i++)
		(void)usleep(1000);
	assert_int_equal(lab_take_counts().links, links);
}

struct lab_pod {
	char id[ID_SIZE];
	char name[32];
	int netns;
	struct net_request request;
	struct net_result result;
};

static inline void lab_pod_init(struct lab_pod *pod, const char *name)
{
	*pod = (struct lab_pod){ .netns = lab_netns() };
	id_generate(pod->id);
	(void)snprintf(pod->name, sizeof(pod->name), "test/%s", name);
	pod->request = (struct net_request){ .pod_id = pod->id, .pod_name = pod->name, .netns = pod->netns };
}

static inline int lab_pod_attach(struct net_engine *engine, struct lab_pod *pod, struct error *err)
{
	return engine->ops->attach(engine, &pod->request, &pod->result, err);
}

static inline void lab_pod_add(struct net_engine *engine, struct lab_pod *pod, const char *name)
{
	lab_pod_init(pod, name);
	assert_ok(lab_pod_attach(engine, pod, &err));
}

static inline void lab_pod_remove(struct net_engine *engine, struct lab_pod *pod)
{
	assert_ok(engine->ops->detach(engine, &pod->request, &err));
	close_fd(&pod->netns);
	pod->request.netns = -1;
}

static inline const char *lab_ip(const struct lab_pod *pod)
{
	return pod->result.addresses[0];
}

struct lab {
	char dir[64];
	struct net_engine *engine;
	struct lab_counts before;
};

static inline struct net_engine *lab_open(const char *dir, const char *cidr)
{
	struct net_bridge_config config = { .bridge = LAB_BRIDGE, .pod_cidr = cidr, .mtu = "auto", .state_dir = dir };
	struct net_engine *engine = NULL;

	assert_ok(net_bridge_open(&config, &engine, &err));
	return engine;
}

static inline void lab_make_dir(char dir[64])
{
	(void)snprintf(dir, 64, "/tmp/monopod-net-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

/* Setup and teardown around each test: a host of its own, an engine, and the check that it takes all it made away again. */
static inline int lab_setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	assert_true(lab_enter());
	lab->before = lab_take_counts();
	lab_make_dir(lab->dir);
	lab->engine = lab_open(lab->dir, LAB_CIDR);
	*state = lab;
	return 0;
}

static inline int lab_teardown(void **state)
{
	struct error err = ERROR_INIT, ignored = ERROR_INIT;
	struct lab *lab = *state;
	struct lab_counts before = lab->before;
	int destroyed = net_bridge_destroy(lab->engine, &err);
	bool is_gone = access(lab->dir, F_OK) < 0;

	lab->engine->ops->close(lab->engine);
	(void)io_remove_tree(AT_FDCWD, lab->dir, &ignored);
	free(lab);
	if (destroyed < 0)
		fail_msg("%s", err.text);
	assert_true(is_gone);
	lab_wait_links(before.links);
	lab_same_counts(before, lab_take_counts());
	return 0;
}

#endif
