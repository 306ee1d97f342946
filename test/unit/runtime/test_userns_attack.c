/* What the root of a pod with users of its own may not do, with every right that its own user namespace gives. */
#include "userns_box.h"

/* A container with all capabilities, and a shell that says what it got through with. */
static void open_mighty(void **state, struct userns_box *box)
{
	userns_box_open(state, box);
	box->spec.identity.bounding = box->spec.identity.permitted = caps_all();
	box->spec.identity.no_new_privs = false;
}

/* The kernel locks the mounts that came along into the user namespace: CAP_SYS_ADMIN in there uncovers no mask and makes no volume
 * writable. A procfs of one's own, without masks, is refused for the same reason. */
static void masks_and_read_only_mounts_are_locked(void **state)
{
	static const char *const masked[] = { "/proc/version", "/etc", NULL };
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];
	struct userns_box box;
	const char *text;

	open_mighty(state, &box);
	put_dir(in_place(state, "volume"));
	assert_return_code(chown(in_place(state, "volume"), userns_map.outside, userns_map.outside), errno);
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[ARRAY_SIZE(box_mounts)] = (struct mount_spec){
		.kind = MOUNT_BIND, .target = "/data", .fd = box_tree(in_place(state, "volume")), .flags = MS_RDONLY
	};
	box.spec.mounts = mounts;
	box.spec.n_mounts = ARRAY_SIZE(mounts);
	box.spec.masked_paths = masked;
	text = box_run(&box.spec,
		       "exec 2>/dev/null; mkdir /tmp/own; mount -t tmpfs own /tmp/own && echo may mount;"
		       "umount /proc/version && echo UNCOVERED; umount /etc && echo UNCOVERED; umount -l /data && echo UNMOUNTED;"
		       "mount -o remount,bind,rw /data && echo WRITABLE; touch /data/x && echo WRITTEN;"
		       "mount -t proc own /tmp/own && echo WHOLE PROC; mount -o remount,bind,rw /sys && echo WRITABLE; true");
	assert_string_equal(text, "may mount\n");
	(void)close(mounts[ARRAY_SIZE(box_mounts)].fd);
	userns_box_close(&box);
}

/* Neither a file nor a device of the host's root opens for the container's, who may override every permission of its own users. */
static void what_is_the_hosts_stays_the_hosts(void **state)
{
	const struct device_spec devices[] = {
		{ "/dev/null", S_IFCHR, 0666, 1, 3, 0, 0, false },
		{ "/dev/theirs", S_IFCHR, 0600, 1, 5, 0, 0, true },
		{ "/dev/ours", S_IFCHR, 0600, 1, 5, 0, 0, false },
	};
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];
	struct userns_box box;
	const char *text;

	open_mighty(state, &box);
	put_dir(in_place(state, "volume"));
	put_file(in_place(state, "volume/secret"), "of the host\n");
	assert_return_code(chmod(in_place(state, "volume/secret"), 0600), errno);
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[ARRAY_SIZE(box_mounts)] =
		(struct mount_spec){ .kind = MOUNT_BIND, .target = "/data", .fd = box_tree(in_place(state, "volume")) };
	box.spec.mounts = mounts;
	box.spec.n_mounts = ARRAY_SIZE(mounts);
	box.spec.devices = devices;
	box.spec.n_devices = ARRAY_SIZE(devices);
	text = box_run(
		&box.spec,
		"exec 2>/dev/null; cat /data/secret; chown 0:0 /data/secret && echo OWNED; chmod 666 /data/secret && echo OPENED;"
		"echo x > /data/new && echo WRITTEN; ln -s / /data/link && echo WRITTEN; head -c 1 /dev/theirs && echo READ;"
		"chmod 666 /dev/theirs && echo OPENED; head -c 1 /dev/ours > /dev/null && echo own;"
		"echo 1 > /proc/sys/kernel/panic && echo SYSCTL; true");
	assert_string_equal(text, "own\n");
	(void)close(mounts[ARRAY_SIZE(box_mounts)].fd);
	userns_box_close(&box);
}

