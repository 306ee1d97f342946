/*
 * Roots and volumes that were made to break out of, by the incident they imitate (CVE numbers of runc, crun, CRI-O and containerd).
 * Each test has a place outside of the root, "canary", that an attack would reach; afterwards it must be as it was.
 */
#include "canary.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "runtime/plan_build.h"

/* --- the image's own directories --------------------------------------------------------------------------------------- */

/* CVE-2023-27561, CVE-2019-19921: what must be a directory is one, or nothing starts. */
static void cve_2023_27561_proc_sys_and_dev_are_links(void **state)
{
	static const char *const names[] = { "proc", "sys", "dev" };

	(void)box_root(state);
	put_canary(state);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t j = 0; spellings[j]; j++) {
			struct container_spec spec;
			struct box_run run;
			char sentence[96];

			plant_link(state, names[i], spellings[j]);
			spec = box_spec(in_place(state, "root"));
			(void)snprintf(sentence, sizeof(sentence), " on /%s: Too many levels of symbolic links (the image has",
				       names[i]);
			expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, sentence);
		}
		{
			char path[64];

			(void)snprintf(path, sizeof(path), "root/%s", names[i]);
			assert_return_code(unlink(in_place(state, path)), errno);
			put_dir(in_place(state, path));
		}
	}
	expect_canary(state);
}

/* CVE-2023-27561, CVE-2026-41579: a volume that takes the place of /proc, /sys or /dev stands there and nowhere else. */
static void cve_2023_27561_volumes_on_links(void **state)
{
	static const char *const names[] = { "proc", "sys", "dev" };

	(void)box_root(state);
	put_canary(state);
	put_dir(in_place(state, "volume"));
	put_dir(in_place(state, "root/elsewhere"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t j = 0; j < 2; j++) {
			struct mount_spec mount = { .kind = MOUNT_BIND, .fd = box_tree(in_place(state, "volume")) };
			struct container_spec spec;
			struct box_run run;
			char target[16];

			plant_link(state, names[i], spellings[j]);
			if (j == 1) {
				char path[64];

				(void)snprintf(path, sizeof(path), "root/%s", names[i]);
				assert_return_code(unlink(in_place(state, path)), errno);
				assert_return_code(symlink("elsewhere", in_place(state, path)), errno);
			}
			(void)snprintf(target, sizeof(target), "/%s", names[i]);
			mount.target = target;
			spec = box_spec(in_place(state, "root"));
			spec.mounts = &mount;
			spec.n_mounts = 1;
			expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "the image has a symbolic link there");
			(void)close(mount.fd);
			expect_canary(state);
		}
	}
}

/* A link inside the image that stays inside is no better for these. */
static void proc_may_not_be_a_link_to_another_directory(void **state)
{
	struct container_spec spec;
	struct box_run run;

	(void)box_root(state);
	assert_return_code(rmdir(in_place(state, "root/proc")), errno);
	assert_return_code(symlink("tmp", in_place(state, "root/proc")), errno);
	spec = box_spec(in_place(state, "root"));
	expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "mount proc on /proc");
	assert_return_code(unlink(in_place(state, "root/proc")), errno);
	put_file(in_place(state, "root/proc"), "");
	spec = box_spec(in_place(state, "root"));
	expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "mount proc on /proc: Not a directory");
}

/* CVE-2026-41579, CVE-2026-88264: /dev of the image has links where devices are to be made. */
static void cve_2026_41579_links_in_the_images_dev(void **state)
{
	struct container_spec spec;
	struct box_run run;

	(void)box_root(state);
	put_canary(state);
	plant_link(state, "dev/console", spellings[0]);
	plant_link(state, "dev/null", spellings[0]);
	plant_link(state, "dev/pts", spellings[0]);
	plant_link(state, "dev/ptmx", spellings[1]);
	spec = box_spec(in_place(state, "root"));
	spec.tty = true;
	expect_ok(box_start(&spec, "true", &run, &err));
	(void)box_output(&run);
	assert_int_equal(box_reap(&run), 0);
	expect_canary(state);
}

