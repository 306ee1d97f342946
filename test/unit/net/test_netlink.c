/* Batches, answers and errors of netlink sockets, in a namespace of our own. */
#include "lab.h"

#include <linux/rtnetlink.h>

static int setup(void **state)
{
	struct netlink *nl = NULL;

	assert_true(lab_enter());
	assert_ok(netlink_open(NETLINK_ROUTE, &nl, &err));
	*state = nl;
	return 0;
}

static int teardown(void **state)
{
	netlink_close(*state);
	return 0;
}

static void add_deletion(struct nl_batch *b, int index)
{
	struct nlmsghdr *m = nl_batch_add(b, RTM_DELLINK, 0, "delete link %d", index);

	((struct ifinfomsg *)mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg)))->ifi_index = index;
}

/* The first failure is reported by name, and what the later messages brought is not taken for the next batch's. */
static void test_first_failure_is_reported(void **state)
{
	for (int round = 0; round < 3; round++) {
		_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
		struct error err = ERROR_INIT;

		add_deletion(&b, 901);
		add_deletion(&b, 902);
		add_deletion(&b, 903);
		assert_int_equal(nl_batch_run(*state, &b, &err), -1);
		assert_int_equal(err.sys_errno, ENODEV);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		assert_non_null(strstr(err.text, "delete link 901"));
	}
	assert_ok(link_set_up(*state, "lo", &err));
}

static void test_tolerated_failure(void **state)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT, mixed = NL_BATCH_INIT;
	struct error failure = ERROR_INIT;

	add_deletion(&b, 901);
	nl_batch_tolerate(&b, ENODEV);
	assert_ok(nl_batch_run(*state, &b, &err));
	add_deletion(&mixed, 901);
	nl_batch_tolerate(&mixed, ENODEV);
	add_deletion(&mixed, 902);
	assert_int_equal(nl_batch_run(*state, &mixed, &failure), -1);
	assert_non_null(strstr(failure.text, "delete link 902"));
}

/* The kernel's own words are in the error. */
static void test_explanation(void **state)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create nonsense");
	struct nlattr *info;
	struct error err = ERROR_INIT;

	(void)mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
	info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "nonsense");
	mnl_attr_nest_end(m, info);
	assert_int_equal(nl_batch_run(*state, &b, &err), -1);
	assert_int_equal(err.sys_errno, EOPNOTSUPP);
	assert_non_null(strstr(err.text, "create nonsense ("));
	assert_non_null(strstr(err.text, "nknown"));
}

static int stop_at_lo(const struct link_info *info, void *arg, struct error *err)
{
	++*(int *)arg;
	assert_string_equal(info->name, "lo");
	return error_set(err, ERR_CANCELLED, "seen enough");
}

/* A dump that is left early does not disturb the next request. */
static void test_dump_is_left_early(void **state)
{
	struct link_info info;
	int calls = 0;

	assert_fails(link_each(*state, stop_at_lo, &calls, &err), ERR_CANCELLED);
	assert_int_equal(calls, 1);
	assert_ok(link_find(*state, "lo", &info, &err));
	assert_int_equal(info.index, 1);
	assert_string_equal(info.name, "lo");
	assert_ok(link_find_index(*state, 1, &info, &err));
	assert_fails(link_find(*state, "nosuchlink", &info, &err), ERR_NOT_FOUND);
}

/* More links than one datagram of a dump holds. */
static void test_long_dump(void **state)
{
	enum { LINKS = 60 };
	unsigned before = lab_take_counts().links;
	_cleanup_fd_ int netns = lab_netns();
	char name[IFNAMSIZ], peer[IFNAMSIZ];
	struct veth_spec spec = { .name = name, .peer_name = peer, .peer_netns = netns, .mtu = 1500 };

	for (int i = 0; i < LINKS; i++) {
		(void)snprintf(name, sizeof(name), "many%d", i);
		(void)snprintf(peer, sizeof(peer), "peer%d", i);
		assert_ok(link_create_veth(*state, &spec, &err));
	}
	assert_int_equal(lab_take_counts().links, before + LINKS);
	(void)close(netns);
	netns = -1;
	lab_wait_links(before);
}

/* The socket's namespace is its creator's, wherever the caller is. */
static int count_links(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;

	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0)
		return -1;
	return link_each(nl, lab_count_link, arg, err);
}

static void test_netns_call(void **state)
{
	_cleanup_fd_ int netns = lab_netns(), self = lab_self(), plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct netns_id before, after;
	unsigned links = 0;

	(void)state;
	assert_ok(netns_identify_self(&before, &err));
	assert_ok(netns_call(netns, count_links, &links, &err));
	assert_true(links >= 1);
	assert_ok(netns_identify_self(&after, &err));
	assert_true(before.ino == after.ino && before.dev == after.dev);
	assert_ok(netns_check_pod(netns, &before, &err));
	assert_fails(netns_check_pod(self, &before, &err), ERR_INVALID);
	assert_fails(netns_check_pod(plain, &before, &err), ERR_INVALID);
	assert_fails(netns_check_pod(-1, &before, &err), ERR_INVALID);
	assert_int_equal(netns_call(plain, count_links, &links, &(struct error)ERROR_INIT), -1);
}

#define netlink_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		netlink_test(test_first_failure_is_reported), netlink_test(test_tolerated_failure), netlink_test(test_explanation),
		netlink_test(test_dump_is_left_early),        netlink_test(test_long_dump),         netlink_test(test_netns_call),
	};

	if (!lab_enter())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
