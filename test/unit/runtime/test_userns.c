/* User namespaces: their maps, and containers that live in them. What a container may not reach there is in test_userns_attack.c. */
#include "userns_box.h"

#include <linux/nsfs.h>
#include <sys/ioctl.h>

#include "runtime/rootfs_internal.h"

static void maps_that_cannot_be(void **state)
{
	static const struct id_map one = { 0, 100000, 65536 };
	static const struct {
		struct id_map maps[2];
		size_t n;
		const char *says;
	} bad[] = {
		{ { { 0, 0, 0 } }, 0, "0 mappings" },
		{ { { 0, 100000, 0 } }, 1, "length is 0" },
		{ { { 1, 100000, UINT32_MAX } }, 1, "4294967294" },
		{ { { 0, 1, UINT32_MAX } }, 1, "4294967294" },
		{ { { 0, 100000, 10 }, { 9, 200000, 10 } }, 2, "overlap" },
		{ { { 0, 100000, 10 }, { 10, 100009, 10 } }, 2, "overlap" },
		{ { { 0, 100000, 10 }, { 5, 200000, 1 } }, 2, "overlap" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct id_maps maps = { bad[i].maps, bad[i].n, &one, 1 };

		expect_error(id_maps_check(&maps, &err), ERR_INVALID, bad[i].says);
		maps = (struct id_maps){ &one, 1, bad[i].maps, bad[i].n };
		expect_error(id_maps_check(&maps, &err), ERR_INVALID, "gids");
	}
}

static void maps_that_can(void **state)
{
	static const struct id_map good[] = { { 0, 100000, 10 }, { 10, 200000, 10 }, { 30, 0, 1 } };
	static const struct id_map all = { 0, 0, UINT32_MAX };
	uint32_t outside = 0;

	(void)state;
	expect_ok(id_maps_check(&(struct id_maps){ good, 3, &all, 1 }, &err));
	assert_true(id_map_find(good, 3, 19, &outside));
	assert_int_equal(outside, 200009);
	assert_true(id_map_find(good, 3, 30, &outside));
	assert_int_equal(outside, 0);
	assert_false(id_map_find(good, 3, 20, &outside));
	assert_false(id_map_find(good, 3, UINT32_MAX, &outside));
}

static void a_namespace_has_its_maps(void **state)
{
	int fd = expect_ok(userns_create(box_spawner, &userns_maps, &err));
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setns(fd, CLONE_NEWUSER) < 0 || setresuid(0, 0, 0) < 0 || setgroups(0, NULL) < 0)
			_exit(1);
		_exit(setresuid(65536, 65536, 65536) == 0 ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(fd);
}

static void root_inside_is_somebody_outside(void **state)
{
	struct userns_box box;
	const char *text;

	userns_box_open(state, &box);
	text = box_run(&box.spec, "cat /proc/self/uid_map; id; stat -c '%u:%g' / /bin /dev /dev/pts /dev/mqueue /dev/null;"
				  "touch /data/new /tmp/new /dev/shm-like; stat -c %u /data/new");

	assert_non_null(strstr(text, "         0     100000      65536\n"));
	assert_non_null(strstr(text, "uid=0 gid=0\n"));
	assert_non_null(strstr(text, "0:0\n0:0\n0:0\n0:0\n0:0\n0:0\n0\n"));
	/* on the disk it is the host's id */
	assert_int_equal(owner_of(in_place(state, "up/data/new")), 100000);
	assert_int_equal(owner_of(in_place(state, "root/data")), 0);
	userns_box_close(&box);
}

static ino_t inode_of(const char *what, pid_t pid)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, what);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* NS_GET_USERNS of ioctl_ns(2). */
static ino_t owner_of_ns(const char *what, pid_t pid)
{
	char path[64];
	struct stat st = { 0 };
	int fd, owner;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(fd, errno);
	owner = ioctl(fd, NS_GET_USERNS);
	assert_return_code(owner, errno);
	assert_return_code(fstat(owner, &st), errno);
	(void)close(owner);
	(void)close(fd);
	return st.st_ino;
}

static void the_init_of_a_pod_and_who_joins_it(void **state)
{
	struct pod_init_spec init = { "users", NULL, NS_HOST, NS_HOST, NS_HOST, NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct userns_box box;
	struct box_run run, member;
	char path[64];

	userns_box_open(state, &box);
	init.user_ns = &box.user_ns;
	expect_ok(plan_compile_pod_init(&init, &plan, &err));
	expect_ok(box_start_plan(plan, &run, &err));
	assert_true(inode_of("user", run.spawned.pid) != inode_of("user", getpid()));
	assert_int_equal(owner_of_ns("pid", run.spawned.pid), inode_of("user", run.spawned.pid));
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)run.spawned.pid);
	box.spec.pid_ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(box.spec.pid_ns, errno);
	expect_ok(box_start(&box.spec, "readlink /proc/1/exe; cat /proc/1/maps; cat /proc/1/comm; kill -9 1; echo; sleep 60",
			    &member, &err));
	box_kill(&member);
	box_kill(&run);
	close_fd(&box.spec.pid_ns);
	userns_box_close(&box);
}

