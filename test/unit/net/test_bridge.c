/* Pods on the bridge: who reaches whom, what the pod gets, idempotence, and that detaching leaves nothing. */
#include "lab.h"

#include "net/link_watch.h"

#include <linux/if_packet.h>
#include <sys/ioctl.h>

#define GATEWAY "10.213.0.1"

static void assert_udp(int from, const char *from_address, int to, const char *to_address)
{
	_cleanup_fd_ int server = lab_bound(to, SOCK_DGRAM, to_address, 7000);
	_cleanup_fd_ int client = lab_bound(from, SOCK_DGRAM, from_address, 0);

	assert_true(lab_udp_echo(client, server, to_address, 7000, LAB_TIMEOUT_MS, NULL) >= 0);
}

static void assert_tcp(int from, int to, const char *to_address, const char *source)
{
	_cleanup_fd_ int listener = lab_bound(to, SOCK_STREAM, to_address, 7001);
	struct sockaddr_in seen;

	assert_true(lab_tcp_echo(from, listener, to_address, 7001, LAB_TIMEOUT_MS, &seen));
	assert_int_equal(seen.sin_addr.s_addr, lab_address(source, 0).sin_addr.s_addr);
}

static void test_pods_reach_each_other(void **state)
{
	struct lab *lab = *state;
	struct lab_pod a, b;

	lab_pod_add(lab->engine, &a, "a");
	lab_pod_add(lab->engine, &b, "b");
	assert_string_not_equal(lab_ip(&a), lab_ip(&b));
	assert_udp(a.netns, lab_ip(&a), b.netns, lab_ip(&b));
	assert_tcp(b.netns, a.netns, lab_ip(&a), lab_ip(&b));
	assert_true(lab_ping(a.netns, lab_ip(&b), LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &a);
	lab_pod_remove(lab->engine, &b);
}

static void test_host_and_pod_reach_each_other(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	assert_udp(host, GATEWAY, pod.netns, lab_ip(&pod));
	assert_udp(pod.netns, lab_ip(&pod), host, GATEWAY);
	assert_tcp(host, pod.netns, lab_ip(&pod), GATEWAY);
	assert_tcp(pod.netns, host, GATEWAY, lab_ip(&pod));
	assert_true(lab_ping(host, lab_ip(&pod), LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &pod);
}

static int connect_ipv6_loopback(void *arg, struct error *err)
{
	struct sockaddr_in6 self = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	_cleanup_fd_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)arg;
	return bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0 ? error_sys(err, errno, "bind ::1") : 0;
}

static int read_disable_ipv6(void *arg, struct error *err)
{
	struct buffer *value = arg;

	return io_read_file(AT_FDCWD, "/proc/sys/net/ipv6/conf/eth0/disable_ipv6", value, err);
}

static bool host_has_ipv6(void)
{
	return access("/proc/sys/net/ipv6", F_OK) == 0;
}

/* A pod has 127.0.0.1 and ::1, but no IPv6 on its link: no rogue router advertisement reaches it. */
static void test_cve_2020_10749_no_ipv6_on_the_link(void **state)
{
	_cleanup_buffer_ struct buffer pod_value = BUFFER_INIT(16), bridge_value = BUFFER_INIT(16);
	struct lab *lab = *state;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	assert_true(lab_ping(pod.netns, "127.0.0.1", LAB_TIMEOUT_MS));
	if (host_has_ipv6()) {
		assert_ok(netns_call(pod.netns, connect_ipv6_loopback, NULL, &err));
		assert_ok(netns_call(pod.netns, read_disable_ipv6, &pod_value, &err));
		assert_string_equal(pod_value.data, "1\n");
		assert_ok(io_read_file(AT_FDCWD, "/proc/sys/net/ipv6/conf/" LAB_BRIDGE "/disable_ipv6", &bridge_value, &err));
		assert_string_equal(bridge_value.data, "1\n");
	}
	lab_pod_remove(lab->engine, &pod);
}

struct link_question {
	const char *name;
	struct link_info info;
	unsigned char mac[6];
};

static int ask_link(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct link_question *q = arg;
	struct ifreq request = { 0 };

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", q->name);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return error_sys(err, errno, "mac of %s", q->name);
	memcpy(q->mac, request.ifr_hwaddr.sa_data, sizeof(q->mac));
	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0)
		return -1;
	return link_find(nl, q->name, &q->info, err);
}

