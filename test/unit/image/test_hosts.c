/* Registry directories as operators have them on disk. */
#include "image_fixture.h"

#include "image/hosts.h"

struct place {
	char *dir, *roots;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	assert_true(asprintf(&p->roots, "%s/first:%s/second", p->dir, p->dir) > 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	fixture_remove(p->dir);
	free(p->roots);
	free(p);
	return 0;
}

static void put(struct place *p, const char *dir, const char *name, const char *text)
{
	_cleanup_free_
	char *path = fixture_path(p->dir, dir);
	struct error err = ERROR_INIT;

	assert_ok(io_make_dirs(path, 0700, &err), &err);
	if (name)
		fixture_write(path, name, text, strlen(text));
}

static void read_hosts(struct place *p, const char *registry, const char *insecure, struct hosts *hosts)
{
	const struct hosts_options options = { p->roots, insecure };
	struct error err = ERROR_INIT;

	assert_ok(hosts_read(&options, registry, hosts, &err), &err);
	assert_true(hosts->n > 0 && hosts->items[hosts->n - 1].is_server);
}

static void assert_place(const struct host *host, bool is_https, const char *name, const char *root)
{
	char text[ORIGIN_NAME_SIZE];

	origin_name(&host->origin, text);
	assert_int_equal(host->origin.is_https, is_https);
	assert_string_equal(text, name);
	assert_string_equal(host->root, root);
}

static void without_a_directory(void **state)
{
	static const struct {
		const char *registry, *insecure, *place;
		bool is_https, may_be_http;
	} cases[] = {
		{ "docker.io", "", "registry-1.docker.io", true, false },
		{ "x.example", "", "x.example", true, false },
		{ "x.example:5000", "", "x.example:5000", true, false },
		{ "X.Example:5000", "", "x.example:5000", true, false },
		{ "x.example:5000", "y, x.example:5000", "x.example:5000", false, false },
		{ "x.example:5000", "x.example", "x.example:5000", true, false },
		{ "localhost:5000", "", "localhost:5000", true, true },
		{ "127.8.9.1", "", "127.8.9.1", true, true },
		{ "[::1]:5000", "", "[::1]:5000", true, true },
		{ "localhost:5000", "localhost:5000", "localhost:5000", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_hosts_ struct hosts hosts = { 0 };

		read_hosts(*state, cases[i].registry, cases[i].insecure, &hosts);
		assert_int_equal(hosts.n, 1);
		assert_place(&hosts.items[0], cases[i].is_https, cases[i].place, "/v2");
		assert_int_equal(hosts.items[0].may_be_http, cases[i].may_be_http);
		assert_int_equal(hosts.items[0].can, HOST_ALL);
	}
}

/* HOST_PORT_ before HOST:PORT before _default, in each root before the next. */
static void directories_are_found_in_order(void **state)
{
	static const struct {
		const char *dir, *made;
	} cases[] = {
		{ "second/_default", "server = 'a'" },        { "second/x.example:5000", "server = 'b'" },
		{ "second/x.example_5000_", "server = 'c'" }, { "first/_default", "server = 'd'" },
		{ "first/x.example:5000", "server = 'e'" },   { "first/x.example_5000_", "server = 'f'" },
	};
	struct place *p = *state;
	char expected[2] = "a";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++, expected[0]++) {
		_cleanup_hosts_ struct hosts hosts = { 0 };

		put(p, cases[i].dir, "hosts.toml", cases[i].made);
		read_hosts(p, "x.example:5000", "", &hosts);
		assert_place(&hosts.items[0], true, expected, "/v2");
	}
}

static const char full[] = "server = \"https://registry-1.docker.io\"    # the last one\n"
			   "ca = \"server.pem\"\n"
			   "[host.\"https://public-mirror.example.com\"]\n"
			   "  capabilities = [\"pull\"]\n"
			   "  dial_timeout = \"1.5s\"\n"
			   "[host.\"https://docker-mirror.internal\"]\n"
			   "  capabilities = [\"Pull\", \"RESOLVE\"]\n"
			   "  ca = [\"docker-mirror.crt\", \"/etc/certs/special.pem\"]\n"
			   "  client = [[\"/etc/certs/client.cert\", \"/etc/certs/client.key\"],[\"one.pem\", \"\"]]\n"
			   "  [host.\"https://docker-mirror.internal\".header]\n"
			   "    x-custom-1 = [\"value1\", \"value2\"]\n"
			   "    x-custom-2 = \"other\"\n"
			   "    Range = \"bytes=0-1\"\n"
			   "[host.\"https://mirror-bak.registry:444/us/\"]\n"
			   "  client = [\"a.pem\", \"b.pem\"]\n"
			   "  skip_verify = true\n"
			   "[host.\"https://odd.registry/v2/upstream\"]\n"
			   "  override_path = true\n"
			   "  client = \"/etc/certs/client.pem\"\n"
			   "[host.\"https://done.registry/api/v2\"]\n"
			   "[host.\"plain-name:5000\"]\n"
			   "[host.\"http://192.168.31.250:5000\"]\n"
			   "  skip_verify = true\n"
			   "[host.\"http://plain.registry\"]\n"
			   "[host.\"http://eighty.registry:80\"]\n"
			   "  skip_verify = true\n"
			   "[host.\"http://empty.registry/\"]\n"
			   "  override_path = true\n";

static void every_setting(void **state)
{
	struct place *p = *state;
	_cleanup_hosts_ struct hosts hosts = { 0 };
	const struct host *h;
	char path[300];

	put(p, "first/docker.io", "hosts.toml", full);
	read_hosts(p, "docker.io", "", &hosts);
	assert_int_equal(hosts.n, 11);
	h = &hosts.items[0];
	assert_place(h, true, "public-mirror.example.com", "/v2");
	assert_int_equal(h->can, HOST_PULL);
	assert_int_equal(h->dial_timeout_ms, 1500);
	assert_false(h->is_server || h->skip_verify);
	h = &hosts.items[1];
	assert_int_equal(h->can, HOST_PULL | HOST_RESOLVE);
	assert_int_equal(h->n_authorities, 2);
	(void)snprintf(path, sizeof(path), "%s/first/docker.io/docker-mirror.crt", p->dir);
	assert_string_equal(h->authorities[0], path);
	assert_string_equal(h->authorities[1], "/etc/certs/special.pem");
	assert_int_equal(h->n_clients, 2);
	assert_string_equal(h->clients[0].key, "/etc/certs/client.key");
	(void)snprintf(path, sizeof(path), "%s/first/docker.io/one.pem", p->dir);
	assert_string_equal(h->clients[1].cert, path);
	assert_string_equal(h->clients[1].key, path);
	assert_int_equal(h->n_headers, 3); /* without the transport's own */
	assert_string_equal(h->headers[1].name, "x-custom-1");
	assert_string_equal(h->headers[1].value, "value2");
	assert_string_equal(h->headers[2].value, "other");
	h = &hosts.items[2];
	assert_place(h, true, "mirror-bak.registry:444", "/us/v2");
	assert_int_equal(h->n_clients, 2);
	assert_string_equal(h->clients[1].cert, h->clients[1].key);
	assert_true(h->skip_verify);
	assert_place(&hosts.items[3], true, "odd.registry", "/v2/upstream");
	assert_int_equal(hosts.items[3].n_clients, 1);
	assert_place(&hosts.items[4], true, "done.registry", "/api/v2");
	assert_place(&hosts.items[5], true, "plain-name:5000", "/v2");
	h = &hosts.items[6]; /* TLS settings of a host that is named by http: https is tried */
	assert_place(h, true, "192.168.31.250:5000", "/v2");
	assert_true(h->may_be_http && !h->http.is_https);
	assert_place(&hosts.items[7], false, "plain.registry", "/v2");
	assert_place(&hosts.items[8], false, "eighty.registry", "/v2");
	assert_place(&hosts.items[9], false, "empty.registry", "");
	h = &hosts.items[10];
	assert_place(h, true, "registry-1.docker.io", "/v2");
	assert_int_equal(h->n_authorities, 1);
	assert_int_equal(h->can, HOST_ALL);
}

/* The registry itself comes last when the file names no server, with the settings outside of the tables. */
static void without_a_server(void **state)
{
	struct place *p = *state;
	_cleanup_hosts_ struct hosts hosts = { 0 };
	_cleanup_hosts_ struct hosts local = { 0 };

	put(p, "first/_default", "hosts.toml",
	    "dial_timeout = '1m30s'\ncapabilities = ['pull']\nheader = { a = 'b' }\n[host.'http://cache:5000']\ncapabilities = "
	    "[]\n");
	read_hosts(p, "docker.io", "", &hosts);
	assert_int_equal(hosts.n, 2);
	assert_place(&hosts.items[0], false, "cache:5000", "/v2");
	assert_int_equal(hosts.items[0].can, HOST_ALL);
	assert_place(&hosts.items[1], true, "registry-1.docker.io", "/v2");
	assert_int_equal(hosts.items[1].can, HOST_ALL);
	assert_int_equal(hosts.items[1].dial_timeout_ms, 90000);
	assert_int_equal(hosts.items[1].n_headers, 1);
	read_hosts(p, "localhost:5000", "", &local);
	assert_true(local.items[1].may_be_http);
}

static void docker_files(void **state)
{
	struct place *p = *state;
	_cleanup_hosts_ struct hosts hosts = { 0 };
	_cleanup_hosts_ struct hosts empty = { 0 };

	put(p, "first/localhost:5000", "b.crt", "x");
	put(p, "first/localhost:5000", "ca.crt", "x");
	put(p, "first/localhost:5000", "one.cert", "x");
	put(p, "first/localhost:5000", "one.key", "x");
	put(p, "first/localhost:5000", "two.cert", "x");
	put(p, "first/localhost:5000", "other.pem", "x");
	put(p, "first/localhost:5000", "hosts.toml", "");
	read_hosts(p, "localhost:5000", "", &hosts);
	assert_int_equal(hosts.n, 1);
	assert_false(hosts.items[0].may_be_http);
	assert_int_equal(hosts.items[0].n_authorities, 2);
	assert_non_null(strstr(hosts.items[0].authorities[0], "/first/localhost:5000/b.crt"));
	assert_int_equal(hosts.items[0].n_clients, 2);
	assert_non_null(strstr(hosts.items[0].clients[0].key, "/one.key"));
	assert_non_null(strstr(hosts.items[0].clients[1].key, "/two.cert"));
	put(p, "first/y.example", NULL, NULL);
	read_hosts(p, "y.example", "", &empty);
	assert_int_equal(empty.n, 1);
	assert_int_equal(empty.items[0].n_authorities, 0);
}

static void what_is_wrong_is_told(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "server = 1", "line 1: 'server' is a number, not a string" },
		{ "\nserver = 'ftp://x'", "line 2: 'ftp://x' is not http://" },
		{ "server = 'http://'", "line 1: 'http://' is not a URL" },
		{ "server = 'http:'", "line 1: 'http:' is not http://" },
		{ "server = 'https://'", "line 1: 'https://' is not a URL" },
		{ "server = 'httpx://y'", "plain path" },
		{ "server = 'https://user@x'", "not a URL" },
		{ "server = 'https://x?y=z'", "plain path" },
		{ "server = 'https://x/a/../b'", "plain path" },
		{ "server = 'https://x//b'", "plain path" },
		{ "host = 1", "line 1: 'host' is a number, not a table" },
		{ "[host]\n'https://x' = 'y'", "line 2: 'https://x' is a string, not a table" },
		{ "[host.'https://x']\ncapabilities = 'pull'", "line 2: 'capabilities' is a string, not a list" },
		{ "capabilities = ['fly']", "line 1: 'fly' is no capability" },
		{ "capabilities = [1]", "is no capability" },
		{ "ca = 1", "line 1: 'ca' wants paths" },
		{ "ca = ['a', '']", "wants paths" },
		{ "client = [['a']]", "wants pairs" },
		{ "client = [['a', 'b', 'c']]", "wants pairs" },
		{ "client = [['a', 1]]", "wants paths" },
		{ "skip_verify = 'true'", "line 1: 'skip_verify' is a string, not true or false" },
		{ "override_path = 1", "not true or false" },
		{ "header = 'a'", "not a table" },
		{ "header = { a = 1 }", "wants a string" },
		{ "header = { a = [1] }", "wants a string" },
		{ "header = { 'a b' = 'c' }", "no header may have" },
		{ "header = { a = \"b\\r\\nx: y\" }", "no header may have" },
		{ "dial_timeout = 5", "wants a duration" },
		{ "dial_timeout = '5'", "wants a duration" },
		{ "dial_timeout = '5 s'", "wants a duration" },
		{ "dial_timeout = '-5s'", "wants a duration" },
		{ "dial_timeout = '25h'", "wants a duration" },
		{ "dial_timeout = '1.2.3s'", "wants a duration" },
		{ "dial_timeout = ''", "wants a duration" },
		{ "broken", "line 1: '=' is missing" },
	};
	struct place *p = *state;
	const struct hosts_options options = { p->roots, "" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct hosts hosts;

		put(p, "first/x.example", "hosts.toml", cases[i].text);
		assert_failed(hosts_read(&options, "x.example", &hosts, &err), &err, ERR_INVALID, cases[i].why);
		assert_non_null(strstr(err.text, "configuration of registry x.example: "));
		assert_non_null(strstr(err.text, "/first/x.example/hosts.toml: "));
	}
}

