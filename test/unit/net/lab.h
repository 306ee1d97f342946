/*
 * A network of namespaces to test in. The test process moves into a namespace of its own before anything else, which plays the
 * host: nothing of the machine's network is touched, and everything is gone when the process ends.
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
#include "net/net.h"
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

/* Moves the process, and reports why not when it cannot. */
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

static inline void lab_state_dir(char dir[64])
{
	(void)snprintf(dir, 64, "/tmp/monopod-net-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static inline struct net_engine *lab_open(const char *dir, const char *cidr)
{
	struct net_bridge_config config = { .bridge = LAB_BRIDGE, .pod_cidr = cidr, .mtu = "auto", .state_dir = dir };
	struct net_engine *engine = NULL;

	assert_ok(net_bridge_open(&config, &engine, &err));
	return engine;
}

/* Removes the network and checks that it takes everything with it. */
static inline void lab_destroy(struct net_engine *engine, const char *dir)
{
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
	assert_int_equal(if_nametoindex(LAB_BRIDGE), 0);
	assert_int_equal(access(dir, F_OK), -1);
}

#endif
