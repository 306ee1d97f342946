#include "box.h"

#include <sys/ioctl.h>

/* --- identity of the process ------------------------------------------------------------------------------------------- */

static void first_process_of_a_new_pid_namespace(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	assert_string_equal(box_run(&spec, "echo $$; ls /proc | grep -c '^[0-9]'"), "1\n3\n");
}

static void pid_is_the_one_the_host_sees(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;
	char path[64];

	expect_ok(box_start(&spec, "sleep 100", &run, &err));
	(void)snprintf(path, sizeof(path), "/proc/%d/status", run.spawned.pid);
	expect_text(get_file(path), "NSpid:");
	expect_text(get_file(path), "\t1\n");
	(void)snprintf(path, sizeof(path), "PPid:\t%d\n", getpid());
	{
		char status[64];

		(void)snprintf(status, sizeof(status), "/proc/%d/status", run.spawned.pid);
		expect_text(get_file(status), path);
	}
	assert_int_equal(run.spawned.console_fd, -1);
	box_kill(&run);
}

static void ids_groups_and_capabilities_are_as_asked(void **state)
{
	static const gid_t groups[] = { 7, 4000, 12 };
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	spec.identity = (struct identity){
		.uid = 1000,
		.gid = 2000,
		.groups = groups,
		.n_groups = ARRAY_SIZE(groups),
		.bounding = 0x25,
		.permitted = 0x25,
		.inheritable = 0x5,
		.ambient = 0x1,
		.no_new_privs = true,
	};
	text = box_run(&spec, "cat /proc/self/status");
	expect_text(text, "Uid:\t1000\t1000\t1000\t1000\n");
	expect_text(text, "Gid:\t2000\t2000\t2000\t2000\n");
	expect_text(text, "Groups:\t7 12 4000 \n");
	expect_text(text, "CapInh:\t0000000000000005\n");
	/* a user other than root keeps through exec what is ambient */
	expect_text(text, "CapPrm:\t0000000000000001\n");
	expect_text(text, "CapEff:\t0000000000000001\n");
	expect_text(text, "CapBnd:\t0000000000000025\n");
	expect_text(text, "CapAmb:\t0000000000000001\n");
	expect_text(text, "NoNewPrivs:\t1\n");
}

/* CVE-2022-24769 and its relatives: nothing inheritable unless asked for. */
static void cve_2022_24769_root_inherits_nothing(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	const char *text;
	char line[64];

	spec.identity.no_new_privs = false;
	text = box_run(&spec, "cat /proc/self/status");
	(void)snprintf(line, sizeof(line), "CapEff:\t%016llx\n", (unsigned long long)caps_default());
	expect_text(text, line);
	(void)snprintf(line, sizeof(line), "CapBnd:\t%016llx\n", (unsigned long long)caps_default());
	expect_text(text, line);
	expect_text(text, "CapInh:\t0000000000000000\n");
	expect_text(text, "CapAmb:\t0000000000000000\n");
	expect_text(text, "NoNewPrivs:\t0\n");
	expect_text(text, "Groups:\t \n");
}

static void limits_umask_and_signals(void **state)
{
	static const struct rlimit_spec limits[] = { { RLIMIT_NOFILE, 100, 200 }, { RLIMIT_CORE, 0, 0 } };
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	spec.rlimits = limits;
	spec.n_rlimits = ARRAY_SIZE(limits);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR2, SIG_IGN);
	text = box_run(&spec, "umask; cat /proc/self/limits; grep Sig /proc/self/status; ps -o pid,pgid,sid");
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGUSR2, SIG_DFL);
	expect_text(text, "0022\n");
	expect_text(text, "Max open files            100                  200 ");
	expect_text(text, "Max core file size        0                    0 ");
	expect_text(text, "SigIgn:\t0000000000000000\n");
	expect_text(text, "SigBlk:\t0000000000000000\n");
	expect_text(text, "\n    1     1     1\n");
}

