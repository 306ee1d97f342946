/* Every allocation of the task layer's pure parts fails once: an error is returned, nothing is lost or used after that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"

#include "image/image.h"
#include "task/container.h"
#include "task/container_spec.h"
#include "task/log_lines.h"
#include "task/message.h"
#include "task/names.h"

static void expect(int result, const struct error *err, const char *what)
{
	bool failed = failure_happened();

	if (failed && result >= 0)
		fail_msg("%s: an allocation failed and nobody noticed", what);
	if (!failed && result < 0)
		fail_msg("%s: %s", what, err->text);
	if (failed)
		assert_int_equal(err->code, ERR_EXHAUSTED);
}

static void test_names(void **state)
{
	(void)state;
	for (long n = 0; fails_at(n); n++) {
		struct name_index index = { 0 };
		struct error err = ERROR_INIT;
		int result = name_take(&index, "a name", "an id", &err);

		expect(result, &err, "name_take");
		assert_true((name_find(&index, "a name") != NULL) == (result == 0));
		name_index_release(&index);
	}
}

static void test_log_lines(void **state)
{
	(void)state;
	for (long n = 0; fails_at(n); n++) {
		struct buffer out = BUFFER_INIT((size_t)1 << 20);
		struct log_lines lines;
		struct error err = ERROR_INIT;
		int result;

		log_lines_init(&lines, "stdout");
		result = log_lines_feed(&lines, "one\ntwo", 7, 1, &out, &err);
		if (result == 0)
			result = log_lines_end(&lines, 2, &out, &err);
		expect(result, &err, "log_lines");
		log_lines_release(&lines);
		buffer_release(&out);
	}
}

static void test_messages(void **state)
{
	char key[] = "k", value[] = "v";
	Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;

	(void)state;
	metadata.name = key;
	metadata.uid = value;
	config.metadata = &metadata;
	for (long n = 0; fails_at(n); n++) {
		struct error err = ERROR_INIT;
		void *copy = message_copy(&config.base, &err);

		expect(copy ? 0 : -1, &err, "message_copy");
		message_free(copy);
	}
}

/* All the lists that a start needs. */
static int translate(const Cri__ContainerConfig *config, const struct sandbox *sandbox, struct arena *arena, struct error *err)
{
	char empty[] = "", *none[] = { NULL }, variable[] = "A=B", *env[] = { variable, NULL };
	const struct image_config image = { env, none, none, empty, empty, empty };
	struct device_list devices;
	struct resources resources;
	struct mount_list mounts;
	char **list;

	if (container_argv(config, &image, arena, &list, err) < 0 ||
	    container_env(config, &image, "host", "/", arena, &list, err) < 0 ||
	    container_mounts(sandbox, config, arena, &mounts, err) < 0 || container_devices(config, true, arena, &devices, err) < 0)
		return -1;
	return container_resources(config->linux ? config->linux->resources : NULL, 0, arena, &resources, err);
}

static void test_specs(void **state)
{
	char sh[] = "sh", *command[] = { sh }, target[] = "/data", source[] = "/src", dir[] = "/state/pods/x", size[] = "2MB";
	Cri__PodSandboxConfig pod_config = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	Cri__LinuxContainerConfig specific = CRI__LINUX_CONTAINER_CONFIG__INIT;
	Cri__LinuxContainerResources resources = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	Cri__HugepageLimit hugepage = CRI__HUGEPAGE_LIMIT__INIT, *hugepages[] = { &hugepage };
	Cri__Mount mount = CRI__MOUNT__INIT, *mounts[] = { &mount };
	struct sandbox sandbox = { .config = &pod_config, .dir = dir };

	(void)state;
	hugepage.page_size = size;
	resources.hugepage_limits = hugepages;
	resources.n_hugepage_limits = 1;
	specific.resources = &resources;
	mount.container_path = target;
	mount.host_path = source;
	config.linux = &specific;
	config.command = command;
	config.n_command = 1;
	config.mounts = mounts;
	config.n_mounts = 1;
	for (long n = 0; fails_at(n); n++) {
		struct arena arena = ARENA_INIT;
		struct error err = ERROR_INIT;

		expect(translate(&config, &sandbox, &arena, &err), &err, "translate");
		arena_release(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_log_lines),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