/* Looks into everybody but its own tools; and into one of these, to show that it can. */
static const char spy_script[] =
	"exec 2>/dev/null; sleep 1000 & while :; do for p in /proc/[0-9]*; do case $(cat $p/comm) in sh|cat|ls|grep|true|'') ;;"
	"sleep) ls $p/fd/ | grep -q . && cat $p/maps | grep -q . && echo able;; *)"
	"ls $p/fd/ | grep -q . && echo SEEN fd $p; ls $p/root/ | grep -q . && echo SEEN root $p;"
	"cat $p/maps | grep -q . && echo SEEN maps $p; cat $p/environ | grep -q . && echo SEEN environ $p;; esac; done; done";

/*
 * CVE-2016-9962: a process on its way into a container was looked into, and its descriptors used, by one that was there. Here the
 * spy has CAP_SYS_PTRACE over the user namespace that they share, and the pod's init and others pass by.
 */
static void cve_2016_9962_nobody_looks_into_who_joins(void **state)
{
	struct pod_init_spec init = { "spied", NULL, NS_HOST, NS_HOST, NS_HOST, NULL };
	const char *const argv[] = { "/bin/true", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct userns_box box;
	struct pollfd said = { .events = POLLIN };
	struct box_run pod, spy;
	const char *text;
	char path[64];

	open_mighty(state, &box);
	init.user_ns = &box.user_ns;
	expect_ok(plan_compile_pod_init(&init, &plan, &err));
	expect_ok(box_start_plan(plan, &pod, &err));
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pod.spawned.pid);
	box.spec.pid_ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(box.spec.pid_ns, errno);
	expect_ok(box_start(&box.spec, spy_script, &spy, &err));
	said.fd = spy.out;
	/* the spy has gone round at least once when it says that it is able */
	for (int i = 0; i < 30 || (i < 5000 && poll(&said, 1, 0) == 0); i++) {
		struct exec_spec exec = { .name = "passer-by",
					  .target_pidfd = spy.spawned.pidfd,
					  .joins_pid_ns = true,
					  .user_ns = &box.user_ns,
					  .argv = argv,
					  .envp = box_env,
					  .cwd = "/",
					  .identity = { .bounding = caps_all(), .permitted = caps_all() } };
		_cleanup_plan_ struct plan *exec_plan = NULL;
		struct box_run passer_by;

		expect_ok(plan_compile_exec(&exec, &exec_plan, &err));
		expect_ok(box_start_plan(exec_plan, &passer_by, &err));
		assert_string_equal(box_output(&passer_by), "");
		assert_int_equal(box_reap(&passer_by), 0);
	}
	assert_return_code(kill(spy.spawned.pid, SIGKILL), errno);
	assert_return_code(kill(pod.spawned.pid, SIGKILL), errno);
	text = box_output(&spy);
	if (strstr(text, "SEEN") || !strstr(text, "able"))
		fail_msg("%s", text);
	(void)box_reap(&spy);
	close_fd(&pod.out);
	(void)box_reap(&pod);
	close_fd(&box.spec.pid_ns);
	userns_box_close(&box);
}

/* CVE-2022-0492: a release_agent of cgroup version 1 runs as the host's root. */
static void cve_2022_0492_no_release_agent(void **state)
{
	struct userns_box box;
	const char *text;

	open_mighty(state, &box);
	box.spec.new_cgroup_ns = true;
	text = box_run(&box.spec, "exec 2>/dev/null; for c in memory cpu pids none,name=evil; do mount -t cgroup -o $c c /data || "
				  "continue; echo /bin/true > /data/release_agent && echo SET; mkdir /data/x && echo MADE;"
				  "echo a > /data/devices.allow && echo ALLOWED; umount /data; done; true");
	assert_string_equal(text, "");
	userns_box_close(&box);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(masks_and_read_only_mounts_are_locked, place_make, place_remove),
	cmocka_unit_test_setup_teardown(what_is_the_hosts_stays_the_hosts, place_make, place_remove),
	cmocka_unit_test_setup_teardown(cve_2016_9962_nobody_looks_into_who_joins, place_make, place_remove),
	cmocka_unit_test_setup_teardown(cve_2022_0492_no_release_agent, place_make, place_remove),
};

int main(void)
{
	return cmocka_run_group_tests_name("runtime.userns_attack", tests, box_open, box_close);
}
