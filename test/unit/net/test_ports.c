/* What nftables does for the pods: masquerading and host ports, seen from the host, from pods and from another machine. */
#include "lab.h"

#include <linux/rtnetlink.h>

#include "net/nft.h"

#define GATEWAY "10.213.0.1"

static void add_published(struct net_engine *engine, struct lab_pod *pod, const struct port_mapping *ports, size_t n)
{
	lab_pod_init(pod, "published");
	pod->request.ports = ports;
	pod->request.n_ports = n;
	assert_ok(lab_pod_attach(engine, pod, &err));
}

static void assert_source(const struct sockaddr_in *seen, const char *expected)
{
	char text[INET_ADDRSTRLEN];

	assert_non_null(inet_ntop(AF_INET, &seen->sin_addr, text, sizeof(text)));
	assert_string_equal(text, expected);
}

static bool reaches_udp(int from, const char *address, uint16_t port, int server, int timeout_ms, struct sockaddr_in *ret_source)
{
	_cleanup_fd_ int client = lab_bound(from, SOCK_DGRAM, "0.0.0.0", 0);

	return lab_udp_echo(client, server, address, port, timeout_ms, ret_source) >= 0;
}

static void test_pods_are_masqueraded(void **state)
{
	struct lab *lab = *state;
	int outside = lab_outside(1500);
	struct sockaddr_in seen;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	{
		_cleanup_fd_ int server = lab_bound(outside, SOCK_DGRAM, LAB_OUTSIDE_ADDRESS, 7000);
		_cleanup_fd_ int listener = lab_bound(outside, SOCK_STREAM, LAB_OUTSIDE_ADDRESS, 7001);

		assert_true(reaches_udp(pod.netns, LAB_OUTSIDE_ADDRESS, 7000, server, LAB_TIMEOUT_MS, &seen));
		assert_source(&seen, LAB_HOST_ADDRESS);
		assert_true(lab_tcp_echo(pod.netns, listener, LAB_OUTSIDE_ADDRESS, 7001, LAB_TIMEOUT_MS, &seen));
		assert_source(&seen, LAB_HOST_ADDRESS);
		assert_true(lab_ping(pod.netns, LAB_OUTSIDE_ADDRESS, LAB_TIMEOUT_MS));
	}
	lab_pod_remove(lab->engine, &pod);
	lab_cut_wire(outside);
}

/* From outside, the host and the pods; the client's address stays what it is where it can. */
static void test_host_port_tcp(void **state)
{
	static const struct port_mapping ports[] = { { NET_TCP, 80, 8080, "" } };
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	int outside = lab_outside(1500);
	struct lab_pod pod, other;
	struct sockaddr_in seen;
	int listener;

	add_published(lab->engine, &pod, ports, 1);
	lab_pod_add(lab->engine, &other, "other");
	listener = lab_bound(pod.netns, SOCK_STREAM, "0.0.0.0", 80);
	assert_true(lab_tcp_echo(outside, listener, LAB_HOST_ADDRESS, 8080, LAB_TIMEOUT_MS, &seen));
	assert_source(&seen, LAB_OUTSIDE_ADDRESS);
	assert_true(lab_tcp_echo(host, listener, LAB_HOST_ADDRESS, 8080, LAB_TIMEOUT_MS, &seen));
	assert_true(lab_tcp_echo(host, listener, GATEWAY, 8080, LAB_TIMEOUT_MS, &seen));
	assert_true(lab_tcp_echo(host, listener, "127.0.0.1", 8080, LAB_TIMEOUT_MS, &seen));
	assert_source(&seen, GATEWAY);
	assert_true(lab_tcp_echo(other.netns, listener, LAB_HOST_ADDRESS, 8080, LAB_TIMEOUT_MS, &seen));
	assert_source(&seen, GATEWAY);
	/* The pod itself, through its own host port. */
	assert_true(lab_tcp_echo(pod.netns, listener, LAB_HOST_ADDRESS, 8080, LAB_TIMEOUT_MS, &seen));
	assert_true(lab_tcp_echo(pod.netns, listener, GATEWAY, 8080, LAB_TIMEOUT_MS, &seen));
	/* The port is not published under its own number, nor for UDP. */
	assert_false(lab_tcp_echo(outside, listener, LAB_HOST_ADDRESS, 80, 50, NULL));
	(void)close(listener);
	lab_pod_remove(lab->engine, &pod);
	lab_pod_remove(lab->engine, &other);
	lab_cut_wire(outside);
}