/* The way for kernels before 6.15, on one that would take the other. */
static void layers_that_are_attached(void **state)
{
	char upper[256], work[256], layer[2][256];
	const char *layers[] = { layer[0], layer[1] };
	const struct overlay_spec overlay = { .lower_dirs = layers, .n_lower_dirs = 2, .upper_dir = upper, .work_dir = work };
	int user_ns = expect_ok(userns_create(box_spawner, &userns_maps, &err));

	(void)snprintf(upper, sizeof(upper), "%s", in_place(state, "up"));
	(void)snprintf(work, sizeof(work), "%s", in_place(state, "work"));
	put_dir(upper);
	put_dir(work);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(layer[i], sizeof(layer[i]), "%s%d", in_place(state, "layer"), i);
		put_dir(layer[i]);
	}
	put_file(in_place(state, "layer0/top"), "x");
	put_file(in_place(state, "layer1/bottom"), "x");
	assert_return_code(chown(in_place(state, "layer1/bottom"), 7, 8), errno);
	{
		struct error why = ERROR_INIT;
		_cleanup_fd_ int fd = overlay_open_id_mapped(&overlay, user_ns, &why);

		/* a tmpfs before 6.3, as in the virtual machine without a disk */
		if (fd < 0 && strstr(why.text, "does not know id-mapped mounts")) {
			print_message("skipped: %s\n", why.text);
			(void)close(user_ns);
			skip();
		}
	}
	for (int attached = 0; attached < 2; attached++) {
		int fd = attached ? expect_ok(overlay_open_attached(&overlay, user_ns, &err))
				  : expect_ok(overlay_open_id_mapped(&overlay, user_ns, &err));
		struct stat st;

		assert_return_code(fstatat(fd, "top", &st, 0), errno);
		assert_int_equal(st.st_uid, 100000);
		assert_return_code(fstatat(fd, "bottom", &st, 0), errno);
		assert_int_equal(st.st_uid, 100007);
		assert_int_equal(st.st_gid, 100008);
		(void)close(fd);
	}
	(void)close(user_ns);
}

static void a_file_system_that_cannot(void **state)
{
	int user_ns = expect_ok(userns_create(box_spawner, &userns_maps, &err));
	int proc = box_tree("/proc/sys");

	(void)state;
	expect_error(mount_id_map(proc, user_ns, "/somewhere", &err), ERR_UNIMPLEMENTED,
		     "/somewhere: its file system does not know");
	(void)close(proc);
	(void)close(user_ns);
}

/* A map of few ids has no 65534, and one that leaves root out still has a first user. */
static void small_maps(void **state)
{
	static const struct id_map few = { 0, 200000, 10 };
	struct user_ns_spec user_ns = { -1, { &few, 1, &few, 1 } };
	struct pod_init_spec init = { "few", &user_ns, NS_HOST, NS_HOST, NS_HOST, NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct box_run run;
	char status[64];

	(void)state;
	user_ns.fd = expect_ok(userns_create(box_spawner, &user_ns.maps, &err));
	expect_ok(plan_compile_pod_init(&init, &plan, &err));
	expect_ok(box_start_plan(plan, &run, &err));
	(void)snprintf(status, sizeof(status), "/proc/%d/status", (int)run.spawned.pid);
	assert_non_null(strstr(get_file(status), "Uid:\t200009\t200009"));
	box_kill(&run);
	(void)close(user_ns.fd);
}

static void ids_without_a_mapping_are_refused(void **state)
{
	static const struct id_map few = { 0, 200000, 10 };
	static const gid_t groups[] = { 3, 10 };
	const struct user_ns_spec user_ns = { 40, { &few, 1, &few, 1 } };
	const char *const argv[] = { "true", NULL };
	struct container_spec spec = box_spec(NULL);
	struct plan *plan;

	(void)state;
	spec.argv = argv;
	spec.rootfs = 41;
	spec.user_ns = &user_ns;
	spec.identity.uid = 10;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "user 10 is not mapped");
	spec.identity.uid = 9;
	spec.identity.gid = 11;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "group 11 is not mapped");
	spec.identity.gid = 9;
	spec.identity.groups = groups;
	spec.identity.n_groups = 2;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "group 10 is not mapped");
	spec.identity.n_groups = 1;
	expect_ok(plan_compile(&spec, &plan, &err));
	plan_free(plan);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_file_system_that_cannot),
	cmocka_unit_test(small_maps),
	cmocka_unit_test(ids_without_a_mapping_are_refused),
	cmocka_unit_test_setup_teardown(layers_that_are_attached, place_make, place_remove),
	cmocka_unit_test(maps_that_cannot_be),
	cmocka_unit_test(maps_that_can),
	cmocka_unit_test(a_namespace_has_its_maps),
	cmocka_unit_test_setup_teardown(the_init_of_a_pod_and_who_joins_it, place_make, place_remove),
	cmocka_unit_test_setup_teardown(root_inside_is_somebody_outside, place_make, place_remove),
};

int main(void)
{
	return cmocka_run_group_tests_name("runtime.userns", tests, box_open, box_close);
}