/* --- targets of volumes ------------------------------------------------------------------------------------------------ */

/* CVE-2021-30465, CVE-2024-45310: a target that leads outside is followed inside the root, and nothing is made outside. */
static void cve_2024_45310_a_target_that_points_outside(void **state)
{
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 2];

	(void)box_root(state);
	put_canary(state);
	put_dir(in_place(state, "volume"));
	put_file(in_place(state, "volume/file"), "volume\n");
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	for (size_t j = 0; spellings[j]; j++) {
		struct container_spec spec;

		plant_link(state, "data", spellings[j]);
		plant_link(state, "link", spellings[j]);
		mounts[5] = (struct mount_spec){ MOUNT_BIND, "/data/new/dir", false, box_tree(in_place(state, "volume")), 0, NULL };
		mounts[6] =
			(struct mount_spec){ MOUNT_BIND, "/link/made", true, box_tree(in_place(state, "volume/file")), 0, NULL };
		spec = box_spec(in_place(state, "root"));
		spec.mounts = mounts;
		spec.n_mounts = ARRAY_SIZE(mounts);
		assert_string_equal(box_run(&spec, "cat /data/new/dir/file /link/made"), "volume\nvolume\n");
		(void)close(mounts[5].fd);
		(void)close(mounts[6].fd);
		expect_canary(state);
	}
}

static void links_without_end_are_an_error(void **state)
{
	struct mount_spec mount = { MOUNT_TMPFS, "/a/b", false, -1, 0, NULL };
	struct container_spec spec;
	struct box_run run;

	(void)box_root(state);
	assert_return_code(symlink("b", in_place(state, "root/a")), errno);
	assert_return_code(symlink("a", in_place(state, "root/b")), errno);
	spec = box_spec(in_place(state, "root"));
	spec.mounts = &mount;
	spec.n_mounts = 1;
	expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "mount tmpfs on /a/b: Too many levels of symbolic links");
	/* one that grows with every step */
	assert_return_code(symlink("x/../g/y", in_place(state, "root/g")), errno);
	mount.target = "/g/z";
	spec = box_spec(in_place(state, "root"));
	spec.mounts = &mount;
	spec.n_mounts = 1;
	expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "mount tmpfs on /g/z");
}

/* CVE-2019-19921: nothing is mounted inside a procfs, by name or through a link. */
static void cve_2019_19921_nothing_is_mounted_inside_proc(void **state)
{
	static const char *const targets[] = { "/proc/sys", "/proc/self/attr", "/innocent", "/dev/fd" };
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];

	(void)box_root(state);
	put_dir(in_place(state, "volume"));
	assert_return_code(symlink("/proc/sys", in_place(state, "root/innocent")), errno);
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct container_spec spec = box_spec(in_place(state, "root"));
		struct box_run run;

		mounts[5] = (struct mount_spec){ MOUNT_BIND, targets[i], false, box_tree(in_place(state, "volume")), 0, NULL };
		spec.mounts = mounts;
		spec.n_mounts = ARRAY_SIZE(mounts);
		expect_error(box_start(&spec, "true", &run, &err), ERR_DENIED, "mount volume on ");
		(void)close(mounts[5].fd);
	}
}

/* --- working directory ------------------------------------------------------------------------------------------------- */

/* CVE-2024-21626: no descriptor of ours is a working directory. */
static void cve_2024_21626_workdir_in_proc_self_fd(void **state)
{
	static const char *const attempts[] = { "/proc/self/fd/%d", "/proc/1/fd/%d", "/proc/thread-self/fd/%d", "/dev/fd/%d" };

	(void)box_root(state);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		for (int fd = 0; fd < 24; fd++) {
			struct container_spec spec = box_spec(in_place(state, "root"));
			struct box_run run;
			char cwd[64];

			(void)snprintf(cwd, sizeof(cwd), "%.*s%d", (int)(strlen(attempts[i]) - 2), attempts[i], fd);
			spec.cwd = cwd;
			{
				struct error err = ERROR_INIT;

				if (box_start(&spec, "true", &run, &err) == 0)
					fail_msg("%s was entered", cwd);
				expect_text(err.text, cwd);
			}
		}
	}
	assert_false(box_has_children());
}

