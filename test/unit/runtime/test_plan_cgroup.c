/*
 * Containers in cgroups, on the versions that this machine has, and what a group in a bad state does to a start.
 */
#include "box.h"

#include <time.h>

#include "base/clock.h"
#include "runtime/cgroup.h"
#include "runtime/plan_build.h"

static struct cgroup_roots *roots;

static int open_all(void **state)
{
	struct error err = ERROR_INIT;

	if (box_open(state) < 0)
		return -1;
	if (cgroup_roots_open("auto", &roots, &err) < 0) {
		print_message("skipped: %s\n", err.text);
		roots = NULL;
	}
	return 0;
}

static int close_all(void **state)
{
	cgroup_roots_close(roots);
	return box_close(state);
}

struct group {
	struct cgroup *cgroup;
	char path[64];
};

static struct group make_group(const char *name)
{
	struct group g;

	skip_unless(roots, "no cgroup hierarchy");
	(void)snprintf(g.path, sizeof(g.path), "/plan-%d-%s", getpid(), name);
	expect_ok(cgroup_create(roots, g.path, &g.cgroup, NULL, &err));
	return g;
}

static void remove_group(struct group *g)
{
	struct timespec wait = { .tv_nsec = 5000000 };
	struct error busy = ERROR_INIT;

	cgroup_close(g->cgroup);
	/* a group is busy until its last process has been reaped */
	for (int i = 0; i < 200 && cgroup_remove(roots, g->path, &busy) < 0; i++)
		(void)nanosleep(&wait, NULL);
	expect_ok(cgroup_remove(roots, g->path, &err));
}

/* Every line of /proc/PID/cgroup whose hierarchy the group is in ends with the group. */
static void expect_membership(pid_t pid, const struct group *g)
{
	char path[64], *line, *rest;
	static char text[4096];
	unsigned n = 0;
	const int *fds;
	size_t expected = cgroup_task_fds(g->cgroup, &fds) + (cgroup_unified_fd(g->cgroup) >= 0);

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	(void)snprintf(text, sizeof(text), "%s", get_file(path));
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t length = strlen(line), tail = strlen(g->path);

		n += length > tail && !strcmp(line + length - tail, g->path);
	}
	if (n != expected)
		fail_msg("member of %u groups, not %zu: %s", n, expected, get_file(path));
}

static void a_container_is_in_its_group_everywhere(void **state)
{
	struct group g = make_group("member");
	struct container_spec spec = box_spec(box_root(state));
	struct box_run run;

	spec.cgroup = g.cgroup;
	expect_ok(box_start(&spec, "echo $$; sleep 100", &run, &err));
	expect_membership(run.spawned.pid, &g);
	box_kill(&run);
	remove_group(&g);
}

/* The second clone, into version 2, is still pid 1, our child, with its oom score. */
static void entering_does_not_change_what_a_container_is(void **state)
{
	struct group g = make_group("same");
	struct container_spec spec = box_spec(box_root(state));

	spec.cgroup = g.cgroup;
	spec.set_oom_score_adj = true;
	spec.oom_score_adj = 77;
	assert_string_equal(box_run(&spec, "echo $$; cat /proc/self/oom_score_adj; ls /proc/1/fd; true"), "1\n77\n0\n1\n2\n");
	remove_group(&g);
}

static void exec_enters_the_group_too(void **state)
{
	struct group g = make_group("exec");
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "sleep", "100", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct box_run run, inside;

	spec.cgroup = g.cgroup;
	expect_ok(box_start(&spec, "sleep 100", &run, &err));
	{
		struct exec_spec exec = {
			.name = "box",
			.target_pidfd = run.spawned.pidfd,
			.joins_pid_ns = true,
			.cgroup = g.cgroup,
			.argv = argv,
			.envp = box_env,
			.cwd = "/",
		};

		expect_ok(plan_compile_exec(&exec, &plan, &err));
	}
	expect_ok(box_start_plan(plan, &inside, &err));
	expect_membership(inside.spawned.pid, &g);
	box_kill(&inside);
	box_kill(&run);
	remove_group(&g);
	assert_false(box_has_children());
}

static void cgroup_file_system_shows_the_container_as_root(void **state)
{
	struct group g = make_group("mount");
	struct container_spec spec = box_spec(box_root(state));
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];
	const char *const *names;
	const char *text;
	size_t n = cgroup_hierarchies(roots, &names);

	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[5] = (struct mount_spec){ MOUNT_CGROUP, "/sys/fs/cgroup", false, -1, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
					 NULL };
	spec.mounts = mounts;
	spec.n_mounts = ARRAY_SIZE(mounts);
	spec.cgroup = g.cgroup;
	spec.cgroup_roots = roots;
	spec.new_cgroup_ns = true;
	text = box_run(&spec, "cat /proc/self/cgroup; awk '{print $4, $5, $6}' /proc/self/mountinfo; for d in /sys/fs/cgroup/*; do "
			      "grep -qx 1 $d/tasks $d/cgroup.procs 2>/dev/null && echo in $d; done;"
			      "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/pids/x 2>&1; true");
	expect_no_text(text, g.path);
	expect_text(text, "/sys/fs/cgroup ro,nosuid,nodev,noexec");
	for (size_t i = 0; i < n; i++) {
		char part[128];

		(void)snprintf(part, sizeof(part), "/ /sys/fs/cgroup/%s ro,nosuid,nodev,noexec",
			       names[i] + (strncmp(names[i], "name=", 5) ? 0 : 5));
		expect_text(text, part);
	}
	if (n > 0 && cgroup_unified_fd(g.cgroup) >= 0)
		expect_text(text, "in /sys/fs/cgroup/unified\n");
	expect_text(text, "'/sys/fs/cgroup/x': Read-only file system");
	remove_group(&g);
}

