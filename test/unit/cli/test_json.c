/* Messages as JSON: one of every kind of field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "proto/cri.pb-c.h"

static char *print(const ProtobufCMessage *message)
{
	cJSON *json = json_of_message(message);
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;

	cJSON_Delete(json);
	assert_non_null(text);
	return text;
}

static void test_scalars_and_names(void **state)
{
	Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__PodSandbox pod = CRI__POD_SANDBOX__INIT;
	char name[] = "web \"1\"";
	char *text;

	(void)state;
	metadata.name = name;
	metadata.attempt = 4000000000u;
	pod.metadata = &metadata;
	pod.state = CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
	pod.created_at = INT64_C(1700000000123456789);
	text = print(&pod.base);
	assert_string_equal(
		text,
		"{\"id\":\"\",\"metadata\":{\"name\":\"web \\\"1\\\"\",\"uid\":\"\",\"namespace\":\"\",\"attempt\":4000000000},"
		"\"state\":\"SANDBOX_NOTREADY\",\"createdAt\":\"1700000000123456789\",\"labels\":{},\"annotations\":{},"
		"\"runtimeHandler\":\"\"}");
	cJSON_free(text);
}

static void test_maps_and_lists(void **state)
{
	Cri__PodSandbox__LabelsEntry a = CRI__POD_SANDBOX__LABELS_ENTRY__INIT;
	Cri__PodSandbox__LabelsEntry *labels[] = { &a };
	Cri__PodSandbox pod = CRI__POD_SANDBOX__INIT;
	Cri__PodSandbox *items[] = { &pod };
	Cri__ListPodSandboxResponse list = CRI__LIST_POD_SANDBOX_RESPONSE__INIT;
	char key[] = "app.kubernetes.io/name";
	char value[] = "web";
	char *text;

	(void)state;
	a.key = key;
	a.value = value;
	pod.labels = labels;
	pod.n_labels = 1;
	list.items = items;
	list.n_items = 1;
	text = print(&list.base);
	assert_non_null(strstr(text, "{\"items\":[{\"id\":\"\""));
	assert_non_null(strstr(text, "\"labels\":{\"app.kubernetes.io/name\":\"web\"}"));
	cJSON_free(text);
	list.n_items = 0;
	text = print(&list.base);
	assert_string_equal(text, "{\"items\":[]}");
	cJSON_free(text);
}

static void test_bytes(void **state)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = { { "", "" },        { "f", "Zg==" },          { "fo", "Zm8=" },
		      { "foo", "Zm9v" }, { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xfe", "+//+" } };
	Cri__KeyValue kv = CRI__KEY_VALUE__INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[64];
		char *text;

		kv.value.data = (uint8_t *)(uintptr_t)cases[i].bytes;
		kv.value.len = strlen(cases[i].bytes);
		(void)snprintf(expected, sizeof(expected), "{\"key\":\"\",\"value\":\"%s\"}", cases[i].text);
		text = print(&kv.base);
		assert_string_equal(text, expected);
		cJSON_free(text);
	}
}

static void test_repeated_integers_and_doubles(void **state)
{
	int64_t groups[] = { 1, INT64_MIN };
	Cri__LinuxContainerUser user = CRI__LINUX_CONTAINER_USER__INIT;
	Cri__PsiData psi = CRI__PSI_DATA__INIT;
	char *text;

	(void)state;
	user.supplemental_groups = groups;
	user.n_supplemental_groups = 2;
	text = print(&user.base);
	assert_string_equal(text, "{\"uid\":\"0\",\"gid\":\"0\",\"supplementalGroups\":[\"1\",\"-9223372036854775808\"]}");
	cJSON_free(text);
	psi.total = UINT64_MAX;
	psi.avg10 = 0.5;
	psi.avg60 = (double)NAN;
	psi.avg300 = (double)INFINITY;
	text = print(&psi.base);
	assert_string_equal(text, "{\"Total\":\"18446744073709551615\",\"Avg10\":0.5,\"Avg60\":\"NaN\",\"Avg300\":\"Infinity\"}");
	cJSON_free(text);
}

static void test_unknown_enum_value(void **state)
{
	Cri__ContainerStateValue value = CRI__CONTAINER_STATE_VALUE__INIT;
	char *text;

	(void)state;
	value.state = (Cri__ContainerState)77;
	text = print(&value.base);
	assert_string_equal(text, "{\"state\":77}");
	cJSON_free(text);
}

/* Every message of the contract prints, empty as it is. */
static void test_every_message(void **state)
{
	const ProtobufCServiceDescriptor *services[] = { &cri__runtime_service__descriptor, &cri__image_service__descriptor };
	unsigned n = 0;

	(void)state;
	for (int s = 0; s < 2; s++) {
		for (unsigned m = 0; m < services[s]->n_methods; m++) {
			ProtobufCMessage *message = protobuf_c_message_unpack(services[s]->methods[m].output, NULL, 0, NULL);
			char *text = print(message);

			assert_int_equal(text[0], '{');
			cJSON_free(text);
			protobuf_c_message_free_unpacked(message, NULL);
			n++;
		}
	}
	assert_int_equal(n, 43);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars_and_names),
		cmocka_unit_test(test_maps_and_lists),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_repeated_integers_and_doubles),
		cmocka_unit_test(test_unknown_enum_value),
		cmocka_unit_test(test_every_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
