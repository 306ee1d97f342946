#include "image_fixture.h"

#include "base/json.h"
#include "image/config.h"
#include "image/manifest.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D "\"sha256:" HEX64 "\""
#define OCI "application/vnd.oci.image."
#define CONFIG "\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":" D ",\"size\":7}"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":" D ",\"size\":1}"
#define IMAGE(layers) "{\"schemaVersion\":2," CONFIG ",\"layers\":[" layers "]}"
#define ENTRY(platform, size)                                                                                                      \
	"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":" D ",\"size\":" size ",\"platform\":{" platform "}}"

static int parse(const char *text, const char *content_type, struct manifest *ret, struct error *err)
{
	/* A copy without the NUL: reading past the end is then an error of the address sanitizer. */
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);
	int result;

	assert_non_null(copy);
	memcpy(copy, text, len);
	result = manifest_parse(copy, len, content_type, ret, err);
	free(copy);
	return result;
}

static void images(void **state)
{
	static const char *const texts[] = {
		IMAGE(LAYER(OCI "layer.v1.tar+gzip") "," LAYER(OCI "layer.v1.tar+zstd")),
		IMAGE(LAYER(OCI "layer.v1.tar") "," LAYER("application/vnd.docker.image.rootfs.diff.tar.gzip")),
		"{\"schemaVersion\":2,\"mediaType\":\"application/"
		"vnd.docker.distribution.manifest.v2+json\",\"config\":{\"mediaType\":"
		"\"application/vnd.docker.container.image.v1+json\",\"digest\":" D
		",\"size\":7},\"layers\":[" LAYER("application/vnd.docker.image.rootfs.diff.tar") "," LAYER(
			"application/vnd.docker.image.rootfs.diff.tar.gzip") "]} \n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct error err = ERROR_INIT;
		_cleanup_manifest_ struct manifest m = { 0 };

		assert_ok(parse(texts[i], NULL, &m, &err), &err);
		assert_int_equal(m.kind, MANIFEST_IMAGE);
		assert_int_equal(m.n_layers, 2);
		assert_int_equal(m.config.size_bytes, 7);
		assert_string_equal(m.config.digest, "sha256:" HEX64);
		assert_int_equal(m.layers[1].size_bytes, 1);
	}
}

