/* Pulls from a registry that is ill in every way that registries and networks are, and from a real one. */
#include "pull_fixture.h"

#include <pthread.h>
#include <time.h>

#include "base/strv.h"

/* ---- ills ---- */

static void a_healthy_registry(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;
	char digest[200];

	need_root();
	assert_pulls(p, "fine/app:1", NULL);
	assert_int_equal(logged(p, "GET", "/manifests/", NULL), 1);
	assert_int_equal(logged(p, "GET", "/blobs/", NULL), 3);
	/* Again: the manifest only. */
	clear_log(p);
	assert_pulls(p, "fine/app:1", NULL);
	assert_int_equal(logged(p, "GET", NULL, NULL), 1);
	/* By digest: no tag, but the same image. */
	(void)snprintf(digest, sizeof(digest), "fine/other@%s", p->manifest.digest);
	assert_ok(pull_as(p, digest, NULL, &image, &err), &err);
	assert_int_equal(strv_count(image->repo_tags), 1);
	assert_int_equal(strv_count(image->repo_digests), 2);
	image_unref(image);
	(void)snprintf(digest, sizeof(digest), "fine/third:9@%s", p->manifest.digest);
	assert_ok(pull_as(p, digest, NULL, &image, &err), &err);
	assert_int_equal(strv_count(image->repo_tags), 1);
	assert_int_equal(strv_count(image->repo_digests), 3);
	image_unref(image);
	assert_int_equal(logged(p, "/manifests/9", NULL, NULL), 0);
}

static void failures_say_what_they_are(void **state)
{
	static const struct image_auth wrong = { .username = "puller", .password = "wrong" };
	static const struct {
		const char *what;
		const struct image_auth *auth;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ "fine/app:2", NULL, ERR_NOT_FOUND, "manifest unknown" },
		{ "basic/app:1", NULL, ERR_UNAUTHENTICATED, "credentials are required" },
		{ "basic/app:1", &wrong, ERR_UNAUTHENTICATED, "access was refused" },
		{ "bearer/app:1", NULL, ERR_UNAUTHENTICATED, "refused the credentials" },
		{ "bearer/app:1", &wrong, ERR_UNAUTHENTICATED, "refused the credentials" },
		{ "strange/app:1", &puller, ERR_UNAUTHENTICATED, "nobody knows" },
		{ "crlf/app:1", NULL, ERR_UNAUTHENTICATED, "no token" },
		{ "forbidden/app:1", &puller, ERR_DENIED, "not?yours" },
		{ "lying/app:1", NULL, ERR_DATA_LOSS, "layer sha256:" },
		{ "long/app:1", NULL, ERR_DATA_LOSS, "longer than" },
		{ "short/app:1", NULL, ERR_DATA_LOSS, "ends after" },
		{ "endless/app:1", NULL, ERR_EXHAUSTED, "longer than" },
		{ "down/app:1", NULL, ERR_UNAVAILABLE, "answered 500 (down)" },
		{ "loop/app:1", NULL, ERR_UNAVAILABLE, "redirects" },
		{ "file/app:1", NULL, ERR_INVALID, "not a URL of http" },
		{ "nowhere/app:1", NULL, ERR_UNAVAILABLE, "names no other place" },
		{ "range-elsewhere/app:1", NULL, ERR_DATA_LOSS, "instead of from" },
		{ "range-silent/app:1", NULL, ERR_DATA_LOSS, "a part without saying which" },
		{ "unasked/app:1", NULL, ERR_DATA_LOSS, "it sent bytes from 100 on instead of from 0" },
		{ "changed/app:1", NULL, ERR_DATA_LOSS, "the content changed: it has" },
		{ "shrunk/app:1", NULL, ERR_DATA_LOSS, "the content changed: it ends before" },
		{ "portal/app:1", NULL, ERR_UNAVAILABLE, "it sent text/html; charset=utf-8 instead of the content" },
		{ "portal-blob/app:1", NULL, ERR_UNAVAILABLE, "what answers is no registry" },
		{ "wrong-name/app:1", NULL, ERR_DATA_LOSS, "it says that the content is sha256:0000" },
		{ "schema1/app:1", NULL, ERR_UNIMPLEMENTED, "schema 1" },
		{ "patient/app:1", NULL, ERR_UNAVAILABLE, "it asks to wait for 3600 seconds: it answered 429 (tomorrow)" },
	};
	struct place *p = *state;

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *image = NULL;
		struct error err = ERROR_INIT;

		assert_failed(pull_as(p, cases[i].what, cases[i].auth, &image, &err), &err, cases[i].code, cases[i].why);
		assert_null(image);
		/* kubelet looks at the start. */
		assert_int_equal(!strncmp(err.text, "RegistryUnavailable: ", 21), err.code == ERR_UNAVAILABLE);
		assert_non_null(strstr(err.text, cases[i].what));
		assert_null(strstr(err.text, "s3cret"));
		assert_int_equal(fixture_count(p->root, "ingest"), 0);
		assert_int_equal(fixture_count(p->root, "images"), 0);
	}
}

