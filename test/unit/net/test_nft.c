/* The nftables table by itself: transactions, dry runs, full maps, and hosts that drop. */
#include "lab.h"

#include <libnftnl/chain.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>

#include "net/nft.h"
#include "net/ports.h"

static const struct nft_network network = {
	.table = "monopod-" LAB_BRIDGE,
	.bridge = LAB_BRIDGE,
	.range = { .base = 0x0ad50000, .length = 16 },
};

static int setup(void **state)
{
	struct netlink *nl = NULL;

	assert_true(lab_enter());
	assert_ok(netlink_open(NETLINK_NETFILTER, &nl, &err));
	*state = nl;
	return 0;
}

static int teardown(void **state)
{
	netlink_close(*state);
	return 0;
}

static struct nft_port make_port(uint16_t number)
{
	struct nft_port port = {
		.protocol = IPPROTO_TCP,
		.host_port = number,
		.pod_port = 80,
		.pod_address = 0x0ad50002,
	};

	id_generate(port.pod_id);
	return port;
}

static int count_port(const struct nft_port *port, void *arg, struct error *err)
{
	(void)port;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static unsigned count_ports(struct netlink *nl)
{
	unsigned n = 0;

	assert_ok(nft_each_port(nl, &network, count_port, &n, &err));
	return n;
}

static void test_dry_run_changes_nothing(void **state)
{
	struct nft_port twice[2] = { make_port(8080), make_port(8080) };

	assert_ok(nft_program(*state, &network, twice, 1, false, &err));
	assert_fails(nft_find_table(*state, &network, &err), ERR_NOT_FOUND);
	assert_fails(nft_program(*state, &network, twice, 2, false, &err), ERR_EXISTS);
	assert_int_equal(lab_take_counts().tables, 0);
	assert_int_equal(count_ports(*state), 0);
}

/* A transaction that fails half way leaves what was there before. */
static void test_failed_transaction_changes_nothing(void **state)
{
	struct nft_port first = make_port(8080), twice[2] = { make_port(8081), make_port(8080) };

	assert_ok(nft_program(*state, &network, &first, 1, true, &err));
	assert_ok(nft_find_table(*state, &network, &err));
	assert_fails(nft_add_ports(*state, &network, twice, 2, &err), ERR_EXISTS);
	assert_int_equal(count_ports(*state), 1);
	assert_fails(nft_remove_ports(*state, &network, twice, 2, &err), ERR_NOT_FOUND);
	assert_int_equal(count_ports(*state), 1);
	twice[0].host_port = 8080;
	assert_fails(nft_program(*state, &network, twice, 2, true, &err), ERR_EXISTS);
	assert_int_equal(count_ports(*state), 1);
	assert_ok(nft_remove_ports(*state, &network, &first, 1, &err));
	assert_int_equal(count_ports(*state), 0);
	assert_ok(nft_delete_table(*state, &network, &err));
	assert_ok(nft_delete_table(*state, &network, &err));
	assert_int_equal(lab_take_counts().tables, 0);
}

/* As many ports as we ever keep go into one transaction, and come back out of the kernel. */
static void test_full_maps(void **state)
{
	struct nft_port *ports = calloc(PORTS_MAX, sizeof(*ports));
	struct ports loaded = { 0 };

	assert_non_null(ports);
	for (size_t i = 0; i < PORTS_MAX; i++) {
		ports[i] = make_port((uint16_t)(i + 1));
		ports[i].host_address = i % 2 ? 0xc0000201 : 0;
	}
	assert_ok(nft_program(*state, &network, ports, PORTS_MAX, true, &err));
	assert_int_equal(count_ports(*state), PORTS_MAX);
	assert_ok(nft_remove_ports(*state, &network, ports, PORTS_MAX / 2, &err));
	assert_ok(ports_load(&loaded, *state, &network, &err));
	assert_int_equal(loaded.n, PORTS_MAX / 2);
	ports_release(&loaded);
	free(ports);
}

static void add_forward_chain(struct netlink *nl, uint8_t family, uint32_t policy)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m;
	struct nlattr *hook;

	nl_batch_nft_begin(&b);
	m = nl_batch_add_nft(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, "add table");
	((struct nfgenmsg *)mnl_nlmsg_get_payload(m))->nfgen_family = family;
	mnl_attr_put_strz(m, NFTA_TABLE_NAME, "site");
	m = nl_batch_add_nft(&b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add chain");
	((struct nfgenmsg *)mnl_nlmsg_get_payload(m))->nfgen_family = family;
	mnl_attr_put_strz(m, NFTA_CHAIN_TABLE, "site");
	mnl_attr_put_strz(m, NFTA_CHAIN_NAME, "walls");
	mnl_attr_put_strz(m, NFTA_CHAIN_TYPE, "filter");
	mnl_attr_put_u32(m, NFTA_CHAIN_POLICY, htonl(policy));
	hook = mnl_attr_nest_start(m, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(m, NFTA_HOOK_HOOKNUM, htonl(NF_INET_FORWARD));
	mnl_attr_put_u32(m, NFTA_HOOK_PRIORITY, 0);
	mnl_attr_nest_end(m, hook);
	nl_batch_nft_end(&b);
	assert_ok(nl_batch_run(nl, &b, &err));
}

static void test_host_that_drops_what_it_forwards(void **state)
{
	static const uint8_t families[] = { NFPROTO_IPV4, NFPROTO_INET };
	char path[NFT_CHAIN_PATH_SIZE];

	for (size_t i = 0; i < sizeof(families); i++) {
		struct netlink *nl = NULL;

		assert_true(lab_enter());
		assert_ok(netlink_open(NETLINK_NETFILTER, &nl, &err));
		assert_ok(nft_program(nl, &network, NULL, 0, true, &err));
		assert_ok(nft_find_forward_drop(nl, path, &err));
		assert_string_equal(path, "");
		add_forward_chain(nl, families[i], NF_DROP);
		assert_ok(nft_find_forward_drop(nl, path, &err));
		assert_string_equal(path, "site/walls");
		netlink_close(nl);
	}
	(void)state;
}

static void test_host_that_accepts_what_it_forwards(void **state)
{
	char path[NFT_CHAIN_PATH_SIZE];

	add_forward_chain(*state, NFPROTO_INET, NF_ACCEPT);
	assert_ok(nft_find_forward_drop(*state, path, &err));
	assert_string_equal(path, "");
}

#define nft_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		nft_test(test_dry_run_changes_nothing),
		nft_test(test_failed_transaction_changes_nothing),
		nft_test(test_full_maps),
		nft_test(test_host_that_drops_what_it_forwards),
		nft_test(test_host_that_accepts_what_it_forwards),
	};

	if (!lab_enter())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
