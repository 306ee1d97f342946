/* AppArmor: names and refusals everywhere, enforcement where the kernel has it on (`make test-vm`). */
#include "box.h"

#include "runtime/apparmor.h"

static void names(void **state)
{
	char name[APPARMOR_NAME_MAX + 2];

	(void)state;
	expect_ok(apparmor_check_name("a/b//c", &err));
	expect_error(apparmor_check_name("", &err), ERR_INVALID, "1 to 255 bytes");
	expect_error(apparmor_check_name("a b", &err), ERR_INVALID, "blank");
	expect_error(apparmor_check_name("a\nb", &err), ERR_INVALID, "control character");
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	expect_error(apparmor_check_name(name, &err), ERR_INVALID, "not 256");
}

static void off_or_not_loaded(void **state)
{
	(void)state;
	if (apparmor_is_on())
		expect_error(apparmor_check_profile("no-such-profile", &err), ERR_NOT_FOUND, "no-such-profile is not loaded");
	else
		expect_error(apparmor_check_profile("no-such-profile", &err), ERR_STATE, "no-such-profile: AppArmor is off");
}

/* Where it is off, the start fails and says at which operation: nothing ever runs without the profile that it is to have. */
static void no_start_without_the_profile(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct error err = ERROR_INIT;
	struct box_run run;

	spec.apparmor = "no-such-profile";
	assert_int_equal(box_start(&spec, "echo ran", &run, &err), -1);
	expect_text(err.text, "label next exec: exec no-such-profile");
}

static void need_apparmor(void)
{
	struct error err = ERROR_INIT;

	if (!apparmor_is_on() || apparmor_load_default(&err) < 0) {
		print_message("skipped: %s\n", err.code ? err.text : "AppArmor is off on this host");
		skip();
	}
}

static void confines_start_and_exec(void **state)
{
	/* waits until the first process has done its part, for at most ten seconds */
	const char *const argv[] = { "sh", "-c",
				     "n=0; until [ -e /data/done ] || [ $n -gt 500 ]; do sleep 0.02; n=$((n + 1)); done; "
				     "cat /proc/self/attr/current; mount -t tmpfs x /tmp 2>&1; true",
				     NULL };
	struct container_spec spec;
	struct exec_spec exec;
	struct box_run run, inside;
	_cleanup_plan_ struct plan *plan = NULL;

	need_apparmor();
	expect_ok(apparmor_check_profile(APPARMOR_DEFAULT, &err));
	spec = box_spec(box_root(state));
	spec.identity.bounding = spec.identity.permitted = caps_all();
	spec.apparmor = APPARMOR_DEFAULT;
	expect_ok(
		box_start(&spec,
			  "cat /proc/self/attr/current; mount -t tmpfs x /tmp 2>&1; echo x >/data/f && echo wrote; : >/data/done; "
			  "while :; do sleep 100; done",
			  &run, &err));
	exec = (struct exec_spec){
		.name = "box",
		.target_pidfd = run.spawned.pidfd,
		.joins_pid_ns = true,
		.argv = argv,
		.envp = box_env,
		.cwd = "/",
		.identity = { .bounding = caps_all(), .permitted = caps_all() },
		.apparmor = APPARMOR_DEFAULT,
	};
	expect_ok(plan_compile_exec(&exec, &plan, &err));
	expect_ok(box_start_plan(plan, &inside, &err));
	{
		const char *text = box_output(&inside);

		expect_text(text, APPARMOR_DEFAULT " (enforce)");
		expect_text(text, "denied");
	}
	assert_int_equal(box_reap(&inside), 0);
	assert_return_code(kill(run.spawned.pid, SIGKILL), errno);
	{
		const char *text = box_output(&run);

		expect_text(text, APPARMOR_DEFAULT " (enforce)");
		expect_text(text, "denied");
		expect_text(text, "wrote");
	}
	(void)box_reap(&run);
}

/* Without a profile the same is allowed: it is the profile that denies. */
static void unconfined_is_not_confined(void **state)
{
	struct container_spec spec;

	need_apparmor();
	spec = box_spec(box_root(state));
	spec.identity.bounding = spec.identity.permitted = caps_all();
	expect_text(box_run(&spec, "cat /proc/self/attr/current; mount -t tmpfs x /tmp && echo mounted"), "mounted");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),           cmocka_unit_test(off_or_not_loaded),  IN_PLACE(no_start_without_the_profile),
		IN_PLACE(confines_start_and_exec), IN_PLACE(unconfined_is_not_confined),
	};

	/* machines without an init system have no securityfs at its place: one of our own, gone with us */
	if (geteuid() == 0 && access("/sys/kernel/security/lsm", F_OK) < 0 && unshare(CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		(void)mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	return cmocka_run_group_tests(tests, box_open, box_close);
}
