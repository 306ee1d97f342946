#include "image_fixture.h"

#include "image/auth.h"
#include "image/auth_file.h"
#include "image/http.h"
#include "image/origin.h"
#include "image/proxy.h"

static void challenges(void **state)
{
	static const struct {
		const char *header;
		enum challenge_scheme scheme;
		const char *realm, *service, *scope;
	} cases[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", CHALLENGE_BEARER, "https://a/t", "s",
		  "repository:x:pull" },
		{ "bearer REALM=\"https://a/t\" , Service=s", CHALLENGE_BEARER, "https://a/t", "s", "" },
		{ "Bearer realm = \"x\"", CHALLENGE_BEARER, "x", "", "" },
		{ "Basic realm=\"r\"", CHALLENGE_BASIC, "r", "", "" },
		{ "Basic", CHALLENGE_BASIC, "", "", "" },
		{ "Basic realm=\"a\", Bearer realm=\"b\",service=c", CHALLENGE_BEARER, "b", "c", "" },
		{ "Bearer realm=\"b\", Basic realm=\"a\"", CHALLENGE_BEARER, "b", "", "" },
		{ "Negotiate, Basic realm=\"a\"", CHALLENGE_BASIC, "a", "", "" },
		{ "Negotiate YII=, Bearer realm=\"b\"", CHALLENGE_BEARER, "b", "", "" },
		{ "Negotiate YII==, Bearer realm=\"b\"", CHALLENGE_BEARER, "b", "", "" },
		{ "Bearer realm=\"a\\\"b\\\\c,d\",service=x", CHALLENGE_BEARER, "a\"b\\c,d", "x", "" },
		{ "Bearer realm=\"a\",realm=\"b\"", CHALLENGE_BEARER, "a", "", "" },
		{ "Bearer realm=\"a\",error=\"invalid_token\",scope=\"s t\"", CHALLENGE_BEARER, "a", "", "s t" },
		{ "Bearer realm=\"unterminated", CHALLENGE_BEARER, "", "", "" },
		{ "Bearer realm=\"\"", CHALLENGE_BEARER, "", "", "" },
		{ ",,, Bearer ,, realm=a", CHALLENGE_BEARER, "a", "", "" },
		{ "Digest realm=\"x\"", CHALLENGE_NONE, "", "", "" },
		{ "", CHALLENGE_NONE, "", "", "" },
		{ "\"\"", CHALLENGE_NONE, "", "", "" },
		{ "=", CHALLENGE_NONE, "", "", "" },
		{ "\x01\xff", CHALLENGE_NONE, "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		_cleanup_challenge_ struct challenge c = { 0 };

		assert_ok(challenge_parse(cases[i].header, &c, &err), &err);
		if (c.scheme != cases[i].scheme)
			fail_msg("%s: scheme %d", cases[i].header, c.scheme);
		assert_string_equal(c.realm, cases[i].realm);
		assert_string_equal(c.service, cases[i].service);
		assert_string_equal(c.scope, cases[i].scope);
	}
}

static const struct origin *target(const char *scheme, const char *host)
{
	static struct origin origin;
	struct error err = ERROR_INIT;
	char url[300];

	(void)snprintf(url, sizeof(url), "%s://%s/", scheme, host);
	assert_ok(origin_of(url, &origin, &err), &err);
	return &origin;
}

static void addresses_are_bound_to_a_scheme(void **state)
{
	(void)state;
	assert_true(auth_address_is("x.y", target("http", "x.y")));
	assert_true(auth_address_is("http://x.y", target("http", "x.y")));
	assert_false(auth_address_is("https://x.y", target("http", "x.y")));
	assert_false(auth_address_is("x.y:443", target("http", "x.y")));
	assert_true(auth_address_is("http://x.y", target("https", "x.y")));
	assert_true(auth_address_is("https://localhost:5000", target("http", "localhost:5000")));
	assert_false(auth_address_is("docker.io", target("http", "registry-1.docker.io")));
}