static void refused_cve_2024_3727(void **state)
{
	static const struct {
		const char *text, *content_type;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ "", NULL, ERR_INVALID, "not JSON" },
		{ "{", NULL, ERR_INVALID, "not JSON" },
		{ "null", NULL, ERR_INVALID, "not a JSON object" },
		{ "\"x\"", NULL, ERR_INVALID, "not a JSON object" },
		{ "[]", NULL, ERR_INVALID, "not a JSON object" },
		{ "{}", NULL, ERR_INVALID, "neither" },
		{ "{} x", NULL, ERR_INVALID, "not JSON" },
		{ IMAGE("") "{}", NULL, ERR_INVALID, "not JSON" },
		{ "{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, ERR_UNIMPLEMENTED, "schema 1" },
		{ IMAGE(""), "application/vnd.docker.distribution.manifest.v1+prettyjws", ERR_UNIMPLEMENTED, "schema 1" },
		{ "{\"manifests\":[]," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "neither" },
		{ "{\"Manifests\":[]," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "neither" },
		{ "{\"mediaType\":\"" OCI "index.v1+json\"," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "does not fit" },
		{ "{\"mediaType\":\"text/html\"," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "does not fit" },
		{ IMAGE(""), OCI "index.v1+json", ERR_INVALID, "does not fit" },
		{ "{\"manifests\":[]}", OCI "manifest.v1+json; charset=utf-8", ERR_INVALID, "does not fit" },
		{ "{\"config\":7,\"layers\":[]}", NULL, ERR_INVALID, "config: descriptor" },
		{ "{\"config\":{\"digest\":\"sha256:zz\",\"size\":1},\"layers\":[]}", NULL, ERR_INVALID, "not a digest" },
		{ "{\"config\":{\"digest\":" D ",\"size\":-1},\"layers\":[]}", NULL, ERR_INVALID, "not a size" },
		{ "{\"config\":{\"digest\":" D ",\"size\":1.5},\"layers\":[]}", NULL, ERR_INVALID, "not a size" },
		{ "{\"config\":{\"digest\":" D ",\"size\":1e300},\"layers\":[]}", NULL, ERR_INVALID, "not a size" },
		{ "{\"config\":{\"digest\":" D ",\"size\":\"1\"},\"layers\":[]}", NULL, ERR_INVALID, "not a size" },
		{ "{\"config\":{\"digest\":" D "},\"layers\":[]}", NULL, ERR_INVALID, "not a size" },
		{ "{\"config\":{\"digest\":" D ",\"size\":1},\"layers\":[]}", NULL, ERR_UNIMPLEMENTED, "not a container image" },
		{ "{\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":" D
		  ",\"size\":1},\"layers\":[]}",
		  NULL, ERR_UNIMPLEMENTED, "helm" },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", NULL, ERR_INVALID, "not a list" },
		{ "{\"schemaVersion\":2," CONFIG "}", NULL, ERR_INVALID, "not a list" },
		{ IMAGE("1"), NULL, ERR_INVALID, "layer 0: descriptor" },
		{ IMAGE(LAYER(OCI "layer.v1.tar+bzip2")), NULL, ERR_UNIMPLEMENTED, "layer 0: unknown media type" },
		{ IMAGE(LAYER(OCI "layer.v1.tar+gzip+encrypted")), NULL, ERR_UNIMPLEMENTED, "encrypted" },
		{ IMAGE(LAYER(OCI "layer.nondistributable.v1.tar+gzip")), NULL, ERR_UNIMPLEMENTED, "foreign" },
		{ IMAGE(LAYER("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")), NULL, ERR_UNIMPLEMENTED, "foreign" },
		{ "{\"manifests\":{}}", NULL, ERR_INVALID, "not a list" },
		{ "{\"manifests\":[{}]}", NULL, ERR_INVALID, "manifest 0: descriptor" },
		{ "{\"manifests\":[{\"digest\":\"sha512:x\",\"size\":1}]}", NULL, ERR_UNIMPLEMENTED, "sha512" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct manifest m = { 0 };

		assert_failed(parse(cases[i].text, cases[i].content_type, &m, &err), &err, cases[i].code, cases[i].why);
		assert_null(m.layers);
		assert_null(m.entries);
	}
}

/* `n` copies of `item`, between `head` and `tail`. */
static char *repeat(const char *head, const char *item, size_t n, const char *tail)
{
	size_t len = strlen(head) + n * (strlen(item) + 1) + strlen(tail) + 1;
	char *text = malloc(len), *p = text;

	assert_non_null(text);
	p += snprintf(p, len, "%s", head);
	for (size_t i = 0; i < n; i++)
		p += snprintf(p, len - (size_t)(p - text), "%s%s", i ? "," : "", item);
	(void)snprintf(p, len - (size_t)(p - text), "%s", tail);
	return text;
}

static void counts_are_limited_cve_2023_25153(void **state)
{
	static const char *const layer = LAYER(OCI "layer.v1.tar");
	static const struct {
		const char *head, *item, *tail;
		size_t n;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ "{" CONFIG ",\"layers\":[", LAYER(OCI "layer.v1.tar"), "]}", 128, ERR_EXHAUSTED, "127" },
		{ "{\"manifests\":[", ENTRY("", "1"), "]}", 1025, ERR_EXHAUSTED, "1024" },
		{ "{\"layers\":[", "1", "]}", 300000, ERR_EXHAUSTED, "JSON values" },
		{ "{\"layers\":", "[", "", 5000, ERR_INVALID, "not JSON" },
		{ "{\"layers\":[\"", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\"]}", 140000, ERR_EXHAUSTED, "over the limit" },
	};
	struct error err = ERROR_INIT;
	_cleanup_manifest_ struct manifest m = { 0 };
	char *text;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		text = repeat(cases[i].head, cases[i].item, cases[i].n, cases[i].tail);
		assert_failed(parse(text, NULL, &m, &err), &err, cases[i].code, cases[i].why);
		free(text);
	}
	text = repeat("{" CONFIG ",\"layers\":[", layer, 127, "]}");
	assert_ok(parse(text, NULL, &m, &err), &err);
	assert_int_equal(m.n_layers, 127);
	free(text);
}

static void platforms(void **state)
{
	static const char text[] = "{\"manifests\":[" ENTRY("\"os\":\"unknown\",\"architecture\":\"unknown\"", "1") "," ENTRY(
		"\"os\":\"windows\",\"architecture\":\"amd64\"",
		"2") "," ENTRY("\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v3\"",
			       "3") "," ENTRY("\"os\":\"linux\",\"architecture\":\"amd64\"",
					      "4") "," ENTRY("\"os\":\"linux\",\"architecture\":"
							     "\"arm64\"",
							     "5") "," ENTRY("\"os\":\"linux\",\"architecture\":\"arm64\","
									    "\"variant\":\"v8\"",
									    "6") "," ENTRY("\"os\":\"linux\",\"architecture\":"
											   "\"arm\","
											   "\"variant\":\"v7\"",
											   "7") "]}";
	static const struct {
		struct platform platform;
		uint64_t size; /* 0: none */
	} cases[] = {
		{ { "linux", "amd64", "" }, 4 },   { { "linux", "arm64", "v8" }, 6 }, { { "linux", "arm64", "" }, 5 },
		{ { "linux", "arm", "v7" }, 7 },   { { "linux", "arm", "v6" }, 0 },   { { "linux", "s390x", "" }, 0 },
		{ { "linux", "unknown", "" }, 0 },
	};
	struct error err = ERROR_INIT;
	_cleanup_manifest_ struct manifest m = { 0 };

	(void)state;
	assert_ok(parse(text, OCI "index.v1+json", &m, &err), &err);
	assert_int_equal(m.kind, MANIFEST_INDEX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct manifest_entry *entry = NULL;
		int result = manifest_choose(&m, &cases[i].platform, &entry, &err);

		if (cases[i].size)
			assert_ok(result, &err);
		else
			assert_failed(result, &err, ERR_NOT_FOUND, cases[i].platform.architecture);
		if (cases[i].size)
			assert_int_equal(entry->target.size_bytes, cases[i].size);
	}
}

