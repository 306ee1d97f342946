#include "image_fixture.h"

#include "image/reference.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static void good_spellings(void **state)
{
	static const struct {
		const char *text, *full;
	} cases[] = {
		{ "busybox", "docker.io/library/busybox:latest" },
		{ "busybox:1.36", "docker.io/library/busybox:1.36" },
		{ "me/app", "docker.io/me/app:latest" },
		{ "me/deep/app:x", "docker.io/me/deep/app:x" },
		{ "docker.io/busybox", "docker.io/library/busybox:latest" },
		{ "index.docker.io/busybox:1", "docker.io/library/busybox:1" },
		{ "docker.io/library/busybox", "docker.io/library/busybox:latest" },
		{ "index.docker.io/library/busybox", "docker.io/library/busybox:latest" },
		{ "localhost/app", "localhost/app:latest" },
		{ "localhost:5000/app", "localhost:5000/app:latest" },
		{ "app:5000", "docker.io/library/app:5000" },
		{ "127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1" },
		{ "[::1]:5000/app", "[::1]:5000/app:latest" },
		{ "[fe80::1]/app:2", "[fe80::1]/app:2" },
		{ "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9" },
		{ "Registry.Example.COM/app", "Registry.Example.COM/app:latest" },
		{ "LOCALDOMAIN/debian", "LOCALDOMAIN/debian:latest" },
		{ "LOCALDOMAIN/library/debian:1", "LOCALDOMAIN/library/debian:1" },
		{ "Foo/bar", "Foo/bar:latest" },
		{ "Docker/docker", "Docker/docker:latest" },
		{ "REGISTRY:5000/app", "REGISTRY:5000/app:latest" },
		{ "192.168.0.1", "docker.io/library/192.168.0.1:latest" },
		{ "192.168.0.1:80", "docker.io/library/192.168.0.1:80" },
		{ "192.168.0.1:8/debian", "192.168.0.1:8/debian:latest" },
		{ "test.com:5000", "docker.io/library/test.com:5000" },
		{ "test:5000/repo:tag", "test:5000/repo:tag" },
		{ "test:5000/repo:tag@" DIGEST, "test:5000/repo:tag@" DIGEST },
		{ "foo_bar.com:8080", "docker.io/library/foo_bar.com:8080" },
		{ "foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080" },
		{ "test_com", "docker.io/library/test_com:latest" },
		{ "lowercase:Uppercase", "docker.io/library/lowercase:Uppercase" },
		{ "b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io/test.example.com/my-app:test.example.com" },
		{ "xn--7o8h.com/myimage:xn--7o8h.com@" DIGEST, "xn--7o8h.com/myimage:xn--7o8h.com@" DIGEST },
		{ "[fc00:1:2:3:4:5:6:7]:5000/library/debian", "[fc00:1:2:3:4:5:6:7]:5000/library/debian:latest" },
		{ "docker---rules/docker", "docker.io/docker---rules/docker:latest" },
		{ "dock__er/docker", "docker.io/dock__er/docker:latest" },
		{ "d/docker", "docker.io/d/docker:latest" },
		{ "library/foo/bar", "docker.io/library/foo/bar:latest" },
		{ "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev",
		  "docker.io/library/thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev:latest" },
		/* 64 digits with anything around them are a name. */
		{ "docker.io/" HEX64, "docker.io/library/" HEX64 ":latest" },
		{ HEX64 ":tag", "docker.io/library/" HEX64 ":tag" },
		{ "quay.io/a-b/c_d/e__f/g.h/i---j:T.a-g_1", "quay.io/a-b/c_d/e__f/g.h/i---j:T.a-g_1" },
		{ "busybox@" DIGEST, "docker.io/library/busybox@" DIGEST },
		{ "busybox:1.36@" DIGEST, "docker.io/library/busybox:1.36@" DIGEST },
		{ "localhost:1/a:b@" DIGEST, "localhost:1/a:b@" DIGEST },
		{ "a", "docker.io/library/a:latest" },
		{ "0/1", "docker.io/0/1:latest" },
		{ "x/" HEX64, "docker.io/x/" HEX64 ":latest" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		char *name = NULL;

		assert_ok(image_normalize(cases[i].text, &name, &err), &err);
		assert_string_equal(name, cases[i].full);
		free(name);
	}
}

/* What is full already stays as it is. */
static void normal_form_is_stable(void **state)
{
	static const char *const names[] = { "a", "x.y/z", "localhost:1/b:c", "q@" DIGEST, "[::1]/a:b@" DIGEST };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct error err = ERROR_INIT;
		char *once = NULL, *twice = NULL;

		assert_ok(image_normalize(names[i], &once, &err), &err);
		assert_ok(image_normalize(once, &twice, &err), &err);
		assert_string_equal(once, twice);
		free(once);
		free(twice);
	}
}