static void oom_score_is_set_before_the_command_runs(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	spec.set_oom_score_adj = true;
	spec.oom_score_adj = 321;
	assert_string_equal(box_run(&spec, "cat /proc/self/oom_score_adj"), "321\n");
	spec = box_spec(in_place(state, "root"));
	spec.set_oom_score_adj = true;
	spec.oom_score_adj = 2000;
	{
		struct box_run run;

		expect_error(box_start(&spec, "true", &run, &err), ERR_INTERNAL, "set oom_score_adj to 2000: Invalid argument");
	}
}

static void environment_and_arguments_are_exact(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "echo \"$0|$1|$2\"; env", "a b", "", "\xff\x01", NULL };
	static const char *const envp[] = { "PATH=/bin", "BYTES=\xfe\x02", "EMPTY=", NULL };
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;
	const char *text;

	spec.argv = argv;
	spec.envp = envp;
	expect_ok(box_start(&spec, NULL, &run, &err));
	text = box_output(&run);
	assert_int_equal(box_reap(&run), 0);
	expect_text(text, "a b||\xff\x01\n");
	expect_text(text, "BYTES=\xfe\x02\n");
	expect_text(text, "EMPTY=\n");
	expect_no_text(text, "HOME=");
}

/* --- its world --------------------------------------------------------------------------------------------------------- */

/* Mount points in order, one per line. */
#define LIST_MOUNTS "awk '{print $5, $6}' /proc/self/mountinfo"

static void mounts_are_those_asked_for_and_nothing_else(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	assert_string_equal(box_run(&spec, LIST_MOUNTS), "/ rw,relatime\n"
							 "/proc rw,nosuid,nodev,noexec,relatime\n"
							 "/dev rw,nosuid\n"
							 "/dev/pts rw,nosuid,noexec,relatime\n"
							 "/dev/mqueue rw,nosuid,nodev,noexec,relatime\n"
							 "/sys ro,nosuid,nodev,noexec,relatime\n");
}

/* Mounts on / itself: one, unless the spawner's or the container's root has come through. */
static unsigned count_roots(const char *mountinfo)
{
	unsigned n = 0;

	for (const char *p = mountinfo; (p = strstr(p, " / / ")); p++)
		n++;
	return n;
}

static void nothing_appears_on_the_host(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	_cleanup_buffer_ struct buffer before = BUFFER_INIT((size_t)1 << 20);
	_cleanup_buffer_ struct buffer during = BUFFER_INIT((size_t)1 << 20);
	struct box_run run;

	expect_ok(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &before, &err));
	expect_ok(box_start(&spec, "sleep 100", &run, &err));
	expect_ok(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &during, &err));
	box_kill(&run);
	expect_no_text(during.data, in_place(state, ""));
	assert_int_equal(count_roots(during.data), count_roots(before.data));
}

/* A root that shares propagation with the host, as every directory does where systemd runs. */
static void mounts_on_a_shared_root_stay_inside(void **state)
{
	const char *root = box_root(state);
	struct container_spec spec;
	struct box_run run;

	assert_return_code(mount(root, root, NULL, MS_BIND, NULL), errno);
	assert_return_code(mount(NULL, root, NULL, MS_SHARED, NULL), errno);
	spec = box_spec(root);
	expect_ok(box_start(&spec, "sleep 100", &run, &err));
	/* one unmount is enough when nothing came through */
	assert_return_code(umount2(root, 0), errno);
	box_kill(&run);
}

static void namespaces_are_joined_or_kept(void **state)
{
	static const char script[] = "for n in net ipc uts pid mnt cgroup; do readlink /proc/self/ns/$n; done";
	struct container_spec spec = box_spec(box_root(state));
	_cleanup_fd_ int net = box_namespace(CLONE_NEWNET, "net");
	_cleanup_fd_ int ipc = box_namespace(CLONE_NEWIPC, "ipc");
	struct stat st;
	char expected[64], own[64] = "";
	const char *text;

	spec.net_ns = net;
	spec.ipc_ns = ipc;
	spec.new_cgroup_ns = true;
	text = box_run(&spec, script);
	assert_return_code(fstat(net, &st), errno);
	(void)snprintf(expected, sizeof(expected), "net:[%lu]\n", (unsigned long)st.st_ino);
	expect_text(text, expected);
	assert_return_code(fstat(ipc, &st), errno);
	(void)snprintf(expected, sizeof(expected), "ipc:[%lu]\n", (unsigned long)st.st_ino);
	expect_text(text, expected);
	assert_true(readlink("/proc/self/ns/uts", own, sizeof(own) - 1) > 0);
	expect_text(text, own);
	assert_true(readlink("/proc/self/ns/pid", own, sizeof(own) - 1) > 0);
	expect_no_text(text, own);
	assert_true(readlink("/proc/self/ns/mnt", own, sizeof(own) - 1) > 0);
	expect_no_text(text, own);
	assert_true(readlink("/proc/self/ns/cgroup", own, sizeof(own) - 1) > 0);
	expect_no_text(text, own);
}