/* `entries` are "OS/ARCHITECTURE/VARIANT" words; the sizes of the descriptors count from 1. */
static uint64_t choose(const char *entries, struct platform host)
{
	_cleanup_manifest_ struct manifest m = { 0 };
	const struct manifest_entry *entry = NULL;
	struct error err = ERROR_INIT;
	char text[4096] = "{\"manifests\":[", words[256], os[32], architecture[32], variant[32];
	unsigned n = 0;
	char *save = NULL;

	(void)snprintf(words, sizeof(words), "%s", entries);
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		size_t len = strlen(text);

		variant[0] = '\0';
		assert_true(sscanf(word, "%31[^/]/%31[^/]/%31s", os, architecture, variant) >= 2);
		(void)snprintf(text + len, sizeof(text) - len,
			       "%s{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":" D
			       ",\"size\":%u,\"platform\":{\"os\":\"%s\","
			       "\"architecture\":\"%s\",\"variant\":\"%s\",\"os.version\":\"10.0\",\"os.features\":[\"x\"]}}",
			       n ? "," : "", n + 1, os, architecture, variant);
		n++;
	}
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}");
	assert_ok(parse(text, NULL, &m, &err), &err);
	return manifest_choose(&m, &host, &entry, &err) == 0 ? entry->target.size_bytes : 0;
}

