/* The network on a host that is not empty: names and ranges that are taken, left-overs, full ranges, and steps that fail. */
#include "lab.h"

#include <linux/rtnetlink.h>

#include "net/ipam.h"
#include "net/nft.h"
#include "net/pod_link.h"

#define GATEWAY "10.213.0.1"
#define WIRE_ADDRESS 0xc0000201 /* 192.0.2.1 */

struct host {
	struct netlink *nl;
	char dir[64];
	struct lab_counts before;
};

static int host_setup(void **state)
{
	struct host *host = calloc(1, sizeof(*host));

	assert_non_null(host);
	assert_true(lab_enter());
	host->before = lab_take_counts();
	lab_make_dir(host->dir);
	assert_ok(netlink_open(NETLINK_ROUTE, &host->nl, &err));
	*state = host;
	return 0;
}

static void remove_link(struct host *host, const char *name)
{
	int index = (int)if_nametoindex(name);

	if (index != 0)
		assert_ok(link_delete(host->nl, index, &err));
}

/* Beside the directory of state, which must be empty in the end. */
static void make_fault_path(const struct host *host, char path[96])
{
	(void)snprintf(path, 96, "%s.fault", host->dir);
}

static int host_teardown(void **state)
{
	struct error ignored = ERROR_INIT;
	struct host *host = *state;
	struct lab_counts before = host->before;
	char armed[96];

	(void)unsetenv("MONOPOD_FAULT_FILE");
	make_fault_path(host, armed);
	(void)unlink(armed);
	(void)io_remove_tree(AT_FDCWD, host->dir, &ignored);
	netlink_close(host->nl);
	free(host);
	lab_wait_links(before.links);
	lab_same_counts(before, lab_take_counts());
	return 0;
}

static void make_bridge(struct host *host, const char *name, uint32_t address, uint8_t length)
{
	struct bridge_spec spec = { .name = name, .address = 0xc6336401 /* a MAC of its own */, .mtu = 1500 };
	struct ipv4_link link = { .name = name, .address = address, .prefix_length = length };

	assert_ok(link_create_bridge(host->nl, &spec, &err));
	link.index = (int)if_nametoindex(name);
	assert_ok(link_bring_up(host->nl, &link, &err));
}

/* Ready says why not, attach fails the same way, and neither leaves a thing. */
static void assert_refused(struct host *host, enum error_code code, const char *words)
{
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	struct lab_counts before = lab_take_counts();
	struct error err = ERROR_INIT, ready_err = ERROR_INIT;
	struct lab_pod pod;

	assert_int_equal(engine->ops->ready(engine, &ready_err), -1);
	assert_int_equal(ready_err.code, code);
	assert_non_null(strstr(ready_err.text, words));
	lab_pod_init(&pod, "pod");
	assert_int_equal(lab_pod_attach(engine, &pod, &err), -1);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, words));
	assert_int_equal(lab_take_counts().links, before.links);
	(void)close(pod.netns);
	engine->ops->close(engine);
}

static void drop_table(void)
{
	static const struct nft_network network = { .table = "monopod-" LAB_BRIDGE };
	_cleanup_netlink_ struct netlink *nl = NULL;

	assert_ok(netlink_open(NETLINK_NETFILTER, &nl, &err));
	assert_ok(nft_delete_table(nl, &network, &err));
}

static void test_name_taken_by_another_kind_of_link(void **state)
{
	struct host *host = *state;
	_cleanup_fd_ int netns = lab_netns();
	struct veth_spec spec = { .name = LAB_BRIDGE, .peer_name = "eth0", .peer_netns = netns, .mtu = 1500 };

	assert_ok(link_create_veth(host->nl, &spec, &err));
	assert_refused(host, ERR_EXISTS, "is not a bridge");
	remove_link(host, LAB_BRIDGE);
	drop_table();
}

static void test_bridge_with_another_address(void **state)
{
	struct host *host = *state;

	make_bridge(host, LAB_BRIDGE, WIRE_ADDRESS, 24);
	assert_refused(host, ERR_EXISTS, "another address");
	remove_link(host, LAB_BRIDGE);
	drop_table();
}