static void only_three_descriptors(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	int leaked = open("/etc/passwd", O_RDONLY); /* a library that forgot O_CLOEXEC */
	const char *text;

	assert_return_code(leaked, errno);
	/* 3 is the directory that ls itself reads */
	text = box_run(&spec, "ls /proc/1/fd; cat /proc/1/stat | wc -l");
	(void)close(leaked);
	assert_string_equal(text, "0\n1\n2\n1\n");
}

static void devices_and_links(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	const char *text = box_run(&spec, "stat -c '%n %t:%T %a %F' /dev/null /dev/zero /dev/tty;"
					  "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; ls /dev;"
					  "echo x > /dev/null; head -c 2 /dev/zero | wc -c; echo out > /dev/stdout");

	expect_text(text, "/dev/null 1:3 666 character special file\n");
	expect_text(text, "/dev/zero 1:5 666 character special file\n");
	expect_text(text, "/dev/tty 5:0 666 character special file\n");
	expect_text(text, "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
	expect_text(text, "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n");
	expect_text(text, "2\nout\n");
}

static void stdout_is_reopened_by_a_user(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	spec.identity.uid = 1000;
	spec.identity.gid = 1000;
	assert_string_equal(box_run(&spec, "echo again > /dev/stdout"), "again\n");
}

static void masked_paths_hide(void **state)
{
	static const char *const masked[] = { "/proc/version", "/proc/acpi",   "/sys/firmware", "/proc/nothing",
					      "/etc/secret",   "/etc/secrets", "/proc/scsi",    NULL };
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	put_file(in_place(state, "root/etc/secret"), "secret");
	put_dir(in_place(state, "root/etc/secrets/a"));
	spec.masked_paths = masked;
	text = box_run(&spec,
		       "cat /etc/secret /proc/version; ls -A /etc/secrets /sys/firmware; stat -c '%t:%T' /etc/secret /proc/version;"
		       "touch /etc/secrets/x 2>&1 || true");
	expect_no_text(text, "secret\n");
	expect_text(text, "/etc/secrets:\n\n/sys/firmware:\n1:3\n1:3\n");
	expect_text(text, "Read-only file system");
}

static void readonly_paths_and_root(void **state)
{
	static const char *const readonly[] = { "/proc/sys", "/data", "/missing", NULL };
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	spec.readonly_paths = readonly;
	text = box_run(&spec, "touch /tmp/x; (echo 1 > /proc/sys/kernel/pid_max) 2>&1; touch /data/x 2>&1; true");
	expect_text(text, "/proc/sys/kernel/pid_max: Read-only file system");
	expect_text(text, "/data/x: Read-only file system");
	spec = box_spec(in_place(state, "root"));
	spec.readonly_rootfs = true;
	text = box_run(&spec, "touch /tmp/y 2>&1; touch /dev/z && echo fine");
	expect_text(text, "/tmp/y: Read-only file system");
	expect_text(text, "fine\n");
}

static void volumes_keep_content_and_flags(void **state)
{
	const char *root = box_root(state);
	struct container_spec spec = box_spec(root);
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 4];
	const char *text;

	put_dir(in_place(state, "volume"));
	put_file(in_place(state, "volume/file"), "content\n");
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[5] = (struct mount_spec){ MOUNT_BIND, "/data", false, box_tree(in_place(state, "volume")), 0, NULL };
	mounts[6] = (struct mount_spec){
		MOUNT_BIND, "/new/deep/dir", false, box_tree(in_place(state, "volume")), MS_RDONLY | MS_NOSUID | MS_NODEV, NULL
	};
	mounts[7] = (struct mount_spec){ MOUNT_BIND, "/new/file", true, box_tree(in_place(state, "volume/file")), MS_RDONLY, NULL };
	mounts[8] = (struct mount_spec){ MOUNT_TMPFS, "/tmp//./", false, -1, MS_NOEXEC, "size=64k,mode=1777" };
	spec.mounts = mounts;
	spec.n_mounts = ARRAY_SIZE(mounts);
	text = box_run(&spec,
		       "cat /data/file /new/file; touch /data/made; touch /new/deep/dir/x 2>&1; echo > /new/file; " LIST_MOUNTS
		       "; stat -c %a /tmp; true");
	for (size_t i = 5; i < 8; i++)
		(void)close(mounts[i].fd);
	expect_text(text, "content\ncontent\n");
	expect_text(text, "/new/deep/dir/x: Read-only file system");
	expect_text(text, "/new/file: Read-only file system");
	expect_text(text, "/new/deep/dir ro,nosuid,nodev");
	expect_text(text, "/new/file ro,");
	expect_text(text, "/tmp rw,noexec,relatime\n");
	expect_text(text, "1777\n");
	assert_int_equal(access(in_place(state, "volume/made"), F_OK), 0);
	assert_string_equal(get_file(in_place(state, "volume/file")), "content\n");
}