static void basic_credentials(void **state)
{
	static const struct {
		struct image_auth auth;
		const char *host;
		const char *header; /* NULL: none apply */
	} cases[] = {
		{ { .username = "u", .password = "p" }, "x.y", "Basic dTpw" },
		{ { .username = "u" }, "x.y", "Basic dTo=" },
		{ { .auth = "dTpw" }, "x.y", "Basic dTpw" },
		{ { .auth = "dTpwOnE=" }, "x.y", "Basic dTpwOnE=" }, /* a colon in the password */
		{ { .username = "", .auth = "dTpw" }, "x.y", "Basic dTpw" },
		{ { .auth = "" }, "x.y", NULL },
		{ { 0 }, "x.y", NULL },
		{ { .username = "u", .password = "p", .server_address = "x.y" }, "x.y", "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "https://x.y/v2/" }, "x.y", "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "X.Y:5000" }, "x.y:5000", "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "x.y:443" }, "x.y", "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "https://index.docker.io/v1/" },
		  "registry-1.docker.io",
		  "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "docker.io" }, "registry-1.docker.io", "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "docker.io" }, "registry-1.docker.io:444", NULL },
		{ { .username = "u", .password = "p", .server_address = "u@x.y" }, "x.y", NULL },
		{ { .username = "u", .password = "p", .server_address = "x.y" }, "x.y:5000", NULL },
		{ { .username = "u", .password = "p", .server_address = "x.y" }, "evil.x.y", NULL },
		{ { .username = "u", .password = "p", .server_address = "x.y.evil" }, "x.y", NULL },
		{ { .username = "u", .password = "p", .server_address = "http://evil/x.y" }, "x.y", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct credentials c;

		assert_ok(credentials_init(&c, &cases[i].auth, target("https", cases[i].host), &err), &err);
		assert_int_equal(c.username != NULL, cases[i].header != NULL);
		if (cases[i].header) {
			char *header = credentials_basic(&c);

			assert_string_equal(header, cases[i].header);
			secret_free(header);
		}
		credentials_release(&c);
		assert_null(c.username);
	}
}

static void bad_credentials(void **state)
{
	static const struct {
		struct image_auth auth;
		const char *why;
	} cases[] = {
		{ { .auth = "!!!!" }, "not base64" },
		{ { .auth = "dTp" }, "not base64" },
		{ { .auth = "dXA=" }, "USER:PASSWORD" },
		{ { .registry_token = "a\r\nHost: evil" }, "registry token" },
		{ { .identity_token = "a b" }, "identity token" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct credentials c;

		assert_failed(credentials_init(&c, &cases[i].auth, target("https", "x.y"), &err), &err, ERR_INVALID, cases[i].why);
		assert_null(c.registry_token);
		/* A secret that cannot be used does not show up in the text either. */
		assert_null(strstr(err.text, "evil"));
	}
}

static void origins(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{ "https://x.y/a", "https://x.y:443/b?c#d", true }, { "http://x.y/", "http://X.Y:80/", true },
		{ "https://x.y/", "http://x.y/", false },           { "https://x.y/", "https://x.y:8443/", false },
		{ "https://x.y/", "https://z.x.y/", false },        { "https://x.y/", "https://x.y./", false },
		{ "http://[::1]:5/", "http://[::1]:5/x", true },    { "http://[::1]:5/", "http://[::2]:5/x", false },
	};
	static const char *const bad[] = {
		"", "x", "ftp://x/", "file:///etc/passwd", "https://", "https://u:p@x/", "https://u@x/", "https://x:99999/"
	};
	struct error err = ERROR_INIT;
	struct origin a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(origin_of(cases[i].a, &a, &err), &err);
		assert_ok(origin_of(cases[i].b, &b, &err), &err);
		assert_int_equal(origin_equal(&a, &b), cases[i].equal);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_failed(origin_of(bad[i], &a, &err), &err, ERR_INVALID, "not a URL");
}

static void relative_locations(void **state)
{
	static const struct {
		const char *base, *location, *url; /* NULL: refused */
	} cases[] = {
		{ "https://x.y/v2/a/blobs/b", "/c?d=e", "https://x.y/c?d=e" },
		{ "https://x.y/v2/a", "https://z/f", "https://z/f" },
		{ "https://x.y/v2/a", "//z/f", "https://z/f" },
		{ "https://x.y/v2/a", "b#frag", "https://x.y/v2/b" },
		{ "https://x.y:5/v2/a", "?q", "https://x.y:5/v2/a?q" },
		{ "https://x.y/v2/a", "http://[bad", NULL },
	};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *url = NULL;
		int result = origin_resolve(cases[i].base, cases[i].location, &url, &err);

		if (cases[i].url) {
			assert_ok(result, &err);
			assert_string_equal(url, cases[i].url);
		} else {
			assert_failed(result, &err, ERR_INVALID, "no URL");
		}
		free(url);
	}
}

