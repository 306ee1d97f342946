/* Pulls by way of hosts.toml: mirrors that have the image, have it not, break, lie, or ask for credentials. MAIN of the registry of
 * ills is the server here, OTHER the mirror. */
#include "pull_fixture.h"

#include <time.h>

/* certs.d/127.0.0.1:PORT/hosts.toml with `%u` twice at most: the mirror's port. */
static void configure(struct place *p, const char *format)
{
	_cleanup_free_
	char *text = NULL;
	_cleanup_free_
	char *name = NULL;
	_cleanup_free_
	char *dir = NULL;

	assert_true(asprintf(&name, "127.0.0.1:%u", p->port) > 0);
	dir = fixture_path(p->certs, name);
	assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	assert_true(asprintf(&text, format, p->other_port, p->other_port) > 0);
#pragma GCC diagnostic pop
	fixture_write(dir, "hosts.toml", text, strlen(text));
}

static void a_trusted_mirror_serves_everything(void **state)
{
	struct place *p = *state;
	char ns[64];

	need_root();
	configure(p, "[host.'http://127.0.0.1:%u']\ncapabilities = ['pull', 'resolve']\n");
	assert_pulls(p, "fine/app:1", NULL);
	(void)snprintf(ns, sizeof(ns), "?ns=127.0.0.1%%3A%u", p->port);
	assert_int_equal(logged(p, "other GET /v2/fine/app/", ns, NULL), 4);
	assert_int_equal(logged(p, "main", NULL, NULL), 0);
}

/* What a tag means is asked of the server; the rest, known by its digest, may come from anywhere. */
static void tags_are_asked_of_whom_one_trusts(void **state)
{
	struct place *p = *state;
	char what[200];

	need_root();
	configure(p, "[host.'http://127.0.0.1:%u']\ncapabilities = ['pull']\n");
	assert_pulls(p, "fine/app:1", NULL);
	assert_int_equal(logged(p, "main GET", "/manifests/1 ", NULL), 1);
	assert_int_equal(logged(p, "main GET", NULL, NULL), 1);
	assert_int_equal(logged(p, "other GET", "/blobs/", NULL), 3);
	forget(p);
	clear_log(p);
	(void)snprintf(what, sizeof(what), "fine/app@%s", p->manifest.digest);
	assert_pulls(p, what, NULL);
	assert_int_equal(logged(p, "main", NULL, NULL), 0);
}