/* Images of systemd's world have /etc/resolv.conf -> ../run/...; the file is made where the link points, inside the root. */
static void a_dangling_link_is_followed_inside(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];

	assert_return_code(symlink("../run/../run/resolve/stub", in_place(state, "root/etc/resolv.conf")), errno);
	put_file(in_place(state, "resolv"), "nameserver 192.0.2.1\n");
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[5] = (struct mount_spec){ MOUNT_BIND, "/etc/resolv.conf", true, box_tree(in_place(state, "resolv")), 0, NULL };
	spec.mounts = mounts;
	spec.n_mounts = ARRAY_SIZE(mounts);
	assert_string_equal(box_run(&spec, "cat /etc/resolv.conf; cat /run/resolve/stub"),
			    "nameserver 192.0.2.1\nnameserver 192.0.2.1\n");
	(void)close(mounts[5].fd);
}

static void working_directory_is_made_for_the_user(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	spec.cwd = "/home//app/./src/";
	spec.identity.uid = 1000;
	spec.identity.gid = 1001;
	assert_string_equal(box_run(&spec, "readlink /proc/self/cwd; stat -c '%u:%g %a' . /home"),
			    "/home/app/src\n1000:1001 755\n1000:1001 755\n");
	/* what is there keeps its owner */
	spec = box_spec(in_place(state, "root"));
	spec.cwd = "/data";
	spec.identity.uid = 1000;
	assert_string_equal(box_run(&spec, "stat -c '%u:%g' ."), "0:0\n");
	/* and a directory that only root may enter is entered before root is given up */
	assert_return_code(chmod(in_place(state, "root/data"), 0700), errno);
	spec = box_spec(in_place(state, "root"));
	spec.cwd = "/data";
	spec.identity.uid = 1000;
	assert_string_equal(box_run(&spec, "readlink /proc/self/cwd"), "/data\n");
}

/* --- terminal ---------------------------------------------------------------------------------------------------------- */

/* What the terminal shows until its other side is closed. */
static const char *read_console(int fd)
{
	static char text[4096];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	return text;
}

static void terminal_is_the_containers_own(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;
	const char *text;

	spec.tty = true;
	spec.identity.uid = 1000;
	expect_ok(box_start(&spec,
			    "for n in 0 1 2; do readlink /proc/self/fd/$n; done; stat -c '%u %t' /dev/console /dev/pts/0;"
			    "echo ctty > /dev/tty; " LIST_MOUNTS " | grep console; ps -o pid,tty",
			    &run, &err));
	assert_true(run.spawned.console_fd >= 0);
	text = read_console(run.spawned.console_fd);
	expect_text(text, "/dev/pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n");
	expect_text(text, "1000 88\r\n1000 88\r\n");
	expect_text(text, "ctty\r\n");
	expect_text(text, "/dev/console rw,nosuid,noexec,relatime\r\n");
	expect_text(text, "    1 136,0\r\n");
	(void)box_output(&run);
	assert_int_equal(box_reap(&run), 0);
}

