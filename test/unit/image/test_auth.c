#include "image_fixture.h"

#include "image/auth.h"
#include "image/http.h"
#include "image/origin.h"
#include "image/registry.h"

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
		{ { .username = "u", .password = "p", .server_address = "https://index.docker.io/v1/" },
		  "docker.io",
		  "Basic dTpw" },
		{ { .username = "u", .password = "p", .server_address = "x.y" }, "x.y:5000", NULL },
		{ { .username = "u", .password = "p", .server_address = "x.y" }, "evil.x.y", NULL },
		{ { .username = "u", .password = "p", .server_address = "x.y.evil" }, "x.y", NULL },
		{ { .username = "u", .password = "p", .server_address = "http://evil/x.y" }, "x.y", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct credentials c;

		assert_ok(credentials_init(&c, &cases[i].auth, cases[i].host, &err), &err);
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

		assert_failed(credentials_init(&c, &cases[i].auth, "x.y", &err), &err, ERR_INVALID, cases[i].why);
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

static void insecure_list(void **state)
{
	(void)state;
	assert_true(registry_in_list("a:5000", "a:5000"));
	assert_true(registry_in_list(" x, a:5000 ,y", "a:5000"));
	assert_true(registry_in_list("A:5000", "a:5000"));
	assert_false(registry_in_list("a:5000", "a"));
	assert_false(registry_in_list("a", "a:5000"));
	assert_false(registry_in_list("aa,ba", "a"));
	assert_false(registry_in_list("", "a"));
	assert_false(registry_in_list(",,", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges), cmocka_unit_test(basic_credentials),  cmocka_unit_test(bad_credentials),
		cmocka_unit_test(origins),    cmocka_unit_test(relative_locations), cmocka_unit_test(insecure_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