static void test_host_port_udp(void **state)
{
	static const struct port_mapping ports[] = { { NET_UDP, 53, 5353, NULL } };
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	int outside = lab_outside(1500);
	struct lab_pod pod, other;
	struct sockaddr_in seen;
	int server;

	add_published(lab->engine, &pod, ports, 1);
	lab_pod_add(lab->engine, &other, "other");
	server = lab_bound(pod.netns, SOCK_DGRAM, "0.0.0.0", 53);
	assert_true(reaches_udp(outside, LAB_HOST_ADDRESS, 5353, server, LAB_TIMEOUT_MS, &seen));
	assert_source(&seen, LAB_OUTSIDE_ADDRESS);
	assert_true(reaches_udp(host, "127.0.0.1", 5353, server, LAB_TIMEOUT_MS, NULL));
	assert_true(reaches_udp(other.netns, LAB_HOST_ADDRESS, 5353, server, LAB_TIMEOUT_MS, NULL));
	assert_true(reaches_udp(pod.netns, LAB_HOST_ADDRESS, 5353, server, LAB_TIMEOUT_MS, NULL));
	(void)close(server);
	lab_pod_remove(lab->engine, &pod);
	lab_pod_remove(lab->engine, &other);
	lab_cut_wire(outside);
}

/* A mapping with a host address serves this address only; another pod can have the port on another address. */
static void test_host_port_on_one_address(void **state)
{
	static const struct port_mapping on_wire[] = { { NET_TCP, 80, 8080, LAB_HOST_ADDRESS } };
	static const struct port_mapping on_loopback[] = { { NET_TCP, 80, 8080, "127.0.0.1" } };
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	int outside = lab_outside(1500);
	int wire_listener, loopback_listener;
	struct lab_pod wire, loopback;

	add_published(lab->engine, &wire, on_wire, 1);
	add_published(lab->engine, &loopback, on_loopback, 1);
	wire_listener = lab_bound(wire.netns, SOCK_STREAM, "0.0.0.0", 80);
	loopback_listener = lab_bound(loopback.netns, SOCK_STREAM, "0.0.0.0", 80);
	assert_true(lab_tcp_echo(outside, wire_listener, LAB_HOST_ADDRESS, 8080, LAB_TIMEOUT_MS, NULL));
	assert_true(lab_tcp_echo(host, loopback_listener, "127.0.0.1", 8080, LAB_TIMEOUT_MS, NULL));
	assert_true(lab_tcp_echo(loopback.netns, wire_listener, LAB_HOST_ADDRESS, 8080, LAB_TIMEOUT_MS, NULL));
	assert_false(lab_tcp_echo(host, wire_listener, GATEWAY, 8080, 50, NULL));
	(void)close(wire_listener);
	(void)close(loopback_listener);
	lab_pod_remove(lab->engine, &wire);
	lab_pod_remove(lab->engine, &loopback);
	lab_cut_wire(outside);
}

static void test_ports_end_with_the_pod(void **state)
{
	static const struct port_mapping ports[] = { { NET_TCP, 80, 8080, "" }, { NET_TCP, 80, 8081, "" } };
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	_cleanup_fd_ int listener = -1, own = -1;
	struct lab_pod pod;

	add_published(lab->engine, &pod, ports, 2);
	listener = lab_bound(pod.netns, SOCK_STREAM, "0.0.0.0", 80);
	assert_true(lab_tcp_echo(host, listener, "127.0.0.1", 8081, LAB_TIMEOUT_MS, NULL));
	lab_pod_remove(lab->engine, &pod);
	/* Now the port is the host's again. */
	own = lab_bound(host, SOCK_STREAM, "127.0.0.1", 8081);
	assert_true(lab_tcp_echo(host, own, "127.0.0.1", 8081, LAB_TIMEOUT_MS, NULL));
}