static struct link_question look_at(int netns, const char *name)
{
	struct link_question q = { .name = name };

	assert_ok(netns_call(netns, ask_link, &q, &err));
	return q;
}

/* The link's MTU is that of the way out; its MAC follows from its address. */
static void test_mtu_and_mac(void **state)
{
	struct lab *lab = *state;
	_cleanup_netlink_ struct netlink *nl = NULL;
	struct gateway peer = { .address = 0xc0000202, .mac = { 0x02, 0x6d, 192, 0, 2, 2 } };
	struct ipv4_link wire = { .name = LAB_WIRE, .address = 0xc0000201, .prefix_length = 24 };
	_cleanup_fd_ int host = lab_self();
	int outside = lab_outside(1400);
	struct link_question eth0;
	struct lab_pod pod;

	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	wire.index = (int)if_nametoindex(LAB_WIRE);
	assert_ok(link_configure_pod(nl, &wire, &peer, &err)); /* the host's default route, over the wire */
	lab_pod_add(lab->engine, &pod, "pod");
	eth0 = look_at(pod.netns, "eth0");
	assert_int_equal(eth0.info.mtu, 1400);
	assert_int_equal(look_at(host, LAB_BRIDGE).info.mtu, 1400);
	assert_memory_equal(eth0.mac, ((unsigned char[]){ 0x02, 0x6d, 10, 213, 0, 2 }), 6);
	lab_pod_remove(lab->engine, &pod);
	lab_cut_wire(outside);
}

static void test_configured_mtu(void **state)
{
	struct lab *lab = *state;
	struct net_bridge_config config = { .bridge = LAB_BRIDGE, .pod_cidr = LAB_CIDR, .mtu = "1280", .state_dir = lab->dir };
	_cleanup_fd_ int host = lab_self();
	struct lab_pod pod;

	lab->engine->ops->close(lab->engine);
	assert_ok(net_bridge_open(&config, &lab->engine, &err));
	lab_pod_add(lab->engine, &pod, "pod");
	assert_int_equal(look_at(pod.netns, "eth0").info.mtu, 1280);
	assert_int_equal(look_at(host, LAB_BRIDGE).info.mtu, 1280);
	lab_pod_remove(lab->engine, &pod);
}

/* The bridge keeps its MAC when ports come and go: pods remember it as their gateway's. */
static void test_bridge_keeps_its_mac(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct link_question before, after;
	struct lab_pod pods[4];

	lab_pod_add(lab->engine, &pods[0], "first");
	before = look_at(host, LAB_BRIDGE);
	for (size_t i = 1; i < ARRAY_SIZE(pods); i++)
		lab_pod_add(lab->engine, &pods[i], "more");
	for (size_t i = 0; i < ARRAY_SIZE(pods); i++)
		lab_pod_remove(lab->engine, &pods[i]);
	after = look_at(host, LAB_BRIDGE);
	assert_memory_equal(before.mac, after.mac, sizeof(before.mac));
}

/* A lost first packet is sent again after a second: it must not be lost. */
static void test_first_packet_is_answered_at_once(void **state)
{
	enum { PODS = 50, LIMIT_US = 30 * 1000 };
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	_cleanup_fd_ int client = lab_bound(host, SOCK_DGRAM, "0.0.0.0", 0);
	int64_t attach_us[PODS], slowest_us = 0, sum_us = 0;
	struct lab_pod pods[PODS];

	for (size_t i = 0; i < PODS; i++) {
		_cleanup_fd_ int server = -1;
		int64_t start_us, answer_us;

		lab_pod_init(&pods[i], "pod");
		start_us = clock_monotonic_us();
		assert_ok(lab_pod_attach(lab->engine, &pods[i], &err));
		attach_us[i] = clock_monotonic_us() - start_us;
		sum_us += attach_us[i];
		server = lab_bound(pods[i].netns, SOCK_DGRAM, lab_ip(&pods[i]), 7000);
		answer_us = lab_udp_echo(client, server, lab_ip(&pods[i]), 7000, LAB_TIMEOUT_MS, NULL);
		assert_true(answer_us >= 0);
		slowest_us = answer_us > slowest_us ? answer_us : slowest_us;
	}
	(void)printf("attach: %lld us on average of %d pods; slowest first answer %lld us\n", (long long)(sum_us / PODS), PODS,
		     (long long)slowest_us);
	assert_true(slowest_us < LIMIT_US);
	for (size_t i = 0; i < PODS; i++)
		lab_pod_remove(lab->engine, &pods[i]);
}

