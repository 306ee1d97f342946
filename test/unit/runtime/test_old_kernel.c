/*
 * What this code does on kernels that lack something. A seccomp filter plays the old kernel: it refuses what came later with the error
 * that an old kernel gives. In an executable of its own, because a filter stays and because probes ask once.
 */
#include "box.h"

#include <seccomp.h>

#include "runtime/plan_lay.h"

/* Linux 6.17: FSCONFIG_SET_FD "pidns". Linux 6.3: MFD_NOEXEC_SEAL and MFD_EXEC. */
static int become_old(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int result = filter ? 0 : -1;

	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(fsconfig), 1,
					  SCMP_A1(SCMP_CMP_EQ, FSCONFIG_SET_FD));
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(memfd_create), 1,
					  SCMP_A1(SCMP_CMP_MASKED_EQ, 0x08, 0x08));
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(memfd_create), 1,
					  SCMP_A1(SCMP_CMP_MASKED_EQ, 0x10, 0x10));
	if (result == 0)
		result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

static int open_old(void **state)
{
	int result;

	if (geteuid() == 0 && (result = become_old()) != 0) {
		print_error("seccomp: %s\n", strerror(-result));
		return -1;
	}
	return box_open(state);
}

static void the_filter_is_in_force(void **state)
{
	(void)state;
	assert_false(procfs_takes_pidns());
	assert_int_equal(syscall(SYS_memfd_create, "x", 0x10), -1);
	assert_int_equal(errno, EINVAL);
}

static void a_container_starts(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	assert_string_equal(box_run(&spec, "echo $$"), "1\n");
}

/* The PID namespace is entered before /proc is mounted: later, its procfs could not be had. */
static void containers_share_a_pid_namespace(void **state)
{
	_cleanup_plan_ struct plan *plan = NULL;
	struct container_spec spec = box_spec(box_root(state));
	struct box_run init, run;
	char path[64];
	int pid_ns;

	expect_ok(plan_compile_pod_init(&(struct pod_init_spec){ "pod1", NULL, NS_HOST, NS_HOST, NS_HOST, NULL }, &plan, &err));
	expect_ok(box_start_plan(plan, &init, &err));
	close_fd(&init.out);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", init.spawned.pid);
	pid_ns = open(path, O_RDONLY | O_CLOEXEC);
	spec.pid_ns = pid_ns;
	expect_ok(box_start(&spec, "cat /proc/1/comm; test $$ != 1 && readlink /proc/self/exe", &run, &err));
	assert_string_equal(box_output(&run), "pod-init\n/bin/busybox\n");
	assert_int_equal(box_reap(&run), 0);
	(void)close(pid_ns);
	assert_return_code(kill(init.spawned.pid, SIGKILL), errno);
	assert_int_equal(box_reap(&init), 128 + SIGKILL);
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(the_filter_is_in_force),
		box_test(a_container_starts),
		box_test(containers_share_a_pid_namespace),
	};

	return cmocka_run_group_tests(tests, open_old, box_close);
}