/* The same through a link of the image. */
static void cve_2024_21626_workdir_through_a_link(void **state)
{
	struct container_spec spec;
	struct box_run run;

	(void)box_root(state);
	assert_return_code(symlink("/proc/self/fd/9", in_place(state, "root/work")), errno);
	spec = box_spec(in_place(state, "root"));
	spec.cwd = "/work";
	expect_error(box_start(&spec, "true", &run, &err), ERR_STATE, "/work: Too many levels of symbolic links");
}

static void workdir_through_a_link_stays_inside(void **state)
{
	struct container_spec spec;

	(void)box_root(state);
	put_canary(state);
	plant_link(state, "work", spellings[2]);
	spec = box_spec(in_place(state, "root"));
	spec.cwd = "/work/a";
	expect_text(box_run(&spec, "readlink /proc/self/cwd"), "/canary/a\n");
	expect_canary(state);
}

/* --- masks ------------------------------------------------------------------------------------------------------------- */

/*
 * CVE-2025-31133, CVE-2025-52565: whatever is called /dev/null in the container, what covers a masked file is a null device, and nobody
 * in the container changes its mode.
 */
static void cve_2025_31133_a_false_null_device(void **state)
{
	static const struct device_spec zero_as_null = { "/dev/null", S_IFCHR, 0666, 1, 5, 0, 0, false };
	static const char *const masked[] = { "/proc/version", "/data/secret", "/etc", NULL };
	static const char script[] =
		"cat /proc/version /data/secret; ls -A /etc; stat -c '%F %t:%T %a' /proc/version /data/secret; "
		"chmod 000 /proc/version 2>/tmp/x || echo kept; chown 5 /data/secret 2>/tmp/x || echo kept; "
		"echo back > /data/secret && echo written; touch /etc/new 2>/tmp/x || echo refused";
	static const char wanted[] =
		"character special file 1:3 666\ncharacter special file 1:3 666\nkept\nkept\nwritten\nrefused\n";

	for (int i = 0; i < 4; i++) {
		struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];
		struct container_spec spec;
		const char *text;

		if (i == 0) {
			(void)box_root(state);
			put_file(in_place(state, "root/data/secret"), "secret");
			put_file(in_place(state, "root/etc/passwd"), "secret");
			put_dir(in_place(state, "volume"));
			put_file(in_place(state, "volume/null"), "secret");
		}
		memcpy(mounts, box_mounts, sizeof(box_mounts));
		spec = box_spec(in_place(state, "root"));
		spec.mounts = mounts;
		spec.masked_paths = masked;
		if (i == 1) {
			spec.devices = &zero_as_null;
			spec.n_devices = 1;
		} else if (i == 2) { /* a volume on /dev, with a file for the device */
			mounts[1] = (struct mount_spec){ MOUNT_BIND, "/dev", false, box_tree(in_place(state, "volume")), 0, NULL };
			spec.n_mounts = 2;
		} else if (i == 3) { /* a file of the request on the device */
			mounts[5] = (struct mount_spec){ MOUNT_BIND, "/dev/null", true, box_tree(in_place(state, "volume/null")),
							 0,          NULL };
			spec.n_mounts = 6;
		}
		text = box_run(&spec, script);
		if (strcmp(text, wanted) != 0)
			fail_msg("case %d: %s", i, text);
		if (i >= 2)
			(void)close(mounts[i == 2 ? 1 : 5].fd);
	}
	assert_string_equal(get_file(in_place(state, "root/data/secret")), "secret");
}