/* The first pod of a bridge gives it its carrier: the answer to its first packet must not meet a bridge that is not awake yet. */
static void test_first_packet_of_the_first_pod(void **state)
{
	enum { ROUNDS = 100 }; /* one in fifty was lost when the bridge was not woken */
	char dir[64];

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct net_engine *engine;
		struct lab_pod pod;

		assert_true(lab_enter());
		lab_make_dir(dir);
		engine = lab_open(dir, LAB_CIDR);
		lab_pod_add(engine, &pod, "first");
		assert_true(lab_ping(pod.netns, GATEWAY, 500));
		lab_pod_remove(engine, &pod);
		engine->ops->close(engine);
		/* The rest ends with this host. */
		assert_ok(io_remove_tree(AT_FDCWD, dir, &err));
	}
}

/* The pod's first packet of its own, too: towards another pod that never spoke. */
static void test_first_packet_between_pods(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int client = -1, server = -1;
	struct lab_pod a, b;
	int64_t answer_us;

	lab_pod_add(lab->engine, &a, "a");
	lab_pod_add(lab->engine, &b, "b");
	server = lab_bound(b.netns, SOCK_DGRAM, lab_ip(&b), 7000);
	client = lab_bound(a.netns, SOCK_DGRAM, lab_ip(&a), 0);
	answer_us = lab_udp_echo(client, server, lab_ip(&b), 7000, LAB_TIMEOUT_MS, NULL);
	assert_true(answer_us >= 0 && answer_us < 30 * 1000);
	lab_pod_remove(lab->engine, &a);
	lab_pod_remove(lab->engine, &b);
}

static int read_received(void *arg, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT((size_t)64 * 1024);
	unsigned long *ret_packets = arg;
	const char *line;

	if (io_read_file(AT_FDCWD, "/proc/thread-self/net/dev", &text, err) < 0)
		return -1;
	line = strstr(text.data, "eth0:");
	return line && sscanf(line, "eth0: %*u %lu", ret_packets) == 1 ? 0 : error_set(err, ERR_INTERNAL, "no eth0");
}

static unsigned long received(const struct lab_pod *pod)
{
	unsigned long packets = 0;

	assert_ok(netns_call(pod->netns, read_received, &packets, &err));
	return packets;
}

/* Nobody has to ask all pods where a new one is: on a full node that would make the first packet slow. */
static void test_first_packet_bothers_no_other_pod(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct lab_pod pod, bystander;
	unsigned long before;

	lab_pod_add(lab->engine, &bystander, "bystander");
	before = received(&bystander);
	lab_pod_add(lab->engine, &pod, "pod");
	assert_udp(host, GATEWAY, pod.netns, lab_ip(&pod));
	assert_udp(pod.netns, lab_ip(&pod), host, GATEWAY);
	assert_int_equal(received(&bystander), before);
	lab_pod_remove(lab->engine, &pod);
	lab_pod_remove(lab->engine, &bystander);
}

struct frame {
	const unsigned char *source;
};

