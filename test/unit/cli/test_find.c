/* From what a person types to one pod or container, or to a sentence that says why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "cli/find.h"

#define ID_A "aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111"
#define ID_B "aaaa2222aaaa2222aaaa2222aaaa2222aaaa2222aaaa2222aaaa2222aaaa2222"
#define ID_C "cccc3333cccc3333cccc3333cccc3333cccc3333cccc3333cccc3333cccc3333"

/* Two pods named web, of which one is ready; one named db. In each a container named main; db's has ended. */
static struct world {
	char ids[3][65];
	char names[3][8];
	char namespaces[3][8];
	char container_ids[3][8];
	Cri__PodSandboxMetadata pod_metadata[3];
	Cri__PodSandbox pods[3];
	Cri__PodSandbox *pod_list[3];
	Cri__ContainerMetadata container_metadata[3];
	Cri__Container containers[3];
	Cri__Container *container_list[3];
	Cri__ListPodSandboxResponse pod_reply;
	Cri__ListContainersResponse container_reply;
} w = {
	.ids = { ID_A, ID_B, ID_C },
	.names = { "web", "web", "db" },
	.namespaces = { "prod", "test", "prod" },
	.container_ids = { "1100", "1200", "2200" },
};

static char main_name[] = "main";

static int build(void **state)
{
	(void)state;
	cri__list_pod_sandbox_response__init(&w.pod_reply);
	cri__list_containers_response__init(&w.container_reply);
	for (int i = 0; i < 3; i++) {
		cri__pod_sandbox_metadata__init(&w.pod_metadata[i]);
		cri__pod_sandbox__init(&w.pods[i]);
		cri__container_metadata__init(&w.container_metadata[i]);
		cri__container__init(&w.containers[i]);
		w.pod_metadata[i].name = w.names[i];
		w.pod_metadata[i].namespace_ = w.namespaces[i];
		w.pods[i].metadata = &w.pod_metadata[i];
		w.pods[i].id = w.ids[i];
		w.pods[i].state = i == 1 ? CRI__POD_SANDBOX_STATE__SANDBOX_READY : CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
		w.pod_list[i] = &w.pods[i];
		w.container_metadata[i].name = main_name;
		w.containers[i].metadata = &w.container_metadata[i];
		w.containers[i].id = w.container_ids[i];
		w.containers[i].pod_sandbox_id = w.ids[i];
		w.containers[i].state = i < 2 ? CRI__CONTAINER_STATE__CONTAINER_RUNNING : CRI__CONTAINER_STATE__CONTAINER_EXITED;
		w.container_list[i] = &w.containers[i];
	}
	w.pod_reply.items = w.pod_list;
	w.pod_reply.n_items = 3;
	w.container_reply.containers = w.container_list;
	w.container_reply.n_containers = 3;
	return 0;
}

struct expectation {
	const char *reference;
	const char *id; /* NULL: code */
	enum error_code code;
};

static void test_pods(void **state)
{
	static const struct expectation cases[] = {
		{ ID_A, ID_A, 0 },
		{ "aaaa1", ID_A, 0 },
		{ "c", ID_C, 0 },
		{ "db", ID_C, 0 },
		{ "web", ID_B, 0 },
		{ "prod/web", ID_A, 0 },
		{ "prod/db", ID_C, 0 },
		{ "test/db", NULL, ERR_NOT_FOUND },
		{ "aaaa", NULL, ERR_INVALID },
		{ "none", NULL, ERR_NOT_FOUND },
		{ "", NULL, ERR_NOT_FOUND },
		{ "prod/", NULL, ERR_NOT_FOUND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		const char *id = NULL;

		assert_int_equal(choose_pod(&w.pod_reply, cases[i].reference, &id, &err), cases[i].id ? 0 : -1);
		if (cases[i].id)
			assert_string_equal(id, cases[i].id);
		else
			assert_int_equal(err.code, cases[i].code);
	}
}

static void test_containers(void **state)
{
	static const struct expectation cases[] = {
		{ "11", "1100", 0 },
		{ "22", "2200", 0 },
		{ "web/main", NULL, ERR_INVALID },
		{ "db/main", "2200", 0 },
		{ "main", NULL, ERR_INVALID },
		{ "1", NULL, ERR_INVALID },
		{ "db/other", NULL, ERR_NOT_FOUND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		const char *id = NULL;

		assert_int_equal(choose_container(&w.container_reply, &w.pod_reply, cases[i].reference, &id, &err),
				 cases[i].id ? 0 : -1);
		if (cases[i].id)
			assert_string_equal(id, cases[i].id);
		else
			assert_int_equal(err.code, cases[i].code);
	}
}

static void test_the_running_one_is_meant(void **state)
{
	struct error err = ERROR_INIT;
	const char *id = NULL;

	(void)state;
	w.containers[0].state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
	assert_int_equal(choose_container(&w.container_reply, &w.pod_reply, "main", &id, &err), 0);
	assert_string_equal(id, "1200");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_pods, build),
		cmocka_unit_test_setup(test_containers, build),
		cmocka_unit_test_setup(test_the_running_one_is_meant, build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