static void bad_spellings(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "empty" },
		{ HEX64, "image id" },
		{ "Busybox", "lower case" },
		{ "me/App", "lower case" },
		{ "REGISTRY/App", "lower case" },
		{ "docker.io/docker/Docker", "lower case" },
		{ "test:5000/Uppercase/lowercase:tag", "lower case" },
		{ "Uppercase:tag", "lower case" },
		{ ":justtag", "bad repository" },
		{ "@" DIGEST, "bad repository" },
		{ "repo@sha256:ffffffffffffffffffffffffffffffffff", "not a digest" },
		{ "validname@invaliddigest:" HEX64, "not a digest" },
		{ "aa/asdf$$^/aa", "bad repository" },
		{ "-docker/docker", "bad repository" },
		{ "docker-/docker", "bad repository" },
		{ "-docker.io/docker/docker", "not a registry host" },
		{ "docker///docker", "bad repository" },
		{ "docker/", "bad repository" },
		{ "____/____", "bad repository" },
		{ "_docker/_docker", "bad repository" },
		{ "dock..er/docker", "not a registry host" },
		{ "dock_.er/docker", "not a registry host" },
		{ "dock-.er/docker", "not a registry host" },
		{ "[fc00::1]", "bad tag" },
		{ "[fc00::1]:5000", "bad repository" },
		{ "[2001:db8::1]:tag", "bad repository" },
		{ "fc00::1:5000/debian", "not a registry host" },
		{ "[fe80::1%eth0]:5000/debian", "not a registry host" },
		{ "[2001:db8:3:4::192.0.2.33]:5000/debian", "not a registry host" },
		{ "busybox:", "bad tag" },
		{ "busybox:-x", "bad tag" },
		{ "busybox:.x", "bad tag" },
		{ "busybox:a b", "bad tag" },
		{ "busybox:a/b:c d", "bad tag" },
		{ "a//b", "bad repository" },
		{ "/a", "bad repository" },
		{ "a/", "bad repository" },
		{ "a..b", "bad repository" },
		{ "a___b", "bad repository" },
		{ "-a", "bad repository" },
		{ "a-", "bad repository" },
		{ "a b", "bad repository" },
		{ "../../etc/passwd", "not a registry host" },
		{ "localhost/../x", "bad repository" },
		{ "a/../b", "bad repository" },
		{ "a\nb", "bad repository" },
		{ "a\xc3\xa9", "bad repository" },
		{ "https://x.y/z", "not a registry host" },
		{ "user@x.y/z", "not a digest" },
		{ "x..y/z", "not a registry host" },
		{ "-x.y/z", "not a registry host" },
		{ "x.y-/z", "not a registry host" },
		{ "x.y:0/z", "not a registry host" },
		{ "x.y:65536/z", "not a registry host" },
		{ "x.y:99999999999999999999/z", "not a registry host" },
		{ "x.y:/z", "not a registry host" },
		{ "x.y:8a/z", "not a registry host" },
		{ "[::1/z", "not a registry host" },
		{ "[::g]/z", "not a registry host" },
		{ "[::1]x/z", "not a registry host" },
		{ "[]/z", "not a registry host" },
		{ "a@", "not a digest" },
		{ "a@sha256:", "not a digest" },
		{ "a@sha256:0123", "not a digest" },
		{ "a@" DIGEST "0", "not a digest" },
		{ "a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "not a digest" },
		{ "a@md5:0123456789abcdef0123456789abcdef", "not a digest" },
		{ "a@" DIGEST "@" DIGEST, "not a digest" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		char *name = NULL;

		assert_failed(image_normalize(cases[i].text, &name, &err), &err, ERR_INVALID, cases[i].why);
		assert_null(name);
	}
}