static void a_cgroup_mount_needs_a_namespace(void **state)
{
	static const char *const argv[] = { "true", NULL };
	struct mount_spec mount = { MOUNT_CGROUP, "/sys/fs/cgroup", false, -1, MS_RDONLY, NULL };
	struct container_spec spec = box_spec(NULL);
	struct plan *plan;

	(void)state;
	skip_unless(roots, "no cgroup hierarchy");
	spec.argv = argv;
	spec.rootfs = 0;
	spec.mounts = &mount;
	spec.n_mounts = 1;
	spec.cgroup_roots = roots;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "needs a cgroup namespace");
}

/* --- groups that stop whoever enters ----------------------------------------------------------------------------------- */

static void write_state(const char *dir, const char *file, const char *value)
{
	_cleanup_fd_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	expect_ok(io_write_value(fd, file, value, &err));
}

static void expect_others_start(void **state)
{
	struct container_spec spec = box_spec(in_place(state, "root"));

	assert_string_equal(box_run(&spec, "echo other"), "other\n");
}

/* A start into a frozen group of version 2 stands still at birth. It times out by name, and dies. */
static void a_frozen_group_of_version_2(void **state)
{
	struct group g = make_group("frozen");
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "true", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct spawn_result result;
	char dir[128];
	int64_t start_us = clock_monotonic_us();

	(void)snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s%s", cgroup_roots_unified(roots) ? "" : "/unified", g.path);
	if (cgroup_unified_fd(g.cgroup) < 0 || access(dir, F_OK) < 0) {
		remove_group(&g);
		(void)close(spec.rootfs);
		print_message("skipped: no cgroup version 2 at its usual place\n");
		skip();
	}
	spec.argv = argv;
	spec.cgroup = g.cgroup;
	expect_ok(plan_compile(&spec, &plan, &err));
	write_state(dir, "cgroup.freeze", "1");
	expect_error(spawner_run(box_spawner, plan, (int[]){ -1, -1, -1 }, 300, &result, &err), ERR_DEADLINE,
		     "enter cgroup: timed out after 300 ms");
	assert_true(clock_monotonic_us() - start_us >= 300000);
	(void)close(spec.rootfs);
	assert_false(box_has_children());
	expect_others_start(state);
	remove_group(&g);
}

/* A plan of two operations: enter a group of version 1, become /bin/busybox. */
static struct plan *plan_into(int tasks)
{
	static const char *const argv[] = { "true", NULL };
	struct plan_build build;
	struct plan *plan = NULL;
	struct plan_op *op;
	uint32_t path;

	plan_build_init(&build);
	op = plan_add(&build, PLAN_CGROUP);
	op->fd = plan_add_fd(&build, tasks);
	op->text = plan_add_text(&build, "/frozen");
	op = plan_add(&build, PLAN_EXEC);
	path = plan_add_text(&build, "/absent");
	op->text = path;
	op->list = plan_add_list(&build, &path, 1, sizeof(path));
	op->n_list = 1;
	plan_set_argv(&build, argv);
	plan_set_envp(&build, argv);
	expect_ok(plan_build_finish(&build, &plan, &err));
	plan_build_release(&build);
	return plan;
}

/*
 * What the freezer of version 1 holds cannot be killed. The run times out all the same, others start meanwhile, and what is left is
 * reaped by a later start when the group has thawed.
 */
static void a_frozen_group_of_version_1(void **state)
{
	static const char freezer[] = "/sys/fs/cgroup/freezer";
	_cleanup_plan_ struct plan *plan = NULL;
	struct timespec wait = { .tv_nsec = 10000000 };
	struct spawn_result result;
	char dir[128], tasks[160];
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s/plan-%d-frozen", freezer, getpid());
	(void)snprintf(tasks, sizeof(tasks), "%s/tasks", dir);
	skip_unless(mkdir(dir, 0755) == 0, "no freezer of version 1 at its usual place");
	fd = open(tasks, O_WRONLY | O_CLOEXEC);
	plan = plan_into(fd);
	(void)box_root(state);
	write_state(dir, "freezer.state", "FROZEN");
	expect_error(spawner_run(box_spawner, plan, (int[]){ -1, -1, -1 }, 100, &result, &err), ERR_DEADLINE,
		     "join cgroup /frozen");
	assert_true(box_has_children());
	expect_others_start(state);
	write_state(dir, "freezer.state", "THAWED");
	(void)close(fd);
	for (int i = 0; i < 100 && box_has_children(); i++) {
		(void)nanosleep(&wait, NULL);
		expect_others_start(state);
	}
	assert_false(box_has_children());
	assert_return_code(rmdir(dir), errno);
}

/* A limit of one process is enough for a container of one: the steps on the way there do not count. */
static void a_limit_counts_the_container_only(void **state)
{
	struct group g = make_group("one");
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "echo", "alone", NULL };
	struct resources resources = { .pids_limit = 1 };
	struct box_run run;

	expect_ok(cgroup_apply(g.cgroup, &resources, &err));
	spec.cgroup = g.cgroup;
	spec.argv = argv;
	expect_ok(box_start(&spec, NULL, &run, &err));
	assert_string_equal(box_output(&run), "alone\n");
	assert_int_equal(box_reap(&run), 0);
	remove_group(&g);
	assert_false(box_has_children());
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(a_container_is_in_its_group_everywhere),
		box_test(entering_does_not_change_what_a_container_is),
		box_test(exec_enters_the_group_too),
		box_test(cgroup_file_system_shows_the_container_as_root),
		box_test(a_cgroup_mount_needs_a_namespace),
		box_test(a_frozen_group_of_version_2),
		box_test(a_frozen_group_of_version_1),
		box_test(a_limit_counts_the_container_only),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
