#include "lab.h"

struct fixture {
	char dir[64];
	struct net_engine *engine;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	lab_state_dir(f->dir);
	f->engine = lab_open(f->dir, LAB_CIDR);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lab_destroy(f->engine, f->dir);
	free(f);
	return 0;
}

static void test_pods_reach_each_other(void **state)
{
	struct fixture *f = *state;
	struct lab_pod a, b;
	int client, server;

	lab_pod_add(f->engine, &a, "a");
	lab_pod_add(f->engine, &b, "b");
	assert_string_not_equal(lab_ip(&a), lab_ip(&b));
	assert_string_equal(a.result.interface, "eth0");
	server = lab_bound(b.netns, SOCK_DGRAM, lab_ip(&b), 7000);
	client = lab_bound(a.netns, SOCK_DGRAM, lab_ip(&a), 0);
	assert_true(lab_udp_echo(client, server, lab_ip(&b), 7000, LAB_TIMEOUT_MS, NULL) >= 0);
	(void)close(client);
	(void)close(server);
	lab_pod_remove(f->engine, &a);
	lab_pod_remove(f->engine, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pods_reach_each_other, setup, teardown),
	};

	if (!lab_enter())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