static void variants_are_levels(void **state)
{
	static const struct {
		const char *entries;
		struct platform host;
		uint64_t size;
	} cases[] = {
		{ "linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm/v8", { "linux", "arm", "v8" }, 4 },
		{ "linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm/v8", { "linux", "arm", "v7" }, 3 },
		{ "linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5", { "linux", "arm", "v6" }, 3 },
		{ "linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5", { "linux", "arm", "v5" }, 4 },
		{ "linux/arm/v6 linux/arm/v7", { "linux", "arm", "v5" }, 0 },
		{ "linux/arm/v6 linux/arm", { "linux", "arm", "v7" }, 2 }, /* none is v7 */
		{ "linux/arm", { "linux", "arm", "v6" }, 0 },
		{ "linux/amd64 linux/amd64/v2 linux/amd64/v3 linux/amd64/v4", { "linux", "amd64", "v3" }, 3 },
		{ "linux/amd64/v4 linux/amd64/v2 linux/amd64/v1", { "linux", "amd64", "v3" }, 2 },
		{ "linux/amd64/v2 linux/amd64/v1", { "linux", "amd64", "" }, 2 },
		{ "linux/amd64/v2", { "linux", "amd64", "" }, 0 },
		{ "linux/amd64/v9 linux/amd64/fast", { "linux", "amd64", "v4" }, 0 },
		{ "linux/386 linux/amd64", { "linux", "amd64", "v3" }, 2 },
		{ "linux/arm64 linux/386", { "linux", "amd64", "v3" }, 2 },
		{ "linux/arm/v7 linux/arm/v8 linux/amd64", { "linux", "arm64", "v8" }, 2 },
		{ "linux/amd64", { "linux", "386", "" }, 0 },
		{ "windows/amd64 linux/amd64", { "linux", "amd64", "" }, 2 },
		{ "unknown/unknown linux/amd64 unknown/unknown", { "linux", "amd64", "v3" }, 2 },
		{ "unknown/unknown", { "linux", "unknown", "" }, 0 },
		{ "linux/riscv64/rva23", { "linux", "riscv64", "" }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t size = choose(cases[i].entries, cases[i].host);

		if (size != cases[i].size)
			fail_msg("%s on %s/%s: %u and not %u", cases[i].entries, cases[i].host.architecture, cases[i].host.variant,
				 (unsigned)size, (unsigned)cases[i].size);
	}
	assert_string_equal(platform_host().os, "linux");
	assert_true(choose("linux/amd64 linux/arm64 linux/arm/v7 linux/386 linux/riscv64 linux/s390x linux/ppc64le linux/loong64",
			   platform_host()) > 0);
}

static void a_single_entry_needs_no_platform(void **state)
{
	struct error err = ERROR_INIT;
	_cleanup_manifest_ struct manifest one = { 0 };
	_cleanup_manifest_ struct manifest two = { 0 };
	const struct platform host = platform_host();
	const struct manifest_entry *entry;

	(void)state;
	assert_ok(parse("{\"manifests\":[" ENTRY("", "9") "]}", NULL, &one, &err), &err);
	assert_ok(manifest_choose(&one, &host, &entry, &err), &err);
	assert_int_equal(entry->target.size_bytes, 9);
	assert_ok(parse("{\"manifests\":[" ENTRY("", "9") "," ENTRY("", "8") "]}", NULL, &two, &err), &err);
	assert_failed(manifest_choose(&two, &host, &entry, &err), &err, ERR_NOT_FOUND, "none for");
}

/* ---- configuration ---- */

static void config_is_read_and_labels_are_inert_cve_2026_53488(void **state)
{
	static const char text[] =
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=1\",\"B=\\u00e9\"],\"Entrypoint\":[\"/e\"],"
		"\"Cmd\":[\"a\",\"\"],\"WorkingDir\":\"/"
		"w\",\"User\":\"1:2\",\"StopSignal\":\"SIGQUIT\",\"Labels\":{\"x\":\"binary:///bin/sh\"}},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" D "," D "]},\"history\":[{}]}";
	struct error err = ERROR_INIT;
	_cleanup_config_blob_ struct config_blob c = { 0 };

	(void)state;
	assert_ok(config_blob_parse(text, strlen(text), &c, &err), &err);
	assert_string_equal(c.run.env[0], "A=1");
	assert_string_equal(c.run.env[1], "B=\xc3\xa9");
	assert_null(c.run.env[2]);
	assert_string_equal(c.run.entrypoint[0], "/e");
	assert_string_equal(c.run.cmd[1], "");
	assert_null(c.run.cmd[2]);
	assert_string_equal(c.run.working_dir, "/w");
	assert_string_equal(c.run.user, "1:2");
	assert_string_equal(c.run.stop_signal, "SIGQUIT");
	assert_string_equal(c.diff_ids[1], "sha256:" HEX64);
	assert_null(c.diff_ids[2]);
}

static void config_may_lack_everything(void **state)
{
	static const char *const texts[] = { "{}", "{\"config\":null,\"rootfs\":null}",
					     "{\"config\":{\"Env\":null,\"Cmd\":null}}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct error err = ERROR_INIT;
		_cleanup_config_blob_ struct config_blob c = { 0 };

		assert_ok(config_blob_parse(texts[i], strlen(texts[i]), &c, &err), &err);
		assert_null(c.run.env[0]);
		assert_null(c.run.entrypoint[0]);
		assert_null(c.run.cmd[0]);
		assert_null(c.diff_ids[0]);
		assert_string_equal(c.run.working_dir, "");
		assert_string_equal(c.run.user, "");
		assert_string_equal(c.run.stop_signal, "");
	}
}

static void config_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum error_code code;
		const char *why;
	} cases[] = {
		{ "x", ERR_INVALID, "not JSON" },
		{ "{\"os\":\"windows\"}", ERR_UNIMPLEMENTED, "windows" },
		{ "{\"config\":{\"Env\":\"A=1\"}}", ERR_INVALID, "'Env' is not a list" },
		{ "{\"config\":{\"Cmd\":[1]}}", ERR_INVALID, "'Cmd' holds" },
		{ "{\"config\":{\"Entrypoint\":{}}}", ERR_INVALID, "'Entrypoint' is not a list" },
		{ "{\"rootfs\":{\"diff_ids\":[\"x\"]}}", ERR_INVALID, "diff id 0" },
		{ "{\"rootfs\":{\"diff_ids\":[\"sha256:../../../../etc/passwd\"]}}", ERR_INVALID, "diff id 0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		struct config_blob c;

		assert_failed(config_blob_parse(cases[i].text, strlen(cases[i].text), &c, &err), &err, cases[i].code, cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images),
		cmocka_unit_test(refused_cve_2024_3727),
		cmocka_unit_test(platforms),
		cmocka_unit_test(variants_are_levels),
		cmocka_unit_test(counts_are_limited_cve_2023_25153),
		cmocka_unit_test(config_is_read_and_labels_are_inert_cve_2026_53488),
		cmocka_unit_test(a_single_entry_needs_no_platform),
		cmocka_unit_test(config_is_refused),
		cmocka_unit_test(config_may_lack_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