static void assert_conflict(struct net_engine *engine, const struct port_mapping *port, const char *taken, const char *owner)
{
	struct error err = ERROR_INIT;
	struct lab_pod pod;

	lab_pod_init(&pod, "late");
	pod.request.ports = port;
	pod.request.n_ports = 1;
	assert_int_equal(lab_pod_attach(engine, &pod, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_non_null(strstr(err.text, taken));
	assert_non_null(strstr(err.text, owner));
	(void)close(pod.netns);
}

/* A failed attach leaves nothing: neither link nor address nor one of its ports. */
static void test_conflicts(void **state)
{
	static const struct port_mapping first[] = { { NET_TCP, 80, 8080, "" }, { NET_UDP, 53, 5353, "192.0.2.7" } };
	static const struct port_mapping same = { NET_TCP, 81, 8080, "" }, narrower = { NET_TCP, 80, 8080, "127.0.0.1" };
	static const struct port_mapping wider = { NET_UDP, 53, 5353, "" };
	static const struct port_mapping fine[] = {
		{ NET_UDP, 80, 8080, "" }, { NET_TCP, 53, 5353, "" }, { NET_UDP, 53, 5353, "192.0.2.8" }, { NET_TCP, 9, 0, "" }
	};
	struct lab *lab = *state;
	struct lab_pod pod, other;
	struct lab_counts counts;

	add_published(lab->engine, &pod, first, 2);
	counts = lab_take_counts();
	assert_conflict(lab->engine, &same, "8080/tcp", pod.id);
	assert_conflict(lab->engine, &narrower, "8080/tcp", pod.id);
	assert_conflict(lab->engine, &wider, "192.0.2.7:5353/udp", pod.id);
	lab_wait_links(counts.links);
	add_published(lab->engine, &other, fine, ARRAY_SIZE(fine));
	lab_pod_remove(lab->engine, &other);
	lab_pod_remove(lab->engine, &pod);
}

static void test_bad_mappings(void **state)
{
	static const struct port_mapping bad[][2] = {
		{ { NET_TCP, 80, 8080, "::1" }, { NET_TCP, 0, 0, "" } },
		{ { NET_TCP, 80, 8080, "localhost" }, { NET_TCP, 0, 0, "" } },
		{ { NET_TCP, 0, 8080, "" }, { NET_TCP, 0, 0, "" } },
		{ { (enum net_protocol)7, 80, 8080, "" }, { NET_TCP, 0, 0, "" } },
		{ { NET_TCP, 80, 8080, "" }, { NET_TCP, 81, 8080, "" } },
	};
	struct lab *lab = *state;
	struct lab_pod pod;

	lab_pod_init(&pod, "pod");
	pod.request.n_ports = 2;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		pod.request.ports = bad[i];
		assert_fails(lab_pod_attach(lab->engine, &pod, &err), ERR_INVALID);
	}
	pod.request.n_ports = 100 * 1000;
	assert_fails(lab_pod_attach(lab->engine, &pod, &err), ERR_INVALID);
	(void)close(pod.netns);
}

struct found_ports {
	struct nft_port list[1024];
	size_t n;
};

static int collect_port(const struct nft_port *port, void *arg, struct error *err)
{
	struct found_ports *found = arg;

	(void)err;
	assert_true(found->n < ARRAY_SIZE(found->list));
	found->list[found->n++] = *port;
	return 0;
}

static const struct nft_network network = { .table = "monopod-" LAB_BRIDGE, .bridge = LAB_BRIDGE };

static void find_ports(struct found_ports *found)
{
	_cleanup_netlink_ struct netlink *nl = NULL;

	found->n = 0;
	assert_ok(netlink_open(NETLINK_NETFILTER, &nl, &err));
	assert_ok(nft_each_port(nl, &network, collect_port, found, &err));
}

/* The kernel's maps hold what was asked for, with the owner; more elements than one message takes. */
static void test_elements(void **state)
{
	enum { PORTS = 200 };
	static struct port_mapping ports[PORTS];
	static struct found_ports found;
	struct lab *lab = *state;
	struct lab_pod pod;

	for (size_t i = 0; i < PORTS; i++)
		ports[i] = (struct port_mapping){ (enum net_protocol)(i % 3), (uint16_t)(1000 + i), (uint16_t)(20000 + i),
						  i % 2 ? "" : "192.0.2.1" };
	add_published(lab->engine, &pod, ports, PORTS);
	find_ports(&found);
	assert_int_equal(found.n, PORTS);
	for (size_t i = 0; i < found.n; i++) {
		const struct nft_port *port = &found.list[i];
		const struct port_mapping *asked = &ports[port->host_port - 20000];

		assert_string_equal(port->pod_id, pod.id);
		assert_int_equal(port->pod_port, asked->container_port);
		assert_int_equal(port->host_address, asked->host_ip[0] ? 0xc0000201 : 0);
		assert_int_equal(port->pod_address, 0x0ad50002);
		assert_int_equal(port->protocol,
				 ((uint8_t[]){ IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP })[(port->host_port - 20000) % 3]);
	}
	lab_pod_remove(lab->engine, &pod);
	find_ports(&found);
	assert_int_equal(found.n, 0);
}

/* A daemon that starts again knows who has which port, and gives it back. */
static void test_ports_after_restart(void **state)
{
	static const struct port_mapping ports[] = { { NET_TCP, 80, 8080, "" } };
	static struct found_ports found;
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct lab_pod pod, other;
	int listener;

	add_published(lab->engine, &pod, ports, 1);
	lab->engine->ops->close(lab->engine);
	lab->engine = lab_open(lab->dir, LAB_CIDR);
	assert_conflict(lab->engine, &ports[0], "8080/tcp", pod.id);
	lab_pod_add(lab->engine, &other, "other"); /* replaces the table */
	assert_ok(lab_pod_attach(lab->engine, &pod, &err));
	listener = lab_bound(pod.netns, SOCK_STREAM, "0.0.0.0", 80);
	assert_true(lab_tcp_echo(host, listener, "127.0.0.1", 8080, LAB_TIMEOUT_MS, NULL));
	(void)close(listener);
	lab_pod_remove(lab->engine, &pod);
	find_ports(&found);
	assert_int_equal(found.n, 0);
	lab_pod_remove(lab->engine, &other);
}

static void flush_ruleset(void)
{
	_cleanup_netlink_ struct netlink *nl = NULL;

	assert_ok(netlink_open(NETLINK_NETFILTER, &nl, &err));
	assert_ok(nft_delete_table(nl, &network, &err));
}

/* `nft flush ruleset` takes our table too: the next look at the network brings it back, with all ports. */
static void test_flushed_table_comes_back(void **state)
{
	static const struct port_mapping first[] = { { NET_TCP, 80, 8080, "" } }, second[] = { { NET_TCP, 80, 8081, "" } };
	static struct found_ports found;
	struct lab *lab = *state;
	struct lab_pod a, b;

	add_published(lab->engine, &a, first, 1);
	flush_ruleset();
	assert_ok(lab->engine->ops->ready(lab->engine, &err));
	find_ports(&found);
	assert_int_equal(found.n, 1);
	flush_ruleset();
	add_published(lab->engine, &b, second, 1);
	find_ports(&found);
	assert_int_equal(found.n, 2);
	flush_ruleset();
	lab_pod_remove(lab->engine, &a);
	find_ports(&found);
	assert_int_equal(found.n, 1);
	assert_string_equal(found.list[0].pod_id, b.id);
	lab_pod_remove(lab->engine, &b);
}

/* A UDP flow that the kernel remembers must not keep on going where it went before: to the host before the pod had the port, and to
 * the pod that had it before. */
static void test_udp_flows_follow_the_port(void **state)
{
	static const struct port_mapping ports[] = { { NET_UDP, 53, 5353, "" } };
	struct lab *lab = *state;
	int outside = lab_outside(1500);
	_cleanup_fd_ int host = lab_self();
	_cleanup_fd_ int client = lab_bound(outside, SOCK_DGRAM, LAB_OUTSIDE_ADDRESS, 40000);
	struct lab_pod a, b;

	{
		_cleanup_fd_ int own = lab_bound(host, SOCK_DGRAM, "0.0.0.0", 5353);

		assert_true(lab_udp_echo(client, own, LAB_HOST_ADDRESS, 5353, LAB_TIMEOUT_MS, NULL) >= 0);
	}
	add_published(lab->engine, &a, ports, 1);
	{
		_cleanup_fd_ int server = lab_bound(a.netns, SOCK_DGRAM, "0.0.0.0", 53);

		assert_true(lab_udp_echo(client, server, LAB_HOST_ADDRESS, 5353, LAB_TIMEOUT_MS, NULL) >= 0);
	}
	lab_pod_remove(lab->engine, &a);
	add_published(lab->engine, &b, ports, 1);
	{
		_cleanup_fd_ int server = lab_bound(b.netns, SOCK_DGRAM, "0.0.0.0", 53);

		assert_true(lab_udp_echo(client, server, LAB_HOST_ADDRESS, 5353, LAB_TIMEOUT_MS, NULL) >= 0);
	}
	lab_pod_remove(lab->engine, &b);
	lab_cut_wire(outside);
}

/* More flows than are deleted in one round. */
static void test_many_udp_flows_follow_the_port(void **state)
{
	enum { FLOWS = 600 };
	static const struct port_mapping ports[] = { { NET_UDP, 53, 5353, "" } };
	static int clients[FLOWS];
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct sockaddr_in to = lab_address("127.0.0.1", 5353);
	_cleanup_fd_ int server = -1;
	struct lab_pod pod;
	char text[8];

	lab_pod_init(&pod, "pod");
	assert_ok(lab->engine->ops->ready(lab->engine, &err));
	assert_ok(lab_pod_attach(lab->engine, &pod, &err)); /* from here on the kernel tracks connections */
	for (size_t i = 0; i < FLOWS; i++) {
		clients[i] = lab_bound(host, SOCK_DGRAM, "127.0.0.1", 0);
		assert_int_equal(sendto(clients[i], "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	}
	pod.request.ports = ports;
	pod.request.n_ports = 1;
	assert_ok(lab_pod_attach(lab->engine, &pod, &err));
	server = lab_bound(pod.netns, SOCK_DGRAM, "0.0.0.0", 53);
	for (size_t i = 0; i < FLOWS; i++) {
		/* The first word may be the refusal that the first packet brought. */
		if (sendto(clients[i], "y", 1, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			assert_int_equal(sendto(clients[i], "y", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
		assert_true(lab_readable(server, LAB_TIMEOUT_MS));
		assert_int_equal(recv(server, text, sizeof(text), 0), 1);
		(void)close(clients[i]);
	}
	lab_pod_remove(lab->engine, &pod);
}

static int add_loopback_route(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct link_info lo;
	struct nlmsghdr *m;
	struct rtmsg *body;

	(void)arg;
	/* The pod's root can send what it likes: give the loopback range a way out, and no way in. */
	if (io_write_value(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/route_localnet", "1", err) < 0 ||
	    netlink_open(NETLINK_ROUTE, &nl, err) < 0 || link_find(nl, "lo", &lo, err) < 0)
		return -1;
	m = nl_batch_add(&b, RTM_DELROUTE, 0, "forget 127.0.0.0/8");
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	*body = (struct rtmsg){ .rtm_family = AF_INET,
				.rtm_dst_len = 8,
				.rtm_table = RT_TABLE_LOCAL,
				.rtm_type = RTN_LOCAL,
				.rtm_scope = RT_SCOPE_NOWHERE };
	mnl_attr_put_u32(m, RTA_DST, htonl(127u << 24));
	m = nl_batch_add(&b, RTM_DELROUTE, 0, "forget 127.0.0.1");
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	*body = (struct rtmsg){ .rtm_family = AF_INET,
				.rtm_dst_len = 32,
				.rtm_table = RT_TABLE_LOCAL,
				.rtm_type = RTN_LOCAL,
				.rtm_scope = RT_SCOPE_NOWHERE };
	mnl_attr_put_u32(m, RTA_DST, htonl((127u << 24) + 1));
	m = nl_batch_add(&b, RTM_NEWROUTE, NLM_F_CREATE, "send 127.0.0.1 to the gateway");
	body = mnl_nlmsg_put_extra_header(m, sizeof(*body));
	*body = (struct rtmsg){ .rtm_family = AF_INET,
				.rtm_dst_len = 32,
				.rtm_table = RT_TABLE_MAIN,
				.rtm_type = RTN_UNICAST,
				.rtm_protocol = RTPROT_STATIC };
	mnl_attr_put_u32(m, RTA_DST, htonl((127u << 24) + 1));
	mnl_attr_put_u32(m, RTA_GATEWAY, htonl(0x0ad50001));
	mnl_attr_put_u32(m, RTA_OIF, if_nametoindex("eth0"));
	return nl_batch_run(nl, &b, err);
}

/* Host ports on 127.0.0.1 need route_localnet on the bridge. A pod that addresses the host's loopback over it must get nothing. */
static void test_cve_2020_8558_host_loopback_is_closed(void **state)
{
	static const struct port_mapping ports[] = { { NET_TCP, 80, 8080, "" } };
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	_cleanup_fd_ int service = lab_bound(host, SOCK_DGRAM, "127.0.0.1", 7000);
	struct sockaddr_in to = lab_address("127.0.0.1", 7000);
	_cleanup_buffer_ struct buffer value = BUFFER_INIT(16);
	_cleanup_fd_ int client = -1;
	struct lab_pod pod;

	add_published(lab->engine, &pod, ports, 1);
	/* The danger is there ... */
	assert_ok(io_read_file(AT_FDCWD, "/proc/sys/net/ipv4/conf/" LAB_BRIDGE "/route_localnet", &value, &err));
	assert_string_equal(value.data, "1\n");
	/* ... and nowhere else ... */
	buffer_clear(&value);
	assert_ok(io_read_file(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/route_localnet", &value, &err));
	assert_string_equal(value.data, "0\n");
	/* ... and the pod's packets are dropped, but come through without the guard. */
	assert_ok(netns_call(pod.netns, add_loopback_route, NULL, &err));
	client = lab_bound(pod.netns, SOCK_DGRAM, lab_ip(&pod), 0);
	assert_int_equal(sendto(client, "evil", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	assert_false(lab_readable(service, 100));
	flush_ruleset();
	assert_int_equal(sendto(client, "evil", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	assert_true(lab_readable(service, LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &pod);
}

#define lab_test(function) cmocka_unit_test_setup_teardown(function, lab_setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(test_pods_are_masqueraded),
		lab_test(test_host_port_tcp),
		lab_test(test_host_port_udp),
		lab_test(test_host_port_on_one_address),
		lab_test(test_ports_end_with_the_pod),
		lab_test(test_conflicts),
		lab_test(test_bad_mappings),
		lab_test(test_elements),
		lab_test(test_ports_after_restart),
		lab_test(test_flushed_table_comes_back),
		lab_test(test_udp_flows_follow_the_port),
		lab_test(test_many_udp_flows_follow_the_port),
		lab_test(test_cve_2020_8558_host_loopback_is_closed),
	};

	if (!lab_enter())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