static void a_manifest_is_checked_by_its_digest(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;
	char what[200];

	need_root();
	(void)snprintf(what, sizeof(what), "lying-manifest/app@%s", p->manifest.digest);
	assert_failed(pull_as(p, what, NULL, &image, &err), &err, ERR_DATA_LOSS, "turned out to be");
}

static void basic_and_bearer(void **state)
{
	static const struct image_auth encoded = { .auth = "cHVsbGVyOnMzY3JldA==" };
	static const struct image_auth identity = { .identity_token = "identity" };
	static const struct image_auth token = { .registry_token = "token-of-the-test" };
	static const struct image_auth elsewhere = { .username = "puller", .password = "s3cret", .server_address = "docker.io" };
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	assert_pulls(p, "basic/app:1", &puller);
	/* Nothing is said before it is asked for. */
	assert_int_equal(logged(p, "/manifests/", " - - - -", NULL), 1);
	forget(p);
	assert_pulls(p, "basic/app:1", &encoded);
	forget(p);
	clear_log(p);
	assert_pulls(p, "bearer/app:1", &puller);
	assert_int_equal(logged(p, "other GET", "scope=repository%3Abearer%2Fapp%3Apull", "account=puller"), 1);
	assert_int_equal(logged(p, "main", "Basic_", NULL), 0); /* the password is for the token service */
	forget(p);
	clear_log(p);
	assert_pulls(p, "bearer/app:1", &identity);
	assert_int_equal(logged(p, "other POST", "refresh_token=identity", NULL), 1);
	forget(p);
	clear_log(p);
	assert_pulls(p, "bearer/app:1", &token);
	assert_int_equal(logged(p, "other", NULL, NULL), 0);
	forget(p);
	assert_pulls(p, "anonymous/app:1", NULL);
	assert_failed(pull_as(p, "basic/app:1", &elsewhere, &image, &err), &err, ERR_UNAUTHENTICATED, "required");
	assert_int_equal(logged(p, "/v2/basic", "Basic_", NULL), 0);
}

static void tokens_are_renewed(void **state)
{
	need_root();
	assert_pulls(*state, "expiring/app:1", NULL);
}

/* The password stays where it belongs. */
static void redirects_take_no_credentials_along_cve_2020_15157(void **state)
{
	struct place *p = *state;

	need_root();
	assert_pulls(p, "moved/app:1", &puller);
	assert_int_equal(logged(p, "other GET /stolen/", NULL, NULL), 3);
	assert_int_equal(logged(p, "other", "Basic_", NULL), 0);
	forget(p);
	clear_log(p);
	assert_pulls(p, "within/app:1", &puller);
	assert_int_equal(logged(p, "main GET /stolen/", "Basic_", NULL), 3);
}