/* ---- the file of credentials ---- */

static const char *user_in(const char *dir, const char *scheme, const char *host, const char *repository)
{
	static char user[100];
	_cleanup_free_
	char *path = fixture_path(dir, "config.json");
	struct error err = ERROR_INIT;
	struct credentials c;

	assert_ok(auth_file_find(path, target(scheme, host), repository, &c, &err), &err);
	(void)snprintf(user, sizeof(user), "%s", c.username ? c.username : c.identity_token ? c.identity_token : "-");
	credentials_release(&c);
	return user;
}

static void auth_files(void **state)
{
	/* "a:p" and so on in base64 */
	static const char text[] = "{\"auths\": {"
				   "\"https://index.docker.io/v1/\": {\"auth\": \"aHViOnA=\"},"
				   "\"docker.io/library\": {\"auth\": \"bGlicmFyeTpw\"},"
				   "\"x.example\": {\"auth\": \"aG9zdDpw\"},"
				   "\"x.example/team/app\": {\"auth\": \"YXBwOnA=\"},"
				   "\"x.example/team\": {\"username\": \"team\", \"password\": \"p\"},"
				   "\"x.example:5000/\": {\"auth\": \"cG9ydDpw\"},"
				   "\"https://secure.example\": {\"auth\": \"cG9ydDpw\"},"
				   "\"t.example\": {\"auth\": \"\", \"identitytoken\": \"identity\"},"
				   "\"empty.example\": {}, \"odd.example\": 7}, \"HttpHeaders\": {}}";
	static const struct {
		const char *scheme, *host, *repository, *user;
	} cases[] = {
		{ "https", "registry-1.docker.io", "me/app", "hub" },
		{ "https", "registry-1.docker.io", "library/busybox", "library" },
		{ "https", "x.example", "app", "host" },
		{ "https", "x.example", "team", "team" },
		{ "https", "x.example", "team/other", "team" },
		{ "https", "x.example", "team/app", "app" },
		{ "https", "x.example", "team/app/deep", "app" },
		{ "https", "x.example", "team/apple", "team" },
		{ "https", "x.example", "teams/app", "host" },
		{ "https", "x.example:5000", "team/app", "port" },
		{ "https", "x.example:5001", "app", "-" },
		{ "https", "evil.x.example", "app", "-" },
		{ "https", "secure.example", "app", "port" },
		{ "http", "secure.example", "app", "-" },
		{ "https", "t.example", "app", "identity" },
		{ "https", "empty.example", "app", "-" },
		{ "https", "odd.example", "app", "-" },
	};
	char *dir = fixture_dir();

	(void)state;
	fixture_write(dir, "config.json", text, strlen(text));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *user = user_in(dir, cases[i].scheme, cases[i].host, cases[i].repository);

		if (strcmp(user, cases[i].user) != 0)
			fail_msg("%s/%s: %s, not %s", cases[i].host, cases[i].repository, user, cases[i].user);
	}
	fixture_remove(dir);
}

static void bad_auth_files(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "config.json" },
		{ "{", "config.json" },
		{ "{\"auths\": []}", "'auths' is no object" },
		{ "{\"auths\": {\"x.y\": {\"auth\": \"!!!!\"}}}", "credentials for x.y: 'auth' of the credentials is not base64" },
	};
	char *dir = fixture_dir(), *path = fixture_path(dir, "config.json");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct credentials c;

		fixture_write(dir, "config.json", cases[i].text, strlen(cases[i].text));
		assert_failed(auth_file_find(path, target("https", "x.y"), "app", &c, &err), &err, ERR_INVALID, cases[i].why);
	}
	/* One that is not there yet is a warning: images that need no credentials can still be pulled. */
	assert_int_equal(unlink(path), 0);
	assert_string_equal(user_in(dir, "https", "x.y", "app"), "-");
	free(path);
	fixture_remove(dir);
}

