/* Names of slices; the call itself needs systemd as init: test/integration/test_systemd.py. */
#include "expect.h"

#include "runtime/systemd.h"

static void slices_are_paths(void **state)
{
	static const char *const good[][2] = {
		{ "-.slice", "" },
		{ "a.slice", "/a.slice" },
		{ "kubepods-besteffort-pod1_2.slice",
		  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice" },
		{ "a\\x2db.slice", "/a\\x2db.slice" },
	};
	static const char *const bad[] = {
		"",         ".slice",   "a",         "a.scope",   "/a.slice", "a/b.slice",         "a--b.slice",
		"-a.slice", "a-.slice", "a b.slice", "a\n.slice", "--.slice", "../x.slice/..slice"
	};
	char endless[400], *path;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		expect_ok(systemd_slice_path(good[i][0], &path, &err));
		assert_string_equal(path, good[i][1]);
		free(path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(systemd_slice_path(bad[i], &path, &err), ERR_INVALID, "slice");
	memset(endless, 'a', sizeof(endless));
	(void)snprintf(endless + 300, sizeof(endless) - 300, ".slice");
	expect_error(systemd_slice_path(endless, &path, &err), ERR_INVALID, "slice");
}

/* A name of 255 bytes can be 120 levels deep: too long for a path of ours, and said so. */
static void deep_slices_are_refused(void **state)
{
	char name[256], *path;
	size_t n = 0;

	(void)state;
	while (n < 200) {
		name[n++] = 'a';
		name[n++] = '-';
	}
	(void)snprintf(name + n, sizeof(name) - n, "a.slice");
	expect_error(systemd_slice_path(name, &path, &err), ERR_EXHAUSTED, "cgroup path of a-a-");
}

static void paths_are_slices(void **state)
{
	static const char *const pairs[][2] = { { "/monopod", "monopod.slice" }, { "/a/b-c", "a-b_c.slice" }, { "/", "-.slice" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		_cleanup_free_
		char *name = systemd_slice_name(pairs[i][0]);

		assert_string_equal(name, pairs[i][1]);
	}
}

/* No systemd here, or no bus: a sentence, not a hang. */
static void a_dead_bus_is_said(void **state)
{
	(void)state;
	if (systemd_load(&(struct error)ERROR_INIT) < 0) {
		print_message("skipped: no libsystemd here\n");
		skip();
	}
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
	expect_error(systemd_start_scope("monopod-test.scope", "monopod.slice", "a test", 1, &err), ERR_UNAVAILABLE,
		     "start unit monopod-test.scope: the system bus");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_are_paths),
		cmocka_unit_test(deep_slices_are_refused),
		cmocka_unit_test(paths_are_slices),
		cmocka_unit_test(a_dead_bus_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
