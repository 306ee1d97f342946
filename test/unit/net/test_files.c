/* The pod's resolv.conf, hosts and hostname: what is in them, and what can never get into them. */
#include "lab.h"

#include "net/files.h"

static int setup(void **state)
{
	char *dir = strdup("/tmp/monopod-net-XXXXXX");

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	struct error err = ERROR_INIT;
	int r = io_remove_tree(AT_FDCWD, *state, &err);

	free(*state);
	return r;
}

static void assert_content(const char *dir, const char *name, const char *expected)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT((size_t)64 * 1024);
	char path[96];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_ok(io_read_file(AT_FDCWD, path, &b, &err));
	assert_string_equal(b.data ? b.data : "", expected);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_resolv_conf(void **state)
{
	static char text[][64] = { "10.96.0.10",        "fd00::10", "fe80::1%eth0", "default.svc.cluster.local",
				   "svc.cluster.local", "ndots:5",  "edns0" };
	char *words[ARRAY_SIZE(text)];
	struct dns_config dns = {
		.servers = words, .n_servers = 3, .searches = words + 3, .n_searches = 2, .options = words + 5, .n_options = 2
	};
	mode_t mask = umask(077);

	for (size_t i = 0; i < ARRAY_SIZE(text); i++)
		words[i] = text[i];
	assert_ok(write_resolv_conf(*state, &dns, &err));
	(void)umask(mask);
	assert_content(*state, "resolv.conf",
		       "search default.svc.cluster.local svc.cluster.local\n"
		       "nameserver 10.96.0.10\nnameserver fd00::10\nnameserver fe80::1%eth0\n"
		       "options ndots:5 edns0\n");
	dns.n_searches = dns.n_options = 0;
	dns.n_servers = 1;
	assert_ok(write_resolv_conf(*state, &dns, &err));
	assert_content(*state, "resolv.conf", "nameserver 10.96.0.10\n");
}

static void test_copy_of_the_hosts_resolv_conf(void **state)
{
	_cleanup_buffer_ struct buffer host = BUFFER_INIT((size_t)64 * 1024);
	struct dns_config empty = { 0 };

	if (access("/etc/resolv.conf", R_OK) < 0 || access("/run/systemd/resolve/resolv.conf", R_OK) == 0)
		skip(); /* the host has no resolver, or hides it behind systemd-resolved */
	assert_ok(io_read_file(AT_FDCWD, "/etc/resolv.conf", &host, &err));
	assert_ok(write_resolv_conf(*state, NULL, &err));
	assert_content(*state, "resolv.conf", host.data ? host.data : "");
	assert_ok(write_resolv_conf(*state, &empty, &err));
	assert_content(*state, "resolv.conf", host.data ? host.data : "");
}

static void assert_bad_dns(const char *dir, struct dns_config dns)
{
	char path[96];

	assert_fails(dns_config_check(&dns, &err), ERR_INVALID);
	assert_fails(write_resolv_conf(dir, &dns, &err), ERR_INVALID);
	(void)snprintf(path, sizeof(path), "%s/resolv.conf", dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_bad_dns(void **state)
{
	static char bad_servers[][64] = { "",
					  "localhost",
					  "1.2.3",
					  "1.2.3.4\nnameserver 6.6.6.6",
					  "1.2.3.4 ",
					  "1.2.3.4%eth0",
					  "fe80::1%",
					  "fe80::1%a b",
					  "11111111111111111111111111111111111111111111111111" };
	static char bad_words[][64] = { "", " ", "a b", "a\tb", "a\nnameserver 6.6.6.6", "a\rb", "\x7f", "\x01" };
	static char server[] = "1.2.3.4";
	char *many[33], *missing = NULL, *one, long_word[2049];

	for (size_t i = 0; i < ARRAY_SIZE(bad_servers); i++) {
		one = bad_servers[i];
		assert_bad_dns(*state, (struct dns_config){ .servers = &one, .n_servers = 1 });
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_words); i++) {
		one = bad_words[i];
		assert_bad_dns(*state, (struct dns_config){ .searches = &one, .n_searches = 1 });
		assert_bad_dns(*state, (struct dns_config){ .options = &one, .n_options = 1 });
	}
	assert_bad_dns(*state, (struct dns_config){ .servers = &missing, .n_servers = 1 });
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = server;
	assert_bad_dns(*state, (struct dns_config){ .servers = many, .n_servers = ARRAY_SIZE(many) });
	memset(long_word, 'a', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = '\0';
	one = long_word;
	assert_bad_dns(*state, (struct dns_config){ .searches = &one, .n_searches = 1 });
}

static void test_hosts_and_hostname(void **state)
{
	assert_ok(write_hosts(*state, "web-1", "10.88.0.7", &err));
	assert_content(*state, "hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.88.0.7\tweb-1\n");
	assert_ok(write_hosts(*state, "web-1", NULL, &err));
	assert_content(*state, "hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	assert_ok(write_hostname(*state, "web-1.example.org", &err));
	assert_content(*state, "hostname", "web-1.example.org\n");
}

static void test_bad_names(void **state)
{
	static const char *const bad[] = { "", "a b", "a\n6.6.6.6 example.org", "a\t", "a/b", "\xc3\xa4" };
	char long_name[257];

	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_fails(write_hostname(*state, long_name, &err), ERR_INVALID);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_fails(write_hostname(*state, bad[i], &err), ERR_INVALID);
		assert_fails(write_hosts(*state, bad[i], "10.88.0.7", &err), ERR_INVALID);
	}
	assert_fails(write_hosts(*state, "web-1", "10.88.0.7 evil\n", &err), ERR_INVALID);
	assert_fails(write_hostname("/nonexistent/directory", "web-1", &err), ERR_NOT_FOUND);
}

#define files_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		files_test(test_resolv_conf), files_test(test_copy_of_the_hosts_resolv_conf),
		files_test(test_bad_dns),     files_test(test_hosts_and_hostname),
		files_test(test_bad_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