static void helpers_are_not_run(void **state)
{
	static const char text[] = "{\"auths\": {\"x.y\": {}, \"z\": {\"auth\": \"aHViOnA=\"}}, \"credsStore\": \"touch\","
				   "\"credHelpers\": {\"x.y\": \"touch\", \"z\": \"touch\"}}";
	char *dir = fixture_dir();

	(void)state;
	fixture_write(dir, "config.json", text, strlen(text));
	assert_string_equal(user_in(dir, "https", "x.y", "app"), "-");
	assert_string_equal(user_in(dir, "https", "z", "app"), "hub");
	assert_string_equal(user_in(dir, "https", "other", "app"), "-");
	fixture_remove(dir);
}

/* ---- proxies ---- */

static void proxies(void **state)
{
	static const struct {
		const char *list, *host;
		bool is;
	} cases[] = {
		{ "x.example", "x.example", true },
		{ "x.example", "a.x.example", true },
		{ "x.example", "ax.example", false },
		{ "X.Example", "x.example:5000", true },
		{ "a, b ,x.example", "x.example", true },
		{ ".x.example", "x.example", false },
		{ ".x.example", "a.x.example", true },
		{ "*.x.example", "a.b.x.example", true },
		{ "*.x.example", "x.example", false },
		{ "x.example:5000", "x.example:5000", true },
		{ "x.example:5000", "x.example", false },
		{ "x.example:443", "x.example", true },
		{ "*", "anything", true },
		{ "10.0.0.0/8", "10.1.2.3:5000", true },
		{ "10.0.0.0/8", "11.1.2.3", false },
		{ "10.1.2.0/23", "10.1.3.9", true },
		{ "10.1.2.0/23", "10.1.4.9", false },
		{ "10.0.0.0/8", "10.x.example", false },
		{ "10.0.0.0/33", "10.0.0.0", false },
		{ "10.0.0.0/", "10.0.0.0", false },
		{ "0.0.0.0/0", "1.2.3.4", true },
		{ "fd00::/8", "[fd12::1]:5000", true },
		{ "fd00::/8", "[fe12::1]", false },
		{ "::/0", "1.2.3.4", false },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "10.1.2.3:5000", "10.1.2.3", false },
		{ "2.3", "10.1.2.3", false },
		{ "fd12::1", "[fd12:0::1]", true },
		{ "[fd12::1]:5000", "[fd12::1]:5000", true },
		{ "[fd12::1]:5000", "[fd12::1]", false },
		{ "", "x", false },
		{ ",, ,", "x", false },
	};
	char name[ORIGIN_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (proxy_is_excluded(cases[i].list, target("https", cases[i].host)) != cases[i].is)
			fail_msg("%s with %s", cases[i].host, cases[i].list);
	}
	proxy_name("http://user:pass@word@proxy.example:3128/", name);
	assert_string_equal(name, "proxy.example:3128");
	proxy_name("proxy.example", name);
	assert_string_equal(name, "proxy.example");
}

static void proxies_of_the_environment(void **state)
{
	static const char *const names[] = { "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(unsetenv(names[i]), 0);
	assert_null(proxy_for(target("https", "x.example")));
	assert_int_equal(setenv("http_proxy", "http://small", 1), 0);
	assert_int_equal(setenv("HTTPS_PROXY", "http://secure", 1), 0);
	assert_string_equal(proxy_for(target("http", "x.example")), "http://small");
	assert_string_equal(proxy_for(target("https", "x.example")), "http://secure");
	assert_int_equal(setenv("HTTP_PROXY", "http://capital", 1), 0);
	assert_string_equal(proxy_for(target("http", "x.example")), "http://capital");
	assert_null(proxy_for(target("http", "localhost:5000")));
	assert_null(proxy_for(target("https", "127.0.0.2")));
	assert_null(proxy_for(target("https", "[::1]:5000")));
	assert_int_equal(setenv("no_proxy", "x.example", 1), 0);
	assert_null(proxy_for(target("https", "x.example")));
	assert_non_null(proxy_for(target("https", "y.example")));
	assert_int_equal(setenv("NO_PROXY", "", 1), 0);
	assert_null(proxy_for(target("https", "x.example")));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(unsetenv(names[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_bound_to_a_scheme),
		cmocka_unit_test(auth_files),
		cmocka_unit_test(bad_auth_files),
		cmocka_unit_test(helpers_are_not_run),
		cmocka_unit_test(proxies),
		cmocka_unit_test(proxies_of_the_environment),
		cmocka_unit_test(challenges),
		cmocka_unit_test(basic_credentials),
		cmocka_unit_test(bad_credentials),
		cmocka_unit_test(origins),
		cmocka_unit_test(relative_locations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