/* A frame from eth0 to the broadcast address, with a source of choice; 0x88b5 is free for experiments (IEEE 802). */
static int send_frame(void *arg, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("eth0"), .sll_halen = 6 };
	unsigned char bytes[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct frame *frame = arg;

	memcpy(bytes + 6, frame->source, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	if (sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return error_sys(err, errno, "send frame");
	return 0;
}

/* A pod that sends with another's MAC does not get the other's frames. */
static void test_pod_cannot_take_the_mac_of_another(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct lab_pod victim, thief;
	struct link_question eth0;
	struct frame frame;

	lab_pod_add(lab->engine, &victim, "victim");
	lab_pod_add(lab->engine, &thief, "thief");
	eth0 = look_at(victim.netns, "eth0");
	frame.source = eth0.mac;
	assert_ok(netns_call(thief.netns, send_frame, &frame, &err));
	assert_true(lab_ping(host, lab_ip(&victim), 500));
	lab_pod_remove(lab->engine, &victim);
	lab_pod_remove(lab->engine, &thief);
}

static void test_attach_is_idempotent(void **state)
{
	struct lab *lab = *state;
	struct net_result first;
	struct lab_counts counts;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	first = pod.result;
	counts = lab_take_counts();
	assert_ok(lab_pod_attach(lab->engine, &pod, &err));
	assert_string_equal(first.addresses[0], lab_ip(&pod));
	lab_same_counts(counts, lab_take_counts());
	assert_true(lab_ping(pod.netns, GATEWAY, LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &pod);
}

/* A daemon that starts again knows its pods: attaching one is the same as before. */
static void test_attach_after_restart(void **state)
{
	struct lab *lab = *state;
	char address[NET_ADDRESS_SIZE];
	struct lab_pod pod, other;

	lab_pod_add(lab->engine, &pod, "pod");
	memcpy(address, lab_ip(&pod), sizeof(address));
	lab->engine->ops->close(lab->engine);
	lab->engine = lab_open(lab->dir, LAB_CIDR);
	lab_pod_add(lab->engine, &other, "other");
	assert_string_not_equal(lab_ip(&other), address);
	assert_ok(lab_pod_attach(lab->engine, &pod, &err));
	assert_string_equal(lab_ip(&pod), address);
	assert_true(lab_ping(pod.netns, lab_ip(&other), LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &pod);
	lab_pod_remove(lab->engine, &other);
}

/* A new namespace for a pod that still has its record and its link: the old link goes, the address stays. */
static void test_attach_in_new_namespace(void **state)
{
	struct lab *lab = *state;
	char address[NET_ADDRESS_SIZE];
	_cleanup_fd_ int old = -1;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	memcpy(address, lab_ip(&pod), sizeof(address));
	old = pod.netns;
	pod.netns = pod.request.netns = lab_netns();
	assert_ok(lab_pod_attach(lab->engine, &pod, &err));
	assert_string_equal(lab_ip(&pod), address);
	assert_true(lab_ping(pod.netns, GATEWAY, LAB_TIMEOUT_MS));
	assert_false(lab_ping(old, GATEWAY, 50));
	lab_pod_remove(lab->engine, &pod);
}

static void test_detach_twice_and_without_namespace(void **state)
{
	struct lab *lab = *state;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	assert_ok(lab->engine->ops->detach(lab->engine, &pod.request, &err));
	assert_ok(lab->engine->ops->detach(lab->engine, &pod.request, &err));
	close_fd(&pod.netns);
	pod.request.netns = -1;
	assert_ok(lab->engine->ops->detach(lab->engine, &pod.request, &err));
	id_generate(pod.id); /* a pod that never was */
	assert_ok(lab->engine->ops->detach(lab->engine, &pod.request, &err));
}

/* Nobody answers for an address that is free, even while the namespace lives on; and it can be attached again. */
static void test_detached_pod_is_silent(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	assert_true(lab_ping(host, lab_ip(&pod), LAB_TIMEOUT_MS));
	assert_ok(lab->engine->ops->detach(lab->engine, &pod.request, &err));
	assert_false(lab_ping(host, lab_ip(&pod), 50));
	assert_ok(lab_pod_attach(lab->engine, &pod, &err));
	assert_true(lab_ping(host, lab_ip(&pod), LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &pod);
}

/* ---- what somebody takes away ---- */

static bool notices(struct lab *lab)
{
	return lab_readable(lab->engine->ops->watch_fd(lab->engine), LAB_TIMEOUT_MS);
}

static void delete_bridge(void)
{
	_cleanup_netlink_ struct netlink *nl = NULL;

	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	assert_ok(link_delete(nl, (int)if_nametoindex(LAB_BRIDGE), &err));
}

static void take_port_out(const struct lab_pod *pod)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	char name[IFNAMSIZ];

	(void)snprintf(name, sizeof(name), "mp%.11s", pod->id);
	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	assert_ok(link_join_bridge(nl, name, 0, &err));
}

static void take_gateway_away(void)
{
	struct ipv4_link link = { .name = LAB_BRIDGE,
				  .address = ntohl(lab_address(GATEWAY, 0).sin_addr.s_addr),
				  .prefix_length = 16 };
	_cleanup_netlink_ struct netlink *nl = NULL;

	link.index = (int)if_nametoindex(LAB_BRIDGE);
	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	assert_ok(link_remove_address(nl, &link, &err));
}

/* Running pods are on the bridge again as they were; what reaches them is the kernel's notification, and ready() does the rest. */
static void test_what_is_taken_away_is_put_back(void **state)
{
	struct lab *lab = *state;
	_cleanup_fd_ int host = lab_self();
	struct lab_pod a, b, late;

	lab_pod_add(lab->engine, &a, "a");
	lab_pod_add(lab->engine, &b, "b");
	assert_ok(lab->engine->ops->ready(lab->engine, &err));
	for (int round = 0; round < 4; round++) {
		if (round == 1)
			take_port_out(&a);
		else if (round == 2)
			take_gateway_away();
		else
			delete_bridge();
		assert_true(notices(lab));
		assert_false(lab_ping(a.netns, GATEWAY, 50));
		assert_ok(lab->engine->ops->ready(lab->engine, &err));
		assert_false(lab_readable(lab->engine->ops->watch_fd(lab->engine), 0));
		assert_udp(a.netns, lab_ip(&a), b.netns, lab_ip(&b));
		assert_udp(host, GATEWAY, a.netns, lab_ip(&a));
		assert_udp(b.netns, lab_ip(&b), host, GATEWAY);
	}
	delete_bridge(); /* an attach that comes first puts the others back too */
	lab_pod_add(lab->engine, &late, "late");
	assert_udp(late.netns, lab_ip(&late), a.netns, lab_ip(&a));
	lab_pod_remove(lab->engine, &a);
	lab_pod_remove(lab->engine, &b);
	lab_pod_remove(lab->engine, &late);
}

/* ready() says why as long as it cannot be put back, and tries again each time. */
static void test_a_bridge_that_cannot_be_put_back(void **state)
{
	struct bridge_spec blocker = { .name = LAB_BRIDGE, .address = 0x0a0a0a0a, .mtu = 1500 };
	_cleanup_netlink_ struct netlink *nl = NULL;
	struct lab *lab = *state;
	struct ipv4_link link = { .name = LAB_BRIDGE, .address = 0x0a0a0a0a, .prefix_length = 24 };
	struct lab_pod a, b;

	lab_pod_add(lab->engine, &a, "a");
	lab_pod_add(lab->engine, &b, "b");
	delete_bridge();
	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	assert_ok(link_create_bridge(nl, &blocker, &err));
	link.index = (int)if_nametoindex(LAB_BRIDGE);
	assert_ok(link_bring_up(nl, &link, &err));
	for (int i = 0; i < 2; i++)
		assert_fails(lab->engine->ops->ready(lab->engine, &err), ERR_EXISTS);
	delete_bridge();
	assert_ok(lab->engine->ops->ready(lab->engine, &err));
	assert_udp(a.netns, lab_ip(&a), b.netns, lab_ip(&b));
	lab_pod_remove(lab->engine, &a);
	lab_pod_remove(lab->engine, &b);
}

/* A daemon that starts where the bridge was deleted meanwhile. */
static void test_a_bridge_that_went_between_two_runs(void **state)
{
	struct lab *lab = *state;
	struct lab_pod a, b;

	lab_pod_add(lab->engine, &a, "a");
	lab_pod_add(lab->engine, &b, "b");
	lab->engine->ops->close(lab->engine);
	delete_bridge();
	lab->engine = lab_open(lab->dir, LAB_CIDR);
	assert_ok(lab->engine->ops->ready(lab->engine, &err));
	assert_udp(a.netns, lab_ip(&a), b.netns, lab_ip(&b));
	lab_pod_remove(lab->engine, &a);
	lab_pod_remove(lab->engine, &b);
}

/* Pods that come and go are no news: a node full of them is not woken, and nothing is looked at twice. */
static void test_pods_that_end_are_no_damage(void **state)
{
	struct lab *lab = *state;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	assert_false(lab_readable(lab->engine->ops->watch_fd(lab->engine), 0));
	lab_pod_remove(lab->engine, &pod);
	assert_true(notices(lab)); /* the link's end, which it reads and forgets */
	sleep(1);
	assert_false(link_watch_drain(lab->engine->ops->watch_fd(lab->engine), (int)if_nametoindex(LAB_BRIDGE)));
}

static void test_bad_requests(void **state)
{
	static const char *const bad_ids[] = { "", "web", "../../etc/passwd", "0123456789ABCDEF" };
	struct lab *lab = *state;
	_cleanup_fd_ int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int host = lab_self();
	struct lab_pod pod;

	lab_pod_init(&pod, "pod");
	for (size_t i = 0; i < ARRAY_SIZE(bad_ids); i++) {
		pod.request.pod_id = bad_ids[i];
		assert_fails(lab_pod_attach(lab->engine, &pod, &err), ERR_INVALID);
		assert_fails(lab->engine->ops->detach(lab->engine, &pod.request, &err), ERR_INVALID);
	}
	pod.request.pod_id = pod.id;
	pod.request.netns = plain;
	assert_fails(lab_pod_attach(lab->engine, &pod, &err), ERR_INVALID);
	assert_fails(lab->engine->ops->detach(lab->engine, &pod.request, &err), ERR_INVALID);
	pod.request.netns = -1;
	assert_fails(lab_pod_attach(lab->engine, &pod, &err), ERR_INVALID);
	pod.request.netns = host;
	assert_fails(lab_pod_attach(lab->engine, &pod, &err), ERR_INVALID);
	(void)close(pod.netns);
}

/* Destroying under pods is refused, and takes nothing away. */
static void test_destroy_with_pods(void **state)
{
	struct lab *lab = *state;
	struct lab_pod pod;

	lab_pod_add(lab->engine, &pod, "pod");
	assert_fails(net_bridge_destroy(lab->engine, &err), ERR_STATE);
	assert_true(lab_ping(pod.netns, GATEWAY, LAB_TIMEOUT_MS));
	lab_pod_remove(lab->engine, &pod);
}

static void test_describe(void **state)
{
	struct lab *lab = *state;
	char text[512] = "";
	FILE *out = fmemopen(text, sizeof(text) - 1, "w");

	assert_non_null(out);
	lab->engine->ops->describe(lab->engine, out);
	(void)fclose(out);
	assert_non_null(strstr(text, LAB_BRIDGE));
	assert_non_null(strstr(text, "10.213.0.1/16"));
}

#define lab_test(function) cmocka_unit_test_setup_teardown(function, lab_setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(test_pods_reach_each_other),
		lab_test(test_host_and_pod_reach_each_other),
		lab_test(test_cve_2020_10749_no_ipv6_on_the_link),
		lab_test(test_mtu_and_mac),
		lab_test(test_configured_mtu),
		lab_test(test_bridge_keeps_its_mac),
		lab_test(test_first_packet_is_answered_at_once),
		lab_test(test_first_packet_between_pods),
		cmocka_unit_test(test_first_packet_of_the_first_pod),
		lab_test(test_first_packet_bothers_no_other_pod),
		lab_test(test_pod_cannot_take_the_mac_of_another),
		lab_test(test_attach_is_idempotent),
		lab_test(test_attach_after_restart),
		lab_test(test_attach_in_new_namespace),
		lab_test(test_detach_twice_and_without_namespace),
		lab_test(test_detached_pod_is_silent),
		lab_test(test_what_is_taken_away_is_put_back),
		lab_test(test_a_bridge_that_cannot_be_put_back),
		lab_test(test_a_bridge_that_went_between_two_runs),
		lab_test(test_pods_that_end_are_no_damage),
		lab_test(test_bad_requests),
		lab_test(test_destroy_with_pods),
		lab_test(test_describe),
	};

	if (!lab_enter())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
