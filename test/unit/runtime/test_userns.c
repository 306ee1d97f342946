/* User namespaces: their maps, and containers that live in them. What a container may not reach there is in test_userns_attack.c. */
#include "userns_box.h"

#include <linux/nsfs.h>
#include <sys/ioctl.h>

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

static const struct CMUnitTest tests[] = {
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