/* Other tools add settings of their own. */
static void unknown_settings_are_no_failure(void **state)
{
	struct place *p = *state;
	_cleanup_hosts_ struct hosts hosts = { 0 };

	put(p, "first/x.example", "hosts.toml",
	    "future = 1\n[host.'https://m'.more]\na = 1\n[host.'https://m']\nnew = [1]\n[other]\n");
	read_hosts(p, "x.example", "", &hosts);
	assert_int_equal(hosts.n, 2);
	assert_place(&hosts.items[0], true, "m", "/v2");
}

static void unreadable_directories(void **state)
{
	struct place *p = *state;
	const struct hosts_options options = { p->roots, "" };
	struct error err = ERROR_INIT;
	struct hosts hosts;

	put(p, "first/x.example/hosts.toml", NULL, NULL);
	assert_failed(hosts_read(&options, "x.example", &hosts, &err), &err, ERR_INVALID, "is no file");
	put(p, "first", "y.example", "a file");
	assert_true(hosts_read(&options, "y.example", &hosts, &err) < 0);
	assert_non_null(strstr(err.text, "y.example"));
}

static void insecure_lists(void **state)
{
	(void)state;
	assert_true(hosts_in_list("a:5000,b", "a:5000"));
	assert_true(hosts_in_list("a:5000, b", "B"));
	assert_false(hosts_in_list("a:5000,b", "a"));
	assert_false(hosts_in_list("", "a"));
	assert_false(hosts_in_list(",,", ""));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(without_a_directory),
		CASE(directories_are_found_in_order),
		CASE(every_setting),
		CASE(without_a_server),
		CASE(docker_files),
		CASE(what_is_wrong_is_told),
		CASE(unknown_settings_are_no_failure),
		CASE(unreadable_directories),
		CASE(insecure_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
