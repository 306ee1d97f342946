/* The method table against the contract: proto/cri.proto and proto/admin.proto, read as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cri/method.h"
#include "op_stubs.h"

#include <cmocka.h>

#define NAME_SIZE 96

struct rpc_line {
	char service[NAME_SIZE];
	char name[NAME_SIZE];
	char request[NAME_SIZE];
	char response[NAME_SIZE];
	bool streams;
};

/* The descriptor's C name is "Cri__RunPodSandboxRequest". */
static void expect_type(const ProtobufCMessageDescriptor *type, const char *name)
{
	assert_non_null(type);
	assert_string_equal(type->short_name, name);
}

static void expect_row(const char *package, const struct rpc_line *line)
{
	char path[4 * NAME_SIZE], expected[4 * NAME_SIZE];
	const struct method *method;
	const char *service = NULL;

	(void)snprintf(expected, sizeof(expected), "%s.%s", package, line->service);
	(void)snprintf(path, sizeof(path), "/%s.%s/%s", package, line->service, line->name);
	method = method_find(path, &service);
	if (!method)
		fail_msg("%s is not in the table", path);
	assert_string_equal(service, expected);
	assert_string_equal(method->name, line->name);
	expect_type(method->request, line->request);
	expect_type(method->response, line->response);
	assert_int_equal(method->streams, line->streams);
	assert_true(method->run || !method->check);
}

/* "  rpc Exec(ExecRequest) returns (ExecResponse) {}", perhaps with "(stream ". */
static bool read_rpc(const char *text, struct rpc_line *line)
{
	char response[NAME_SIZE];

	if (sscanf(text, " rpc %95[A-Za-z](%95[A-Za-z]) returns (%95[A-Za-z ])", line->name, line->request, response) != 3)
		return false;
	line->streams = !strncmp(response, "stream ", 7);
	(void)snprintf(line->response, sizeof(line->response), "%s", response + (line->streams ? 7 : 0));
	return true;
}

static FILE *open_proto(const char *name)
{
	char path[4096];
	const char *tail = strstr(__FILE__, "test/unit/");
	FILE *file;

	assert_non_null(tail);
	(void)snprintf(path, sizeof(path), "%.*sproto/%s", (int)(tail - __FILE__), __FILE__, name);
	file = fopen(path, "re");
	if (!file)
		fail_msg("cannot open %s", path);
	return file;
}

static size_t expect_rows_of(const char *file_name, const char *const *packages)
{
	FILE *file = open_proto(file_name);
	struct rpc_line line = { 0 };
	char text[1024];
	size_t n = 0;

	while (fgets(text, sizeof(text), file)) {
		(void)sscanf(text, "service %95[A-Za-z]", line.service);
		if (!read_rpc(text, &line))
			continue;
		for (size_t i = 0; packages[i]; i++)
			expect_row(packages[i], &line);
		n++;
	}
	(void)fclose(file);
	return n;
}

static void test_every_rpc_is_there(void **state)
{
	static const char *const cri[] = { "runtime.v1", "runtime.v1alpha2", NULL };
	static const char *const admin[] = { "monopod.v1", NULL };
	size_t n_rows;

	(void)state;
	(void)method_table(&n_rows);
	assert_int_equal(expect_rows_of("cri.proto", cri), 43);
	assert_int_equal(expect_rows_of("admin.proto", admin), n_rows - 43);
}

static void test_paths_match_exactly_cve_2026_33186(void **state)
{
	static const char *const paths[] = {
		"",
		"/",
		"//",
		"runtime.v1.RuntimeService/Version",
		"/runtime.v1.RuntimeService",
		"/runtime.v1.RuntimeService/",
		"/runtime.v1.RuntimeService/version",
		"/runtime.v1.runtimeservice/Version",
		"/runtime.v1.RuntimeService/Version/",
		"/runtime.v1.RuntimeService//Version",
		"//runtime.v1.RuntimeService/Version",
		"/runtime.v1.RuntimeService/Version ",
		"/runtime.v1.RuntimeServic/Version",
		"/runtime.v1.RuntimeServiceX/Version",
		"/runtime.v2.RuntimeService/Version",
		"/runtime.v1.ImageService/Version",
		"/runtime.v1.RuntimeService/ListImages",
		"/runtime.v1.RuntimeService/ImportImage",
		"/monopod.v1.Admin/Version",
		"/monopod.v1alpha2.Admin/ImportImage",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const char *service = NULL;

		assert_null(method_find(paths[i], &service));
	}
}

/* No row is there twice, and each operation belongs to the method of its name. */
static void test_rows(void **state)
{
	size_t n;
	const struct method *rows = method_table(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = i + 1; k < n; k++) {
			assert_true(rows[i].service != rows[k].service || strcmp(rows[i].name, rows[k].name) != 0);
			assert_true(!rows[i].run || rows[i].run != rows[k].run);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_rpc_is_there),
		cmocka_unit_test(test_paths_match_exactly_cve_2026_33186),
		cmocka_unit_test(test_rows),
	};

	(void)op_stub_ran;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