/* Who answers to a redirect may ask for credentials, but is not given any: his token service would get the password. */
static void challenges_count_from_the_host_alone_cve_2020_15157(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	assert_failed(pull_as(p, "claiming/app:1", &puller, &image, &err), &err, ERR_UNAUTHENTICATED,
		      "where it redirected to: access was refused (come in)");
	assert_true(logged(p, "other GET /claim/", NULL, NULL) > 0);
	assert_int_equal(logged(p, "other GET /token", NULL, NULL), 0);
	assert_int_equal(logged(p, "other", "Basic_", NULL), 0);
}

static void passing_trouble_is_sat_out(void **state)
{
	struct place *p = *state;
	struct timespec before, after;

	need_root();
	assert_pulls(p, "flaky/app:1", NULL);
	assert_int_equal(logged(p, "flaky", "/manifests/", NULL), 3);
	forget(p);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_pulls(p, "polite/app:1", NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec >= 2); /* manifest, and what follows it, a second each */
	forget(p);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_pulls(p, "dated/app:1", NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec >= 4); /* three seconds from now are two or more */
	forget(p);
	assert_pulls(p, "other-name/app:1", NULL);
}

static void broken_transfers_go_on(void **state)
{
	struct place *p = *state;

	need_root();
	assert_pulls(p, "cut/app:1", NULL);
	assert_true(logged(p, "/v2/cut/", " bytes=", NULL) >= 2);
	forget(p);
	assert_pulls(p, "cut-no-range/app:1", NULL);
	forget(p);
	assert_pulls(p, "range-early/app:1", NULL);
}

/* More breaks than tries, each behind a megabyte. */
static void a_transfer_that_gets_on_is_not_given_up(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	make_layout_of(p, 'z', 6 << 20);
	start_ills(p, NULL, NULL);
	assert_ok(pull_as(p, "often/app:1", NULL, &image, &err), &err);
	image_unref(image);
	assert_true(logged(p, "/v2/often/", " bytes=", NULL) >= 4);
}

static void stalled_transfers_are_given_up(void **state)
{
	struct place *p = *state;
	const struct image_store_config config = {
		.root = p->root,
		.certs_dir = "",
		.insecure_registries = "",
		.max_layer_bytes = FIXTURE_MAX_LAYER,
		.progress_timeout_ms = 300,
	};
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	image_store_close(p->store);
	assert_ok(image_store_open(&config, &p->store, &err), &err);
	assert_failed(pull_as(p, "stalling/app:1", NULL, &image, &err), &err, ERR_UNAVAILABLE, "no byte moved");
}

static void *cancel_soon(void *arg)
{
	(void)usleep(300000);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void a_pull_can_be_cancelled(void **state)
{
	static const char *const repositories[] = { "stalling/app:1", "down/app:1" }; /* in a transfer, and in a pause */
	struct place *p = *state;

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(repositories); i++) {
		atomic_bool cancelled = false;
		_cleanup_free_
		char *reference = NULL;
		struct pull_request request = { .cancelled = &cancelled };
		struct timespec before, after;
		struct error err = ERROR_INIT;
		struct image *image;
		pthread_t thread;

		assert_true(asprintf(&reference, "127.0.0.1:%u/%s", p->port, repositories[i]) > 0);
		request.reference = reference;
		(void)clock_gettime(CLOCK_MONOTONIC, &before);
		assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancelled), 0);
		assert_failed(image_pull(p->store, &request, &image, &err), &err, ERR_CANCELLED, "cancelled");
		(void)clock_gettime(CLOCK_MONOTONIC, &after);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(after.tv_sec - before.tv_sec < 4);
		assert_int_equal(fixture_count(p->root, "ingest"), 0);
		assert_int_equal(fixture_count(p->root, "layers"), 0);
	}
}

static void nobody_listens(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;

	p->port = free_port();
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_UNAVAILABLE, "Couldn't connect");
	assert_true(!strncmp(err.text, "RegistryUnavailable: ", 21));
}

struct puller {
	struct place *place;
	pthread_t thread;
	int result;
	struct error err;
};

static void *run_pull(void *arg)
{
	struct puller *w = arg;
	struct image *image = NULL;

	w->result = pull_as(w->place, "fine/app:1", NULL, &image, &w->err);
	image_unref(image);
	return NULL;
}