/* A bridge that somebody made for us is used, whatever its MAC. */
static void test_bridge_made_by_somebody_else(void **state)
{
	struct host *host = *state;
	struct net_engine *engine;
	struct lab_pod pod;

	make_bridge(host, LAB_BRIDGE, 0x0ad50001, 16);
	engine = lab_open(host->dir, LAB_CIDR);
	lab_pod_add(engine, &pod, "pod");
	assert_true(lab_ping(pod.netns, GATEWAY, LAB_TIMEOUT_MS));
	lab_pod_remove(engine, &pod);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

/* A daemon that died between making the bridge and giving it its address. */
static void test_half_made_bridge(void **state)
{
	struct host *host = *state;
	struct bridge_spec spec = { .name = LAB_BRIDGE, .address = 0x0ad50001, .mtu = 1500 };
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	struct lab_pod pod;

	assert_ok(link_create_bridge(host->nl, &spec, &err));
	assert_ok(engine->ops->ready(engine, &err));
	lab_pod_add(engine, &pod, "pod");
	assert_true(lab_ping(pod.netns, GATEWAY, LAB_TIMEOUT_MS));
	lab_pod_remove(engine, &pod);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

/* The bridge vanished under us: the next pod brings it back. */
static void test_bridge_deleted(void **state)
{
	struct host *host = *state;
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	struct lab_pod a, b;

	lab_pod_add(engine, &a, "a");
	remove_link(host, LAB_BRIDGE);
	lab_pod_add(engine, &b, "b");
	assert_true(lab_ping(b.netns, GATEWAY, LAB_TIMEOUT_MS));
	lab_pod_remove(engine, &a);
	lab_pod_remove(engine, &b);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

static void test_overlap_with_an_address(void **state)
{
	struct host *host = *state;

	make_bridge(host, "netlabx0", 0x0ad50501 /* 10.213.5.1 */, 24);
	assert_refused(host, ERR_EXISTS, "10.213.0.0/16 overlaps the network 10.213.5.0/24 of link netlabx0");
	remove_link(host, "netlabx0");
	drop_table();
	make_bridge(host, "netlabx0", 0x0a010101 /* 10.1.1.1 */, 8);
	assert_refused(host, ERR_EXISTS, "overlaps the network 10.0.0.0/8 of link netlabx0");
	remove_link(host, "netlabx0");
	drop_table();
}

static void add_route(struct host *host, int link, uint32_t destination, uint8_t length)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add route");
	struct rtmsg *body = mnl_nlmsg_put_extra_header(m, sizeof(*body));

	*body = (struct rtmsg){ .rtm_family = AF_INET,
				.rtm_dst_len = length,
				.rtm_table = RT_TABLE_MAIN,
				.rtm_protocol = RTPROT_STATIC,
				.rtm_scope = RT_SCOPE_LINK,
				.rtm_type = RTN_UNICAST };
	mnl_attr_put_u32(m, RTA_DST, htonl(destination));
	mnl_attr_put_u32(m, RTA_OIF, (uint32_t)link);
	assert_ok(nl_batch_run(host->nl, &b, &err));
}

static void test_overlap_with_a_route(void **state)
{
	struct host *host = *state;
	struct net_engine *engine;
	struct lab_pod pod;

	make_bridge(host, "netlabx0", WIRE_ADDRESS, 24);
	add_route(host, (int)if_nametoindex("netlabx0"), 0x0ad50700 /* 10.213.7.0 */, 24);
	assert_refused(host, ERR_EXISTS, "overlaps the route 10.213.7.0/24 of link netlabx0");
	remove_link(host, "netlabx0");
	/* A wider route is fine: ours is the narrower one. */
	make_bridge(host, "netlabx0", WIRE_ADDRESS, 24);
	add_route(host, (int)if_nametoindex("netlabx0"), 0x0a000000 /* 10.0.0.0 */, 8);
	engine = lab_open(host->dir, LAB_CIDR);
	lab_pod_add(engine, &pod, "pod");
	lab_pod_remove(engine, &pod);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
	remove_link(host, "netlabx0");
}

static void test_bad_configuration(void **state)
{
	static const struct net_bridge_config bad[] = {
		{ "netlab0", "10.213.0.0/31", "auto", "/tmp/x" },    { "netlab0", "10.213.0.0/7", "auto", "/tmp/x" },
		{ "netlab0", "10.213.0.1/16", "auto", "/tmp/x" },    { "netlab0", "10.213.0.0", "auto", "/tmp/x" },
		{ "netlab0", "fd00::/64", "auto", "/tmp/x" },        { "netlab0", "127.0.0.0/16", "auto", "/tmp/x" },
		{ "netlab0", "224.0.0.0/16", "auto", "/tmp/x" },     { "", "10.213.0.0/16", "auto", "/tmp/x" },
		{ "../netlab0", "10.213.0.0/16", "auto", "/tmp/x" }, { "sixteen-letters-", "10.213.0.0/16", "auto", "/tmp/x" },
		{ "netlab0", "10.213.0.0/16", "", "/tmp/x" },        { "netlab0", "10.213.0.0/16", "1500x", "/tmp/x" },
		{ "netlab0", "10.213.0.0/16", "-1", "/tmp/x" },      { "netlab0", "10.213.0.0/16", "67", "/tmp/x" },
		{ "netlab0", "10.213.0.0/16", "65536", "/tmp/x" },   { "netlab0", "10.213.0.0/16", "auto ", "/tmp/x" },
	};
	struct net_engine *engine;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(net_bridge_open(&bad[i], &engine, &err), ERR_INVALID);
}

/* A /29 has five addresses for pods. When one comes free, it is used again, and not before its turn. */
static void test_exhaustion_and_recovery(void **state)
{
	struct host *host = *state;
	struct net_engine *engine = lab_open(host->dir, "10.213.1.0/29");
	struct lab_pod pods[5], late;
	struct lab_counts full;

	for (size_t i = 0; i < ARRAY_SIZE(pods); i++)
		lab_pod_add(engine, &pods[i], "pod");
	full = lab_take_counts();
	lab_pod_init(&late, "late");
	assert_fails(lab_pod_attach(engine, &late, &err), ERR_EXHAUSTED);
	lab_same_counts(full, lab_take_counts());
	lab_pod_remove(engine, &pods[1]);
	lab_pod_remove(engine, &pods[3]);
	assert_ok(lab_pod_attach(engine, &late, &err));
	assert_string_equal(lab_ip(&late), lab_ip(&pods[1]));
	assert_true(lab_ping(late.netns, "10.213.1.1", LAB_TIMEOUT_MS));
	assert_true(lab_ping(late.netns, lab_ip(&pods[0]), LAB_TIMEOUT_MS));
	lab_pod_remove(engine, &late);
	lab_pod_add(engine, &late, "later");
	assert_string_equal(lab_ip(&late), lab_ip(&pods[3]));
	lab_pod_remove(engine, &late);
	lab_pod_remove(engine, &pods[0]);
	lab_pod_remove(engine, &pods[2]);
	lab_pod_remove(engine, &pods[4]);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

static void arm(const char *path, const char *step)
{
	char point[64];
	int len = snprintf(point, sizeof(point), "net_attach/%s", step);

	assert_ok(io_replace_file(AT_FDCWD, path, point, (size_t)len, 0600, &err));
}

static size_t count_records(const char *dir)
{
	struct ipam *ipam = NULL;
	struct ipv4_prefix range = { .base = 0x0ad50000, .length = 16 };
	size_t used;

	assert_ok(ipam_open(dir, &range, &ipam, &err));
	used = ipam_used(ipam);
	ipam_close(ipam);
	return used;
}

/* Each step of an attach fails once: nothing of the pod stays, and the next attach works. */
static void test_each_step_fails_once(void **state)
{
#ifdef MONOPOD_FAULTS
	static const char *const steps[] = { "table", "bridge", "address", "link", "configure", "ports" };
	static const struct port_mapping ports[] = { { NET_TCP, 80, 8080, "" } };
	struct host *host = *state;
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	char armed[96];
	struct lab_pod first, pod;

	lab_pod_add(engine, &first, "first");
	make_fault_path(host, armed);
	assert_int_equal(setenv("MONOPOD_FAULT_FILE", armed, 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct lab_counts before = lab_take_counts();
		struct error refusal = ERROR_INIT;

		lab_pod_init(&pod, "pod");
		pod.request.ports = ports;
		pod.request.n_ports = 1;
		arm(armed, steps[i]);
		assert_int_equal(lab_pod_attach(engine, &pod, &refusal), -1);
		assert_non_null(strstr(refusal.text, steps[i]));
		lab_wait_links(before.links);
		lab_same_counts(before, lab_take_counts());
		assert_int_equal(count_records(host->dir), 1);
		assert_int_equal(unlink(armed), 0);
		assert_ok(lab_pod_attach(engine, &pod, &err));
		lab_pod_remove(engine, &pod);
		lab_wait_links(before.links);
	}
	assert_int_equal(unsetenv("MONOPOD_FAULT_FILE"), 0);
	lab_pod_remove(engine, &first);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
#else
	(void)state;
	skip(); /* built without -DMONOPOD_FAULTS=ON */
#endif
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sweep(struct net_engine *engine, struct lab_pod *const *live, size_t n)
{
	const char *ids[8];

	assert_true(n <= ARRAY_SIZE(ids));
	for (size_t i = 0; i < n; i++)
		ids[i] = live[i]->id;
	qsort(ids, n, sizeof(ids[0]), compare_ids);
	assert_ok(engine->ops->sweep(engine, ids, n, &err));
}

/* A kernel without nftables: the engine opens, says why it is not ready, attaches nothing, and detaches what never was. */
static void test_no_nftables(void **state)
{
#ifdef MONOPOD_FAULTS
	struct host *host = *state;
	struct net_engine *engine;
	char armed[96];
	struct lab_pod pod;

	make_fault_path(host, armed);
	assert_ok(io_replace_file(AT_FDCWD, armed, "net_nft/load", strlen("net_nft/load"), 0600, &err));
	assert_int_equal(setenv("MONOPOD_FAULT_FILE", armed, 1), 0);
	engine = lab_open(host->dir, LAB_CIDR);
	lab_pod_init(&pod, "pod");
	assert_fails(engine->ops->ready(engine, &err), ERR_INTERNAL);
	assert_fails(lab_pod_attach(engine, &pod, &err), ERR_INTERNAL);
	assert_ok(engine->ops->detach(engine, &pod.request, &err));
	sweep(engine, NULL, 0);
	assert_int_equal(unlink(armed), 0);
	/* The module was loaded meanwhile. */
	assert_ok(engine->ops->ready(engine, &err));
	assert_ok(lab_pod_attach(engine, &pod, &err));
	lab_pod_remove(engine, &pod);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
#else
	(void)state;
	skip(); /* built without -DMONOPOD_FAULTS=ON */
#endif
}

/* The namespace has an eth0 already, from whomever: that is said, and it stays. */
static void test_namespace_with_a_link(void **state)
{
	struct host *host = *state;
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	struct veth_spec spec = { .name = LAB_WIRE, .peer_name = "eth0", .mtu = 1500 };
	struct error refusal = ERROR_INIT;
	struct lab_pod pod;

	lab_pod_init(&pod, "pod");
	spec.peer_netns = pod.netns;
	assert_ok(link_create_veth(host->nl, &spec, &err));
	assert_int_equal(lab_pod_attach(engine, &pod, &refusal), -1);
	assert_int_equal(refusal.code, ERR_EXISTS);
	assert_non_null(strstr(refusal.text, "has a link eth0 already"));
	assert_int_not_equal(if_nametoindex(LAB_WIRE), 0);
	assert_int_equal(count_records(host->dir), 0);
	remove_link(host, LAB_WIRE);
	(void)close(pod.netns);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

/* Somebody's link has the name that this pod's would get: it is left alone and another name is found. */
static void test_link_name_collision(void **state)
{
	struct host *host = *state;
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	_cleanup_fd_ int netns = lab_netns();
	struct veth_spec spec = { .peer_name = "eth0", .peer_netns = netns, .mtu = 1500 };
	struct lab_pod pod;
	char name[IFNAMSIZ], second[IFNAMSIZ];

	lab_pod_init(&pod, "pod");
	(void)snprintf(name, sizeof(name), "mp%.11s", pod.id);
	(void)snprintf(second, sizeof(second), "mp%.11s", pod.id + 11);
	spec.name = name;
	assert_ok(link_create_veth(host->nl, &spec, &err));
	assert_ok(lab_pod_attach(engine, &pod, &err));
	assert_int_not_equal(if_nametoindex(second), 0);
	assert_ok(lab_pod_attach(engine, &pod, &err));
	assert_true(lab_ping(pod.netns, GATEWAY, LAB_TIMEOUT_MS));
	lab_pod_remove(engine, &pod);
	assert_int_not_equal(if_nametoindex(name), 0);
	remove_link(host, name);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

/* After a crash: what belongs to pods that are no more goes, links in namespaces that live on too; the rest stays. */
static void test_sweep(void **state)
{
	static const struct port_mapping dead_ports[] = { { NET_TCP, 80, 8080, "" }, { NET_UDP, 80, 8080, "127.0.0.1" } };
	static const struct port_mapping live_ports[] = { { NET_TCP, 80, 8081, "" } };
	struct host *host = *state;
	struct net_engine *engine = lab_open(host->dir, LAB_CIDR);
	_cleanup_fd_ int netns = lab_netns(), stranger = lab_netns();
	struct veth_spec anonymous = { .name = "mp0123456789a", .peer_name = "eth0", .peer_netns = netns, .mtu = 1500 };
	struct veth_spec foreign = { .name = "tap0123456789", .peer_name = "eth0", .peer_netns = stranger, .mtu = 1500 };
	struct veth_spec lookalike = { .name = "mp0123456789b", .peer_name = "eth1", .peer_netns = stranger, .mtu = 1500 };
	struct lab_pod live[2], dead;
	struct lab_pod *const kept[] = { &live[0], &live[1] };

	lab_pod_add(engine, &live[0], "live");
	lab_pod_init(&live[1], "live with ports");
	live[1].request.ports = live_ports;
	live[1].request.n_ports = 1;
	assert_ok(lab_pod_attach(engine, &live[1], &err));
	lab_pod_init(&dead, "dead");
	dead.request.ports = dead_ports;
	dead.request.n_ports = 2;
	assert_ok(lab_pod_attach(engine, &dead, &err));
	anonymous.bridge = foreign.bridge = (int)if_nametoindex(LAB_BRIDGE);
	assert_ok(link_create_veth(host->nl, &anonymous, &err)); /* its maker died at once */
	assert_ok(link_create_veth(host->nl, &foreign, &err));   /* on our bridge, but not ours */
	assert_ok(link_create_veth(host->nl, &lookalike, &err)); /* a name like ours, but not on our bridge */
	engine->ops->close(engine);

	engine = lab_open(host->dir, LAB_CIDR);
	sweep(engine, kept, 2);
	assert_int_equal(if_nametoindex(anonymous.name), 0);
	assert_int_not_equal(if_nametoindex(foreign.name), 0);
	assert_int_not_equal(if_nametoindex(lookalike.name), 0);
	assert_int_equal(count_records(host->dir), 2);
	assert_true(lab_ping(live[0].netns, lab_ip(&live[1]), LAB_TIMEOUT_MS));
	assert_false(lab_ping(live[0].netns, lab_ip(&dead), 50));
	assert_ok(lab_pod_attach(engine, &live[1], &err));
	/* The dead pod's ports are free again. */
	assert_ok(lab_pod_attach(engine, &dead, &err));
	sweep(engine, kept, 0);
	assert_int_equal(count_records(host->dir), 0);

	(void)close(dead.netns);
	(void)close(live[0].netns);
	(void)close(live[1].netns);
	remove_link(host, foreign.name);
	remove_link(host, lookalike.name);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
}

static void write_file(const char *dir, const char *name, const char *content)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_ok(io_replace_file(AT_FDCWD, path, content, strlen(content), 0600, &err));
}

/* Damaged and foreign files hinder nobody: damaged records keep their address until the sweep, foreign files stay. */
static void test_broken_state(void **state)
{
	struct host *host = *state;
	struct net_engine *engine;
	struct lab_pod pod;
	char path[128];

	write_file(host->dir, "10.213.0.2", "");
	write_file(host->dir, "10.213.0.3", "not an id\r\neth0");
	write_file(host->dir, "10.213.0.1", "the gateway's");
	write_file(host->dir, "192.0.2.9", "of another range");
	write_file(host->dir, "lock", "");
	write_file(host->dir, "last_reserved_ip.0", "nonsense");
	(void)snprintf(path, sizeof(path), "%s/10.213.0.4", host->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/etc/shadow", path), 0);
	engine = lab_open(host->dir, LAB_CIDR);
	lab_pod_add(engine, &pod, "pod");
	assert_string_equal(lab_ip(&pod), "10.213.0.5");
	sweep(engine, (struct lab_pod *const[]){ &pod }, 1);
	assert_int_equal(count_records(host->dir), 1);
	assert_int_equal(access(path, F_OK), -1);
	lab_pod_remove(engine, &pod);
	assert_ok(net_bridge_destroy(engine, &err));
	engine->ops->close(engine);
	(void)snprintf(path, sizeof(path), "%s/192.0.2.9", host->dir);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_loopback_alone(void **state)
{
	_cleanup_fd_ int netns = lab_netns();

	(void)state;
	assert_false(lab_ping(netns, "127.0.0.1", 50));
	assert_ok(net_loopback_up(netns, &err));
	assert_true(lab_ping(netns, "127.0.0.1", LAB_TIMEOUT_MS));
	assert_ok(net_loopback_up(netns, &err));
	assert_fails(net_loopback_up(-1, &err), ERR_INTERNAL);
}

#define host_test(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		host_test(test_name_taken_by_another_kind_of_link),
		host_test(test_bridge_with_another_address),
		host_test(test_bridge_made_by_somebody_else),
		host_test(test_half_made_bridge),
		host_test(test_bridge_deleted),
		host_test(test_overlap_with_an_address),
		host_test(test_overlap_with_a_route),
		host_test(test_bad_configuration),
		host_test(test_exhaustion_and_recovery),
		host_test(test_each_step_fails_once),
		host_test(test_no_nftables),
		host_test(test_namespace_with_a_link),
		host_test(test_link_name_collision),
		host_test(test_sweep),
		host_test(test_broken_state),
		host_test(test_loopback_alone),
	};

	if (!lab_enter())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