static void limits(void **state)
{
	struct error err = ERROR_INIT;
	struct reference ref;
	char text[1000];

	(void)state;
	/* 255 characters of path and as many of host, and one more. */
	memset(text, 'a', sizeof(text));
	memcpy(text, "x.y/", 4);
	text[4 + REFERENCE_MAX_NAME] = '\0';
	assert_ok(reference_parse(text, &ref, &err), &err);
	text[4 + REFERENCE_MAX_NAME] = 'a';
	text[5 + REFERENCE_MAX_NAME] = '\0';
	assert_failed(reference_parse(text, &ref, &err), &err, ERR_INVALID, "longer than 255");
	memset(text, 'a', sizeof(text));
	memcpy(text, "x.", 2);
	memcpy(text + REFERENCE_MAX_NAME, "/a", 3);
	assert_ok(reference_parse(text, &ref, &err), &err);
	memcpy(text + REFERENCE_MAX_NAME, "a/a", 4);
	assert_failed(reference_parse(text, &ref, &err), &err, ERR_INVALID, "longer than 255");
	/* The default registry's library counts too. */
	memset(text, 'a', sizeof(text));
	text[REFERENCE_MAX_NAME] = '\0';
	assert_failed(reference_parse(text, &ref, &err), &err, ERR_INVALID, "longer than 255");
	text[REFERENCE_MAX_NAME - strlen("library/")] = '\0';
	assert_ok(reference_parse(text, &ref, &err), &err);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_failed(reference_parse(text, &ref, &err), &err, ERR_INVALID, "too long");
	/* Tags. */
	memcpy(text, "a:", 2);
	text[2 + REFERENCE_MAX_TAG] = '\0';
	memset(text + 2, 't', REFERENCE_MAX_TAG);
	assert_ok(reference_parse(text, &ref, &err), &err);
	memset(text + 2, 't', REFERENCE_MAX_TAG + 1);
	text[3 + REFERENCE_MAX_TAG] = '\0';
	assert_failed(reference_parse(text, &ref, &err), &err, ERR_INVALID, "bad tag");
}

static void other_algorithms_are_named(void **state)
{
	struct error err = ERROR_INIT;
	struct reference ref;

	(void)state;
	assert_failed(reference_parse("a@sha512:" HEX64 HEX64, &ref, &err), &err, ERR_UNIMPLEMENTED, "sha512");
}

static void loopback(void **state)
{
	static const struct {
		const char *host;
		bool is;
	} cases[] = {
		{ "localhost", true }, { "localhost:5000", true }, { "127.0.0.1", true },    { "127.8.9.1:5", true },
		{ "[::1]", true },     { "[::1]:5000", true },     { "128.0.0.1", false },   { "docker.io", false },
		{ "[::2]", false },    { "localhost.x", false },   { "127.0.0.1.x", false }, { "127.1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(reference_host_is_loopback(cases[i].host), cases[i].is);
}

static void digest_of_nothing(void **state)
{
	struct error err = ERROR_INIT;
	char text[DIGEST_TEXT_SIZE];
	_cleanup_digest_ struct digest d = DIGEST_INIT;

	(void)state;
	assert_ok(digest_of("", 0, text, &err), &err); /* FIPS 180-4's own example */
	assert_string_equal(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_ok(digest_begin(&d, &err), &err);
	assert_ok(digest_update(&d, "a", 1, &err), &err);
	assert_ok(digest_update(&d, "bc", 2, &err), &err);
	assert_ok(digest_end(&d, text, &err), &err);
	assert_string_equal(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_spellings),    cmocka_unit_test(normal_form_is_stable),
		cmocka_unit_test(bad_spellings),     cmocka_unit_test(limits),
		cmocka_unit_test(loopback),          cmocka_unit_test(other_algorithms_are_named),
		cmocka_unit_test(digest_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