static void pulls_at_once_fetch_each_layer_once(void **state)
{
	struct place *p = *state;
	struct puller pullers[6];

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(pullers); i++) {
		pullers[i] = (struct puller){ .place = p };
		assert_int_equal(pthread_create(&pullers[i].thread, NULL, run_pull, &pullers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pullers); i++) {
		assert_int_equal(pthread_join(pullers[i].thread, NULL), 0);
		assert_ok(pullers[i].result, &pullers[i].err);
	}
	assert_int_equal(fixture_count(p->root, "layers"), 2);
	/* Everything but configurations, of which each may have asked for one before the first was stored. */
	assert_true(logged(p, "/blobs/", NULL, NULL) <= 2 + ARRAY_SIZE(pullers));
	assert_pulls(p, "fine/app:1", NULL);
}

struct progress {
	pthread_t thread;
	unsigned calls;
	struct pull_layer last[2];
};

static void on_progress(void *arg, const struct pull_layer *layers, size_t n)
{
	struct progress *progress = arg;

	assert_true(pthread_equal(pthread_self(), progress->thread));
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_true(!strncmp(layers[i].digest, "sha256:", 7));
		assert_in_range(layers[i].done_bytes, progress->last[i].done_bytes, layers[i].total_bytes);
		assert_true(layers[i].state >= progress->last[i].state);
		progress->last[i] = layers[i];
	}
	progress->calls++;
}

static void expect_progress(struct place *p, enum pull_layer_state state)
{
	struct progress progress = { .thread = pthread_self() };
	struct pull_request request = { .progress = on_progress, .progress_arg = &progress };
	_cleanup_free_
	char *reference = NULL;
	struct image *image;
	struct error err = ERROR_INIT;

	assert_true(asprintf(&reference, "127.0.0.1:%u/fine/app:1", p->port) > 0);
	request.reference = reference;
	assert_ok(image_pull(p->store, &request, &image, &err), &err);
	image_unref(image);
	assert_in_range(progress.calls, 1, 1000);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(progress.last[i].state, state);
		assert_int_equal(progress.last[i].done_bytes, progress.last[i].total_bytes);
	}
}

static void progress_is_told(void **state)
{
	need_root();
	expect_progress(*state, PULL_LAYER_DONE);
	expect_progress(*state, PULL_LAYER_EXISTS);
}

static void open_insecure(struct place *p, const char *registries)
{
	const struct image_store_config config = {
		.root = p->root,
		.certs_dir = p->certs,
		.insecure_registries = registries,
		.max_layer_bytes = FIXTURE_MAX_LAYER,
		.progress_timeout_ms = 5000,
	};
	struct error err = ERROR_INIT;

	image_store_close(p->store);
	assert_ok(image_store_open(&config, &p->store, &err), &err);
}

/* Who has certificates for a registry means https, also on loopback; who lists it as insecure means http. */
static void plain_http_has_to_be_allowed(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *certs = NULL;
	_cleanup_free_
	char *list = NULL;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	assert_true(asprintf(&certs, "%s/127.0.0.1:%u", p->certs, p->port) > 0);
	assert_true(asprintf(&list, "other.example, 127.0.0.1:%u", p->port) > 0);
	assert_int_equal(mkdir(certs, 0700), 0);
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_UNAVAILABLE, "registry 127.0.0.1");
	assert_int_equal(logged(p, "/v2/", NULL, NULL), 0);
	open_insecure(p, list);
	assert_pulls(p, "fine/app:1", NULL);
}