static bool tmpfs_knows_immutable(void **state)
{
	int flags = FS_IMMUTABLE_FL, none = 0;
	_cleanup_fd_ int fd = -1;
	bool known;

	put_dir(in_place(state, "probe"));
	if (mount("kern", in_place(state, "probe"), "tmpfs", 0, NULL) < 0)
		return false;
	fd = open(in_place(state, "probe"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	known = ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &none);
	(void)umount2(in_place(state, "probe"), MNT_DETACH);
	return known;
}

/* CVE-2025-31133's neighbour: the cover is all containers' own. One that may mount makes it writable, and still puts nothing there. */
static void cve_2025_31133_covers_are_no_channel(void **state)
{
	static const char *const masked[] = { "/etc", NULL };
	struct container_spec spec;

	(void)box_root(state);
	skip_unless(tmpfs_knows_immutable(state), "tmpfs has no immutable directories before Linux 6.6");
	spec = box_spec(in_place(state, "root"));
	spec.identity.bounding = spec.identity.permitted = caps_default() | 1ULL << 21 /* CAP_SYS_ADMIN */;
	spec.masked_paths = masked;
	assert_string_equal(box_run(&spec, "mount -o remount,rw /etc && echo writable; touch /etc/new 2>/tmp/x || cat /tmp/x"),
			    "writable\ntouch: /etc/new: Operation not permitted\n");
	spec = box_spec(in_place(state, "root"));
	spec.masked_paths = masked;
	assert_string_equal(box_run(&spec, "ls -A /etc"), "");
}

/* A masked path may be a link of the image: what it points to in the root is hidden, nothing outside. */
static void a_masked_link(void **state)
{
	static const char *const masked[] = { "/hidden", NULL };
	struct container_spec spec;

	(void)box_root(state);
	put_canary(state);
	put_file(in_place(state, "root/etc/target"), "seen");
	assert_return_code(symlink("../../../etc/target", in_place(state, "root/hidden")), errno);
	spec = box_spec(in_place(state, "root"));
	spec.masked_paths = masked;
	assert_string_equal(box_run(&spec, "cat /etc/target; echo end"), "end\n");
	expect_canary(state);
}

/* --- from the inside --------------------------------------------------------------------------------------------------- */

/* In the container's mount namespace, with every right: 0 when climbing out of a chroot ends at `marker`. Not in cmocka's process. */
static int climb(int pidfd)
{
	if (setns(pidfd, CLONE_NEWNS) < 0 || mkdir("/deep", 0755) < 0 || chroot("/deep") < 0)
		return 2;
	/* the working directory is above the root now */
	for (int i = 0; i < 100; i++) {
		if (chdir("..") < 0)
			return 3;
	}
	if (chroot(".") < 0)
		return 4;
	return access("/marker", F_OK) == 0 && access("/bin/busybox", F_OK) == 0 ? 0 : 1;
}

/*
 * The container's root covers the spawner's empty one and nothing was unmounted. The classic way out of a chroot leads nowhere:
 * climbing from above the root ends in the container's root again.
 */
static void climbing_out_of_the_root(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;
	int status;
	pid_t pid;

	put_file(in_place(state, "root/marker"), "inside");
	expect_ok(box_start(&spec, "sleep 100", &run, &err));
	pid = fork();
	if (pid == 0)
		_exit(climb(run.spawned.pidfd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	box_kill(&run);
}

static void unmounting_the_root_shows_nothing(void **state)
{
	static const char *const argv[] = { "/bin/busybox", "sh", "-c",
					    "cd /; umount -l / 2>/dev/null; echo /*; echo ../*; "
					    "cd ..; echo *",
					    NULL };
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;
	const char *text;

	spec.identity = (struct identity){ .bounding = caps_all(), .permitted = caps_all() };
	spec.argv = argv;
	expect_ok(box_start(&spec, NULL, &run, &err));
	text = box_output(&run);
	(void)box_reap(&run);
	/* neither the host's directories nor anything that another container could have left */
	expect_no_text(text, "usr");
	expect_no_text(text, "home");
	expect_no_text(text, "boot");
}

/* The standard streams are no way to the host's null device: its mode could be changed through a descriptor. */
static void streams_are_the_containers_own_null(void **state)
{
	static const char *const argv[] = { "sh", "-c",
					    "test $(stat -L -c %d:%i /proc/self/fd/0) = $(stat -c %d:%i /dev/null) && "
					    "chmod 000 /proc/self/fd/0 && chown 5 /proc/self/fd/0",
					    NULL };
	struct container_spec spec = box_spec(box_root(state));
	_cleanup_plan_ struct plan *plan = NULL;
	_cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct spawn_result result;
	struct stat before, after;
	struct box_run run = { .out = -1 };

	assert_return_code(stat("/dev/null", &before), errno);
	for (int i = 0; i < 2; i++) {
		spec.argv = argv;
		expect_ok(plan_compile(&spec, &plan, &err));
		/* also when it is the caller who hands the host's in */
		expect_ok(spawner_run(box_spawner, plan, (int[]){ i == 0 ? -1 : null, -1, -1 }, BOX_TIMEOUT_MS, &result, &err));
		run.spawned = result;
		assert_int_equal(box_reap(&run), 0);
		assert_return_code(stat("/dev/null", &after), errno);
		assert_int_equal(before.st_mode, after.st_mode);
		assert_int_equal(before.st_uid, after.st_uid);
		(void)close(spec.rootfs);
		plan_free(plan);
		plan = NULL;
		spec = box_spec(in_place(state, "root"));
	}
	/* a container without a /dev: still not the host's */
	spec.n_mounts = 1;
	expect_ok(box_start(&spec, "/bin/busybox chmod 000 /proc/self/fd/0", &run, &err));
	(void)box_output(&run);
	assert_int_equal(box_reap(&run), 0);
	assert_return_code(stat("/dev/null", &after), errno);
	assert_int_equal(before.st_mode, after.st_mode);
}

/* CVE-2019-5736: /proc/PID/exe of a starting container is a sealed copy; the daemon's binary is nowhere. */
static void cve_2019_5736_the_interpreter_is_sealed(void **state)
{
	_cleanup_plan_ struct plan *plan = NULL;
	struct box_run run;
	char path[64];
	int fd;

	(void)state;
	/* the one plan whose process goes on as the interpreter */
	expect_ok(plan_compile_pod_init(&(struct pod_init_spec){ "sealed", NULL, NS_HOST, NS_HOST, NS_HOST, NULL }, &plan, &err));
	expect_ok(box_start_plan(plan, &run, &err));
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", run.spawned.pid);
	assert_int_equal(open(path, O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, ETXTBSY);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(fd, errno);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_return_code(kill(run.spawned.pid, SIGKILL), errno);
	close_fd(&run.out);
	(void)box_reap(&run);
	(void)close(fd);
}

/*
 * A process that may trace others finds in its PID namespace none that has more rights than it has itself: what appears there has been
 * stripped before. A thread looks at every child of ours as fast as it can; many limits to set widen what it would see.
 */
struct observer {
	ino_t pid_ns;
	atomic_bool stop;
	unsigned long long seen; /* capabilities, of all */
	unsigned n_seen;
};

static void observe(struct observer *observer, const char *pid)
{
	char path[64], status[2048] = "", *line;
	struct stat st;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
	if (stat(path, &st) < 0 || st.st_ino != observer->pid_ns)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);
	if (fd >= 0)
		(void)close(fd);
	line = n > 0 ? strstr(status, "CapPrm:") : NULL;
	if (!line)
		return;
	observer->seen |= strtoull(line + strlen("CapPrm:"), NULL, 16);
	observer->n_seen++;
}

/* Children are listed under the thread that made them. */
static void observe_children(struct observer *observer, const char *thread)
{
	char path[300], list[512] = "", *pid, *rest;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%s/children", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, list, sizeof(list) - 1);
	if (fd >= 0)
		(void)close(fd);
	list[n > 0 ? n : 0] = '\0';
	for (pid = strtok_r(list, " ", &rest); pid; pid = strtok_r(NULL, " ", &rest))
		observe(observer, pid);
}

static void *observe_all(void *arg)
{
	struct observer *observer = arg;

	while (!atomic_load(&observer->stop)) {
		DIR *tasks = opendir("/proc/self/task");
		struct dirent *entry;

		while (tasks && (entry = readdir(tasks)))
			observe_children(observer, entry->d_name);
		if (tasks)
			(void)closedir(tasks);
	}
	return NULL;
}

static void a_tracer_sees_no_rights(void **state)
{
	static const char *const argv[] = { "true", NULL };
	static struct rlimit_spec limits[3000];
	struct container_spec spec = box_spec(box_root(state));
	struct observer observer = { .n_seen = 0 };
	_cleanup_plan_ struct plan *plan = NULL;
	struct exec_spec exec = {
		.name = "box",
		.joins_pid_ns = true,
		.argv = argv,
		.envp = box_env,
		.cwd = "/",
		.identity = { .uid = 1000, .gid = 1000 },
		.rlimits = limits,
		.n_rlimits = ARRAY_SIZE(limits),
	};
	struct box_run run, inside;
	pthread_t thread;
	struct stat st;
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		limits[i] = (struct rlimit_spec){ RLIMIT_CORE, 0, 0 };
	/* the container has no capability at all, so any that is seen is a newcomer's */
	spec.identity = (struct identity){ .bounding = 0 };
	expect_ok(box_start(&spec, "sleep 100", &run, &err));
	exec.target_pidfd = run.spawned.pidfd;
	expect_ok(plan_compile_exec(&exec, &plan, &err));
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", run.spawned.pid);
	assert_return_code(stat(path, &st), errno);
	observer.pid_ns = st.st_ino;
	assert_int_equal(pthread_create(&thread, NULL, observe_all, &observer), 0);
	for (int i = 0; i < 50; i++) {
		expect_ok(box_start_plan(plan, &inside, &err));
		(void)box_output(&inside);
		assert_int_equal(box_reap(&inside), 0);
	}
	atomic_store(&observer.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	box_kill(&run);
	assert_true(observer.n_seen > 50);
	if (observer.seen != 0)
		fail_msg("a process with capabilities %#llx was seen", observer.seen);
}

/* --- blocks ------------------------------------------------------------------------------------------------------------ */

/* The check that stands between a block and the interpreter: each field, one at a time, out of range. */
static void broken_blocks_are_refused(void **state)
{
	static const char *const argv[] = { "true", NULL };
	struct container_spec spec = box_spec(NULL);
	struct plan *plan;
	uint32_t *words;
	size_t n_words;

	(void)state;
	spec.argv = argv;
	spec.rootfs = 0;
	expect_ok(plan_compile(&spec, &plan, &err));
	assert_true(plan_block_check(plan->block, plan->block->size));
	assert_false(plan_block_check(plan->block, plan->block->size - 1));
	words = (uint32_t *)plan->block;
	/* clone_flags and current, at the end of the header, are values, not references */
	n_words = offsetof(struct plan_header, own_oom_file) / sizeof(uint32_t);
	for (size_t i = 0; i < n_words; i++) {
		uint32_t saved = words[i];

		words[i] = 0xfffffff0U;
		if (plan_block_check(plan->block, plan->block->size < saved ? saved : plan->block->size))
			fail_msg("word %zu of the header may be anything", i);
		words[i] = saved;
	}
	assert_true(plan_block_check(plan->block, plan->block->size));
	plan_free(plan);
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(cve_2023_27561_proc_sys_and_dev_are_links),
		box_test(cve_2023_27561_volumes_on_links),
		box_test(proc_may_not_be_a_link_to_another_directory),
		box_test(cve_2026_41579_links_in_the_images_dev),
		box_test(cve_2024_45310_a_target_that_points_outside),
		box_test(links_without_end_are_an_error),
		box_test(cve_2019_19921_nothing_is_mounted_inside_proc),
		box_test(cve_2024_21626_workdir_in_proc_self_fd),
		box_test(cve_2024_21626_workdir_through_a_link),
		box_test(workdir_through_a_link_stays_inside),
		box_test(cve_2025_31133_a_false_null_device),
		box_test(cve_2025_31133_covers_are_no_channel),
		box_test(a_masked_link),
		box_test(climbing_out_of_the_root),
		box_test(unmounting_the_root_shows_nothing),
		box_test(streams_are_the_containers_own_null),
		box_test(cve_2019_5736_the_interpreter_is_sealed),
		box_test(a_tracer_sees_no_rights),
		box_test(broken_blocks_are_refused),
	};

	return cmocka_run_group_tests(tests, box_open, box_close);
}
