/* JSON into messages: what crictl's users write, what we print ourselves, and what is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/json.h"
#include "cli/json_read.h"
#include "proto/cri.pb-c.h"

struct reading {
	struct arena arena;
	Cri__ContainerConfig config;
	struct error err;
};

static int set_up(void **state)
{
	static struct reading reading;

	reading = (struct reading){ .arena = ARENA_INIT, .err = ERROR_INIT };
	cri__container_config__init(&reading.config);
	*state = &reading;
	return 0;
}

static int tear_down(void **state)
{
	struct reading *r = *state;

	arena_release(&r->arena);
	return 0;
}

static int read_text(struct reading *r, const char *text)
{
	cJSON *json = cJSON_Parse(text);
	int result;

	assert_non_null(json);
	result = json_read_message(json, &r->config.base, &r->arena, &r->err);
	cJSON_Delete(json);
	return result;
}

static const Cri__ContainerConfig *read_well(struct reading *r, const char *text)
{
	if (read_text(r, text) < 0)
		fail_msg("%s", r->err.text);
	return &r->config;
}

static void test_each_kind(void **state)
{
	const Cri__ContainerConfig *c = read_well(
		*state,
		"{\"metadata\":{\"name\":\"n\",\"attempt\":4294967295},\"command\":[\"a\",\"\"],\"tty\":true,\"stdin\":false,"
		"\"envs\":[{\"key\":\"K\",\"value\":\"a=b\"}],\"labels\":{\"x\":\"y\",\"\":\"z\"},\"stop_signal\":\"SIGNAL_"
		"SIGHUP\","
		"\"linux\":{\"resources\":{\"cpu_quota\":-1,\"memory_limit_in_bytes\":\"9223372036854775807\","
		"\"hugepage_limits\":[{\"page_size\":\"2MB\",\"limit\":\"18446744073709551615\"}]},"
		"\"security_context\":{\"run_as_user\":{\"value\":7},\"supplemental_groups\":[1,\"2\"]}}}");
	const Cri__LinuxContainerResources *r = c->linux->resources;

	assert_string_equal(c->metadata->name, "n");
	assert_int_equal(c->metadata->attempt, UINT32_MAX);
	assert_int_equal(c->n_command, 2);
	assert_string_equal(c->command[1], "");
	assert_true(c->tty && !c->stdin);
	assert_int_equal(c->envs[0]->value.len, 3);
	assert_memory_equal(c->envs[0]->value.data, "a=b", 3);
	assert_int_equal(c->n_labels, 2);
	assert_string_equal(c->labels[0]->value, "y");
	assert_int_equal(c->stop_signal, CRI__SIGNAL__SIGNAL_SIGHUP);
	assert_true(r->cpu_quota == -1 && r->memory_limit_in_bytes == INT64_MAX);
	assert_true(r->hugepage_limits[0]->limit == UINT64_MAX);
	assert_int_equal(c->linux->security_context->run_as_user->value, 7);
	assert_int_equal(c->linux->security_context->supplemental_groups[1], 2);
}

static void test_both_spellings_of_names(void **state)
{
	const Cri__ContainerConfig *c =
		read_well(*state, "{\"logPath\":\"a\",\"working_dir\":\"/b\",\"linux\":null,\"CDI_devices\":[],"
				  "\"stopSignal\":8}");

	assert_string_equal(c->log_path, "a");
	assert_string_equal(c->working_dir, "/b");
	assert_null(c->linux);
	assert_int_equal(c->stop_signal, CRI__SIGNAL__SIGNAL_SIGHUP);
}

/* What json.h prints is read back as the same bytes. */
static void test_what_we_print(void **state)
{
	struct reading *r = *state;
	uint8_t before[512], after[512];
	Cri__ContainerConfig again = CRI__CONTAINER_CONFIG__INIT;
	size_t n = protobuf_c_message_pack(
		&read_well(r,
			   "{\"metadata\":{\"name\":\"n\"},\"args\":[\"x\"],\"annotations\":{\"k\":\"v\"},\"mounts\":[{\"host_"
			   "path\":\"/\","
			   "\"uidMappings\":[{\"length\":5}],\"propagation\":2}],\"linux\":{\"resources\":{\"cpu_shares\":1024}}}")
			 ->base,
		before);
	cJSON *json = json_of_message(&r->config.base);

	assert_non_null(json);
	assert_int_equal(json_read_message(json, &again.base, &r->arena, &r->err), 0);
	cJSON_Delete(json);
	assert_int_equal(protobuf_c_message_pack(&again.base, after), n);
	assert_memory_equal(before, after, n);
}

static void test_what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *says;
	} table[] = {
		{ "[]", "must be an object" },
		{ "{\"metadata\":[]}", "metadata: must be an object" },
		{ "{\"metadata\":{\"nam\":\"x\"}}", "metadata: nam: there is no such field" },
		{ "{\"metadata\":{\"attempt\":4294967296}}", "metadata: attempt: must be from 0 to 4294967295" },
		{ "{\"metadata\":{\"attempt\":1.5}}", "metadata: attempt: must be a whole number" },
		{ "{\"metadata\":{\"attempt\":1e300}}", "metadata: attempt: must be a whole number" },
		{ "{\"command\":\"x\"}", "command: must be a list" },
		{ "{\"command\":[\"x\",null]}", "command: [1]: must be a text" },
		{ "{\"labels\":[]}", "labels: must be an object" },
		{ "{\"labels\":{\"a\":1}}", "labels: a: must be a text" },
		{ "{\"tty\":1}", "tty: must be true or false" },
		{ "{\"stop_signal\":\"SIGHUP\"}", "stop_signal: 'SIGHUP' is none of its values" },
		{ "{\"stop_signal\":[]}", "stop_signal: must be a whole number" },
		{ "{\"linux\":{\"resources\":{\"cpu_quota\":\"\"}}}", "'' is no whole number" },
		{ "{\"linux\":{\"resources\":{\"cpu_quota\":\"9223372036854775808\"}}}", "is no whole number" },
		{ "{\"linux\":{\"resources\":{\"hugepage_limits\":[{\"limit\":\"-1\"}]}}}", "[0]: limit: '-1' is no whole number" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct reading *r = *state;

		(void)tear_down(state);
		(void)set_up(state);
		assert_int_equal(read_text(r, table[i].text), -1);
		assert_int_equal(r->err.code, ERR_INVALID);
		if (!strstr(r->err.text, table[i].says))
			fail_msg("'%s' does not say '%s'", r->err.text, table[i].says);
	}
}

static void test_files(void **state)
{
	struct reading *r = *state;

	assert_int_equal(json_read_file("/no/such/file", &r->config.base, &r->arena, &r->err), -1);
	assert_non_null(strstr(r->err.text, "/no/such/file"));
	r->err = (struct error)ERROR_INIT;
	assert_int_equal(json_read_file("/dev/null", &r->config.base, &r->arena, &r->err), -1);
	assert_non_null(strstr(r->err.text, "/dev/null: is not JSON"));
}

#define READING(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		READING(test_each_kind),     READING(test_both_spellings_of_names),
		READING(test_what_we_print), READING(test_what_is_wrong_is_said),
		READING(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