/* --- errors ------------------------------------------------------------------------------------------------------------ */

static void a_missing_command_is_named(void **state)
{
	static const char *const absent[] = { "/nonexistent", NULL };
	static const char *const searched[] = { "nonexistent", NULL };
	static const char *const directory[] = { "/etc", NULL };
	static const char *const relative[] = { "./bin/true", NULL };
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;

	spec.argv = absent;
	expect_error(box_start(&spec, NULL, &run, &err), ERR_NOT_FOUND, "exec /nonexistent: No such file or directory");
	spec = box_spec(in_place(state, "root"));
	spec.argv = searched;
	expect_error(box_start(&spec, NULL, &run, &err), ERR_NOT_FOUND, "exec nonexistent: No such file or directory");
	spec = box_spec(in_place(state, "root"));
	spec.argv = directory;
	expect_error(box_start(&spec, NULL, &run, &err), ERR_DENIED, "exec /etc: Permission denied");
	put_file(in_place(state, "root/bin/text"), "no program");
	assert_return_code(chmod(in_place(state, "root/bin/text"), 0755), errno);
	spec = box_spec(in_place(state, "root"));
	spec.argv = (const char *const[]){ "text", NULL };
	expect_error(box_start(&spec, NULL, &run, &err), ERR_INTERNAL, "exec text: Exec format error");
	spec = box_spec(in_place(state, "root"));
	spec.argv = relative;
	expect_ok(box_start(&spec, NULL, &run, &err));
	(void)box_output(&run);
	assert_int_equal(box_reap(&run), 0);
	assert_false(box_has_children());
}

static void a_failing_operation_names_its_object(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct mount_spec bad = { MOUNT_TMPFS, "/data", false, -1, 0, "size=nonsense" };
	struct box_run run;

	spec.mounts = &bad;
	spec.n_mounts = 1;
	expect_error(box_start(&spec, "true", &run, &err), ERR_INVALID, "mount tmpfs on /data: Invalid argument");
	spec = box_spec(in_place(state, "root"));
	spec.rlimits = &(struct rlimit_spec){ RLIMIT_NOFILE, 200, 100 };
	spec.n_rlimits = 1;
	expect_error(box_start(&spec, "true", &run, &err), ERR_INTERNAL, "set resource limit nofile: Invalid argument");
	spec = box_spec(in_place(state, "root"));
	put_file(in_place(state, "root/file"), "");
	spec.cwd = "/file/below";
	expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "make directory /file/below: Not a directory");
	assert_false(box_has_children());
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(first_process_of_a_new_pid_namespace),
		box_test(pid_is_the_one_the_host_sees),
		box_test(ids_groups_and_capabilities_are_as_asked),
		box_test(cve_2022_24769_root_inherits_nothing),
		box_test(limits_umask_and_signals),
		box_test(oom_score_is_set_before_the_command_runs),
		box_test(environment_and_arguments_are_exact),
		box_test(mounts_are_those_asked_for_and_nothing_else),
		box_test(nothing_appears_on_the_host),
		box_test(mounts_on_a_shared_root_stay_inside),
		box_test(namespaces_are_joined_or_kept),
		box_test(only_three_descriptors),
		box_test(devices_and_links),
		box_test(stdout_is_reopened_by_a_user),
		box_test(masked_paths_hide),
		box_test(readonly_paths_and_root),
		box_test(volumes_keep_content_and_flags),
		box_test(a_dangling_link_is_followed_inside),
		box_test(working_directory_is_made_for_the_user),
		box_test(terminal_is_the_containers_own),
		box_test(a_missing_command_is_named),
		box_test(a_failing_operation_names_its_object),
	};

	return cmocka_run_group_tests(tests, box_open, box_close);
}