static void nobody_may_resolve(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	configure(p, "server = 'http://127.0.0.1:%u'\ncapabilities = ['pull']\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_NOT_FOUND, "may resolve tags");
	configure(p, "server = 'http://127.0.0.1:%u'\ncapabilities = ['push']\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_NOT_FOUND, "may resolve tags");
	assert_int_equal(logged(p, "GET", NULL, NULL), 0);
}

static void the_server_helps_out(void **state)
{
	struct place *p = *state;
	struct timespec before, after;

	need_root();
	/* Absent there; nobody there at all, which costs no pause. */
	configure(p, "[host.'http://127.0.0.1:%u']\n");
	assert_pulls(p, "mirrorless/app:1", NULL);
	assert_int_equal(logged(p, "main GET /v2/mirrorless", NULL, NULL), 4);
	forget(p);
	configure(p, "[host.'http://127.0.0.1:1']\n[host.'http://127.0.0.1:2']\n");
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_pulls(p, "fine/app:1", NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < 4);
	forget(p);
	/* Broken in the middle of a layer: the server goes on at the byte. */
	clear_log(p);
	configure(p, "[host.'http://127.0.0.1:%u']\n");
	assert_pulls(p, "cut-mirror/app:1", NULL);
	assert_true(logged(p, "main GET /v2/cut-mirror", " bytes=", NULL) >= 1);
	forget(p);
	/* A manifest that is not what its digest says. */
	clear_log(p);
	{
		char what[200];

		(void)snprintf(what, sizeof(what), "lying-mirror/app@%s", p->manifest.digest);
		assert_pulls(p, what, NULL);
	}
	assert_int_equal(logged(p, "main GET /v2/lying-mirror/app/manifests/", NULL, NULL), 1);
}

static void all_that_failed_is_told(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	configure(p, "[host.'http://127.0.0.1:%u']\n[host.'http://127.0.0.1:1']\n");
	assert_failed(pull_as(p, "mirrorless/app:2", NULL, &image, &err), &err, ERR_NOT_FOUND,
		      "not found (manifest unknown); before that, mirror http://127.0.0.1:");
	assert_non_null(strstr(err.text, "not found (not mirrored), mirror http://127.0.0.1:1: "));
	assert_non_null(strstr(err.text, "manifest: registry 127.0.0.1:"));
}

static void changes_apply_to_the_next_pull(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	configure(p, "broken\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_INVALID, "hosts.toml: line 1: '=' is missing");
	assert_int_equal(logged(p, "GET", NULL, NULL), 0);
	configure(p, "# mended\n");
	assert_pulls(p, "fine/app:1", NULL);
}

static void paths_and_headers(void **state)
{
	struct place *p = *state;

	need_root();
	configure(p, "[host.'http://127.0.0.1:%u/prefix']\nheader = { X-Test = 'of-the-mirror' }\n");
	assert_pulls(p, "fine/app:1", NULL);
	assert_int_equal(logged(p, "other GET /prefix/v2/fine/app/", "of-the-mirror", NULL), 4);
	forget(p);
	clear_log(p);
	configure(p, "[host.'http://127.0.0.1:%u/prefix/v2/']\noverride_path = true\n");
	assert_pulls(p, "fine/app:1", NULL);
	assert_int_equal(logged(p, "other GET /prefix/v2/fine/app/", NULL, NULL), 4);
	forget(p);
	clear_log(p);
	/* Neither the operator's headers nor his password go along with a redirect. */
	configure(p, "header = { X-Test = 'secret', authorization = 'Basic cHVsbGVyOnMzY3JldA==' }\n");
	assert_pulls(p, "moved/app:1", NULL);
	assert_int_equal(logged(p, "main GET", "Basic_cHVsbGVyOnMzY3JldA==", "secret"), 4);
	assert_int_equal(logged(p, "other GET /stolen/", NULL, NULL), 3);
	assert_int_equal(logged(p, "other", "secret", NULL), 0);
	assert_int_equal(logged(p, "other", "Basic_", NULL), 0);
}

/* A host that is named by http, with TLS settings: https first, then http. */
static void http_with_tls_settings(void **state)
{
	need_root();
	configure(*state, "[host.'http://127.0.0.1:%u']\nskip_verify = true\n");
	assert_pulls(*state, "fine/app:1", NULL);
	assert_int_equal(logged(*state, "other GET /v2/", NULL, NULL), 4);
	assert_int_equal(logged(*state, "main", NULL, NULL), 0);
}

/* ---- credentials ---- */

static void the_requests_credentials_go_to_whom_one_trusts(void **state)
{
	struct place *p = *state;
	struct image_auth addressed = puller;
	char address[64];

	need_root();
	configure(p, "[host.'http://127.0.0.1:%u']\n");
	assert_pulls(p, "basic-mirror/app:1", &puller);
	assert_int_equal(logged(p, "main", NULL, NULL), 0);
	forget(p);
	clear_log(p);
	/* Not trusted with tags, not trusted with passwords: the server has to do it. */
	configure(p, "[host.'http://127.0.0.1:%u']\ncapabilities = ['pull']\n");
	assert_pulls(p, "basic-mirror/app:1", &puller);
	assert_int_equal(logged(p, "other", "Basic_", NULL), 0);
	assert_int_equal(logged(p, "main GET", "/blobs/", NULL), 3);
	forget(p);
	clear_log(p);
	/* Unless they are for that very host, and then for no other. */
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", p->other_port);
	addressed.server_address = address;
	assert_pulls(p, "basic-mirror/app:1", &addressed);
	assert_int_equal(logged(p, "other GET", "Basic_", NULL), 3);
	assert_int_equal(logged(p, "main", "Basic_", NULL), 0);
}

static void open_with_auth_file(struct place *p, const char *format)
{
	_cleanup_free_
	char *file = fixture_path(p->dir, "config.json");
	_cleanup_free_
	char *text = NULL;
	const struct image_store_config config = {
		.root = p->root,
		.certs_dir = p->certs,
		.insecure_registries = "",
		.auth_file = file,
		.max_layer_bytes = FIXTURE_MAX_LAYER,
		.progress_timeout_ms = 5000,
	};
	struct error err = ERROR_INIT;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	assert_true(asprintf(&text, format, p->port, p->other_port) > 0);
#pragma GCC diagnostic pop
	fixture_write(p->dir, "config.json", text, strlen(text));
	image_store_close(p->store);
	assert_ok(image_store_open(&config, &p->store, &err), &err);
}

static void credentials_of_the_node(void **state)
{
	static const struct image_auth wrong = { .username = "puller", .password = "wrong" };
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	open_with_auth_file(p, "{\"auths\": {\"127.0.0.1:%u/basic\": {\"auth\": \"cHVsbGVyOnMzY3JldA==\"}, \"127.0.0.1:%u\": {}}}");
	assert_pulls(p, "basic/app:1", NULL);
	forget(p);
	/* Those of the request come first. */
	assert_failed(pull_as(p, "basic/app:1", &wrong, &image, &err), &err, ERR_UNAUTHENTICATED, "refused");
	assert_failed(pull_as(p, "basic-everywhere/app:1", NULL, &image, &err), &err, ERR_UNAUTHENTICATED, "required");
	/* A mirror has its own. */
	open_with_auth_file(
		p, "{\"auths\": {\"127.0.0.1:%u\": {}, \"127.0.0.1:%u\": {\"username\": \"puller\", \"password\": \"s3cret\"}}}");
	configure(p, "[host.'http://127.0.0.1:%u']\ncapabilities = ['pull']\n");
	clear_log(p);
	assert_pulls(p, "basic-mirror/app:1", NULL);
	assert_int_equal(logged(p, "other GET", "Basic_", NULL), 3);
	assert_int_equal(logged(p, "main", "Basic_", NULL), 0);
	forget(p);
	/* An identity token, for the token service. */
	open_with_auth_file(p, "{\"auths\": {\"127.0.0.1:%u\": {\"identitytoken\": \"identity\"}, \"127.0.0.1:%u\": {}}}");
	configure(p, "# no mirror\n");
	clear_log(p);
	assert_pulls(p, "bearer/app:1", NULL);
	assert_int_equal(logged(p, "other POST", "refresh_token=identity", NULL), 1);
}

/* ---- TLS ---- */

static void start_tls(struct place *p)
{
	_cleanup_free_
	char *certificate = fixture_path(p->dir, "server.crt");
	_cleanup_free_
	char *key = fixture_path(p->dir, "server.key");

	make_certificates(p);
	start_ills(p, certificate, key);
}

static void trust_by_hosts_toml(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	need_program("openssl");
	start_tls(p);
	configure(p, "# nothing\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_UNAVAILABLE, "certificate");
	configure(p, "ca = '../../ca.crt'\n");
	assert_pulls(p, "fine/app:1", NULL);
	forget(p);
	configure(p, "skip_verify = true\n");
	assert_pulls(p, "fine/app:1", NULL);
	configure(p, "ca = 'absent.crt'\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_NOT_FOUND, "absent.crt");
	configure(p, "ca = 'hosts.toml'\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_INVALID, "hosts.toml holds no certificate");
	configure(p, "ca = '../../ca.crt'\nclient = [['../../client.crt', '../../server.key']]\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_INVALID, "server.key is not the key of ");
	configure(p, "client = '../../client.crt'\n");
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_INVALID, "client.crt holds no key");
}

/* Two certificates, of which the registry takes the second one. */
static void the_client_certificate_that_is_asked_for(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *tls = NULL;
	_cleanup_free_
	char *command = NULL;
	_cleanup_free_
	char *from = NULL;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	need_program("docker-registry");
	need_program("skopeo");
	need_program("openssl");
	make_certificates(p);
	assert_true(
		asprintf(&command,
			 "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stranger -keyout stranger.key -out "
			 "stranger.crt && cat client.crt client.key > both.pem && mkdir push && cp ca.crt push/ && "
			 "cp client.crt push/client.cert && cp client.key push/client.key",
			 p->dir) > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", command, NULL }), 0);
	assert_true(asprintf(&tls, "  tls:\n    certificate: %s/server.crt\n    key: %s/server.key\n    clientcas: [%s/ca.crt]\n",
			     p->dir, p->dir, p->dir) > 0);
	start_registry(p, tls, NULL);
	assert_true(asprintf(&from, "oci:%s", p->layout) > 0);
	{
		_cleanup_free_
		char *options = NULL;

		assert_true(asprintf(&options, "--dest-cert-dir='%s/push'", p->dir) > 0);
		skopeo(p, from, "me/app:1", options);
	}
	configure(p, "ca = '../../ca.crt'\n");
	assert_true(pull_as(p, "me/app:1", NULL, &image, &err) < 0);
	configure(p, "ca = '../../ca.crt'\nclient = [['../../stranger.crt', '../../stranger.key'], ['../../both.pem', '']]\n");
	assert_pulls(p, "me/app:1", NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define ILL(f) cmocka_unit_test_setup_teardown(f, set_up_ills, tear_down)

static const struct CMUnitTest tests[] = {
	ILL(a_trusted_mirror_serves_everything),
	ILL(tags_are_asked_of_whom_one_trusts),
	ILL(nobody_may_resolve),
	ILL(the_server_helps_out),
	ILL(all_that_failed_is_told),
	ILL(changes_apply_to_the_next_pull),
	ILL(paths_and_headers),
	ILL(http_with_tls_settings),
	ILL(the_requests_credentials_go_to_whom_one_trusts),
	ILL(credentials_of_the_node),
	CASE(trust_by_hosts_toml),
	CASE(the_client_certificate_that_is_asked_for),
};

FIXTURE_MAIN(tests)