static void proxies_are_used_but_for_loopback(void **state)
{
	struct place *p = *state;
	struct pull_request request = { .reference = "registry.invalid/fine/app:1" };
	char proxy[64];
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	assert_pulls(p, "fine/app:1", NULL);
	forget(p);
	open_insecure(p, "registry.invalid");
	(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", p->port);
	assert_int_equal(setenv("http_proxy", proxy, 1), 0);
	assert_ok(image_pull(p->store, &request, &image, &err), &err);
	assert_string_equal(image->repo_tags[0], "registry.invalid/fine/app:1");
	image_unref(image);
	assert_int_equal(logged(p, "main GET http://registry.invalid", "/v2/fine/app/", NULL), 4);
	assert_int_equal(unsetenv("http_proxy"), 0);
}

/* ---- TLS ---- */

static void https_needs_trust(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *certificate = fixture_path(p->dir, "server.crt");
	_cleanup_free_
	char *key = fixture_path(p->dir, "server.key");
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	need_program("openssl");
	make_certificates(p);
	start_ills(p, certificate, key);
	assert_failed(pull_as(p, "fine/app:1", NULL, &image, &err), &err, ERR_UNAVAILABLE, "certificate");
	assert_int_equal(logged(p, "GET", NULL, NULL), 0); /* not a byte, and no second try in the clear */
	trust(p, false);
	assert_pulls(p, "fine/app:1", NULL);
	forget(p);
	/* The token service and the redirect target speak http: credentials and layers do not go there. */
	assert_failed(pull_as(p, "bearer/app:1", &puller, &image, &err), &err, ERR_DENIED, "not https");
	assert_failed(pull_as(p, "moved/app:1", &puller, &image, &err), &err, ERR_DENIED, "from https to http");
	assert_int_equal(logged(p, "other", NULL, NULL), 0);
}

/* ---- the real registry ---- */

static void push_all(struct place *p, const char *options)
{
	_cleanup_free_
	char *from = NULL;

	assert_true(asprintf(&from, "oci:%s", p->layout) > 0);
	skopeo(p, from, "me/app:1", options);
}

static void the_real_registry(void **state)
{
	struct place *p = *state;
	struct image *image;
	struct error err = ERROR_INIT;
	char what[200];

	need_root();
	need_program("docker-registry");
	need_program("skopeo");
	start_registry(p, NULL, NULL);
	push_all(p, NULL);
	assert_pulls(p, "me/app:1", NULL);
	(void)snprintf(what, sizeof(what), "me/app@%s", p->manifest.digest);
	assert_pulls(p, what, NULL);
	assert_failed(pull_as(p, "me/app:2", NULL, &image, &err), &err, ERR_NOT_FOUND, "manifest unknown");
	assert_failed(pull_as(p, "me/none:1", NULL, &image, &err), &err, ERR_NOT_FOUND, "not found");
	forget(p);
	/* A blob that rots on the registry's disk. */
	{
		_cleanup_free_
		char *command = NULL;

		assert_true(asprintf(&command,
				     "for f in $(find %s/registry -name data -size +100k); do printf x | dd of=$f bs=1 seek=1000 "
				     "conv=notrunc; done",
				     p->dir) > 0);
		assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", command, NULL }), 0);
	}
	assert_failed(pull_as(p, "me/app:1", NULL, &image, &err), &err, ERR_DATA_LOSS, "turned out to be");
	assert_int_equal(fixture_count(p->root, "images"), 0);
}

static void docker_manifests(void **state)
{
	struct place *p = *state;

	need_root();
	need_program("docker-registry");
	need_program("skopeo");
	start_registry(p, NULL, NULL);
	make_layout(p, 'g'); /* Docker's format knows no zstd */
	push_all(p, "--format v2s2");
	assert_pulls(p, "me/app:1", NULL);
}

static void the_real_registry_with_tls_and_password(void **state)
{
	static const struct image_auth wrong = { .username = "puller", .password = "wrong" };
	struct place *p = *state;
	_cleanup_free_
	char *tls = NULL;
	_cleanup_free_
	char *auth = NULL;
	_cleanup_free_
	char *command = NULL;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	need_program("docker-registry");
	need_program("skopeo");
	need_program("openssl");
	need_program("htpasswd");
	make_certificates(p);
	assert_true(asprintf(&command, "htpasswd -Bbn puller s3cret > %s/htpasswd", p->dir) > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", command, NULL }), 0);
	assert_true(asprintf(&tls, "  tls:\n    certificate: %s/server.crt\n    key: %s/server.key\n    clientcas: [%s/ca.crt]\n",
			     p->dir, p->dir, p->dir) > 0);
	assert_true(asprintf(&auth, "auth: {htpasswd: {realm: test, path: %s/htpasswd}}\n", p->dir) > 0);
	start_registry(p, tls, auth);
	trust(p, true);
	{
		_cleanup_free_
		char *options = NULL;

		assert_true(asprintf(&options, "--dest-creds=puller:s3cret --dest-cert-dir='%s/127.0.0.1:%u'", p->certs, p->port) >
			    0);
		push_all(p, options);
	}
	assert_pulls(p, "me/app:1", &puller);
	assert_failed(pull_as(p, "me/app:1", NULL, &image, &err), &err, ERR_UNAUTHENTICATED, "required");
	assert_failed(pull_as(p, "me/app:1", &wrong, &image, &err), &err, ERR_UNAUTHENTICATED, "refused");
	assert_failed(pull_as(p, "me/app:2", &puller, &image, &err), &err, ERR_NOT_FOUND, "manifest unknown");
}

/* An index with an image for this machine among others. */
static void indexes_choose_the_platform(void **state)
{
	struct place *p = *state;
	struct blob index;
	struct image *image;
	struct error err = ERROR_INIT;
	_cleanup_free_
	char *text = NULL;
	_cleanup_free_
	char *outer = NULL;

	need_root();
	assert_true(asprintf(&text,
			     "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":["
			     "{\"mediaType\":\"" FIXTURE_MANIFEST_TYPE
			     "\",\"digest\":\"%s\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"vax\"}},"
			     "{\"mediaType\":\"" FIXTURE_MANIFEST_TYPE
			     "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
			     "{\"mediaType\":\"" FIXTURE_MANIFEST_TYPE
			     "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}]}",
			     p->manifest.digest, p->manifest.digest, p->manifest.len, p->manifest.digest, p->manifest.len) > 0);
	index = fixture_blob(p->layout, text, strlen(text));
	assert_true(asprintf(&outer, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":%zu}]}", index.digest,
			     index.len) > 0);
	fixture_write(p->layout, "index.json", outer, strlen(outer));
	start_ills(p, NULL, NULL);
	assert_ok(pull_as(p, "fine/app:1", NULL, &image, &err), &err);
	/* The digest is that of the index: what was asked for. */
	assert_non_null(strstr(image->repo_digests[0], index.digest));
	image_unref(image);
	assert_int_equal(logged(p, "/manifests/", NULL, NULL), 2);
	/* Once more: the tag alone has to be asked for. */
	clear_log(p);
	assert_pulls(p, "fine/app:1", NULL);
	assert_int_equal(logged(p, "GET", NULL, NULL), 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define ILL(f) cmocka_unit_test_setup_teardown(f, set_up_ills, tear_down)

static const struct CMUnitTest tests[] = {
	ILL(a_healthy_registry),
	ILL(failures_say_what_they_are),
	ILL(a_manifest_is_checked_by_its_digest),
	ILL(basic_and_bearer),
	ILL(tokens_are_renewed),
	ILL(redirects_take_no_credentials_along_cve_2020_15157),
	ILL(challenges_count_from_the_host_alone_cve_2020_15157),
	ILL(passing_trouble_is_sat_out),
	ILL(broken_transfers_go_on),
	CASE(a_transfer_that_gets_on_is_not_given_up),
	ILL(stalled_transfers_are_given_up),
	ILL(a_pull_can_be_cancelled),
	CASE(nobody_listens),
	ILL(pulls_at_once_fetch_each_layer_once),
	ILL(progress_is_told),
	ILL(plain_http_has_to_be_allowed),
	ILL(proxies_are_used_but_for_loopback),
	CASE(https_needs_trust),
	CASE(indexes_choose_the_platform),
	CASE(the_real_registry),
	CASE(docker_manifests),
	CASE(the_real_registry_with_tls_and_password),
};

FIXTURE_MAIN(tests)
