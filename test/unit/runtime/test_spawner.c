/* The spawner under load, against the clock, and when things fail on the way. */
#include "box.h"

#include <pthread.h>
#include <time.h>

static void sleep_ms(long ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&wait, NULL);
}

/* --- load -------------------------------------------------------------------------------------------------------------- */

#define N_THREADS 8
#define N_RUNS 25 /* each */

struct worker {
	pthread_t thread;
	char root[128];
	unsigned n_good;
	struct error err;
};

/* No assertions outside of the main thread: cmocka jumps. */
static int run_true(const char *root, struct error *err)
{
	static const char *const argv[] = { "true", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct container_spec spec = box_spec(NULL);
	struct spawn_result result;
	siginfo_t info = { .si_status = -1 };
	int r;

	spec.argv = argv;
	spec.rootfs = (int)syscall(SYS_open_tree, AT_FDCWD, root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	r = plan_compile(&spec, &plan, err);
	if (r == 0)
		r = spawner_run(box_spawner, plan, (int[]){ -1, -1, -1 }, BOX_TIMEOUT_MS, &result, err);
	close_fd(&spec.rootfs);
	if (r < 0)
		return r;
	r = waitid(P_PIDFD, (id_t)result.pidfd, &info, WEXITED);
	(void)close(result.pidfd);
	free(result.times);
	return r == 0 && info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : error_set(err, ERR_INTERNAL, "true failed");
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (unsigned i = 0; i < N_RUNS; i++)
		worker->n_good += run_true(worker->root, &worker->err) == 0;
	return NULL;
}

static void eight_threads_leave_nothing(void **state)
{
	const char *root = box_root(state);
	struct worker workers[N_THREADS] = { 0 };
	unsigned before = box_count_fds();

	for (size_t i = 0; i < N_THREADS; i++) {
		(void)snprintf(workers[i].root, sizeof(workers[i].root), "%s", root);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < N_THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		if (workers[i].n_good != N_RUNS)
			fail_msg("%u of %d: %s", workers[i].n_good, N_RUNS, workers[i].err.text);
	}
	assert_int_equal(box_count_fds(), before);
	assert_false(box_has_children());
}

/* A thousand open files of the daemon neither reach a child nor slow it down. */
static void open_files_stay_with_the_daemon(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	int files[500];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_return_code(files[i] = open("/etc/passwd", O_RDONLY), errno);
	assert_string_equal(box_run(&spec, "ls /proc/1/fd; true"), "0\n1\n2\n");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)close(files[i]);
}

static void opened_and_closed_many_times(void **state)
{
	unsigned before = box_count_fds();

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct spawner *spawner;

		expect_ok(spawner_open(&spawner, &err));
		spawner_close(spawner);
	}
	assert_int_equal(box_count_fds(), before);
}

/* The thread's own mount namespace holds one file system, and nothing of the host. */
static void the_thread_sees_one_mount(void **state)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	bool found = false;

	(void)state;
	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		char path[300];

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		if (strcmp(get_file(path), "spawner\n") != 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/mountinfo", entry->d_name);
		/* one of the test before, on its way out, has none any more */
		if (get_file(path)[0] == '\0')
			continue;
		found = true;
		expect_text(get_file(path), " / / ro,nosuid,noexec");
		expect_text(get_file(path), " - tmpfs ");
		assert_ptr_equal(strchr(get_file(path), '\n') + 1, strchr(get_file(path), '\0'));
	}
	(void)closedir(tasks);
	assert_true(found);
}

static const char *net_of(const char *root)
{
	struct container_spec spec = box_spec(root);

	spec.net_ns = NS_NEW;
	return box_run(&spec, "readlink /proc/self/ns/net; cat /sys/class/net/lo/operstate");
}

/* Made while nobody waits for it, for the first process alone: the second has its own. */
static void a_namespace_made_in_advance_is_one_childs(void **state)
{
	const char *root = box_root(state);
	struct spawner *shared = box_spawner;
	struct container_spec unasked = box_spec(root);
	char host[64] = "", first[64];
	struct box_run run;
	unsigned before = box_count_fds();

	assert_true(readlink("/proc/self/ns/net", host, sizeof(host) - 1) > 0);
	expect_ok(spawner_open_once(CLONE_NEWNET, &box_spawner, &err));
	expect_error(box_start(&unasked, "true", &run, &err), ERR_INTERNAL, "no use for a namespace");
	(void)snprintf(first, sizeof(first), "%s", net_of(root));
	expect_text(first, "net:[");
	expect_text(first, "unknown"); /* what lo is when it is up */
	assert_int_not_equal(strncmp(first, host, strlen(host)), 0);
	assert_string_not_equal(net_of(root), first);
	spawner_close(box_spawner);
	box_spawner = shared;
	assert_int_equal(box_count_fds(), before - 1); /* the tree of the spec that was not run */
}

/* What its opener does when something else failed meanwhile. The thread may be anywhere on its way. */
static void one_that_nobody_wants_any_more_ends(void **state)
{
	unsigned before = box_count_fds();

	(void)state;
	(void)alarm(60);
	for (int i = 0; i < 100; i++) {
		struct spawner *spawner;

		expect_ok(spawner_open_once(i % 2 ? CLONE_NEWNET : 0, &spawner, &err));
		if (i % 10 == 0)
			sleep_ms(i / 10);
		spawner_close(spawner);
	}
	(void)alarm(0);
	assert_int_equal(box_count_fds(), before);
}

/* --- times ------------------------------------------------------------------------------------------------------------- */

static void operations_are_timed(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "true", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct box_run run;
	uint32_t end = 0;

	spec.argv = argv;
	expect_ok(plan_compile(&spec, &plan, &err));
	expect_ok(box_start_plan(plan, &run, &err));
	(void)close(spec.rootfs);
	assert_non_null(run.spawned.times);
	assert_true(run.spawned.clone_us > 0);
	assert_int_equal(run.spawned.times[0].start_us, run.spawned.clone_us);
	for (size_t i = 0; i < plan_length(plan); i++) {
		assert_true(run.spawned.times[i].start_us >= end);
		end = run.spawned.times[i].start_us + run.spawned.times[i].took_us;
	}
	assert_true(end < BOX_TIMEOUT_MS * 1000);
	assert_string_equal(plan_op_name(plan, plan_length(plan) - 1), "exec");
	(void)box_output(&run);
	assert_int_equal(box_reap(&run), 0);
}

/* --- failure ----------------------------------------------------------------------------------------------------------- */

/* For one that passes in the middle see test_plan_cgroup.c. */
static void a_deadline_that_has_passed(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "true", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct spawn_result result;

	spec.argv = argv;
	expect_ok(plan_compile(&spec, &plan, &err));
	expect_error(spawner_run(box_spawner, plan, (int[]){ -1, -1, -1 }, 0, &result, &err), ERR_DEADLINE, "timed out");
	(void)close(spec.rootfs);
	assert_false(box_has_children());
}

/* Every kind of operation, made to fail once, by table. */
static const char *fault_file;

static void arm(const char *kind)
{
	char point[64];

	(void)snprintf(point, sizeof(point), "plan/%s", kind);
	put_file(fault_file, point);
}

static void compile_container(void **state, struct plan **ret_plan, int *ret_root)
{
	static const char *const argv[] = { "true", NULL };
	static const char *const paths[] = { "/proc/sys", NULL };
	static const char *const masked[] = { "/proc/version", NULL };
	struct container_spec spec = box_spec(in_place(state, "root"));

	spec.argv = argv;
	spec.cwd = "/data";
	spec.identity.uid = 1000;
	spec.set_oom_score_adj = true;
	spec.oom_score_adj = 500;
	spec.rlimits = &(struct rlimit_spec){ RLIMIT_CORE, 0, 0 };
	spec.n_rlimits = 1;
	spec.readonly_paths = paths;
	spec.masked_paths = masked;
	spec.readonly_rootfs = true;
	spec.new_cgroup_ns = true;
	expect_ok(plan_compile(&spec, ret_plan, &err));
	*ret_root = spec.rootfs;
}

static bool plan_has(const struct plan *plan, const char *kind)
{
	for (size_t i = 0; i < plan_length(plan); i++) {
		if (!strcmp(plan_op_name(plan, i), kind))
			return true;
	}
	return false;
}

static void every_operation_can_fail(void **state)
{
#ifndef MONOPOD_FAULTS
	(void)state;
	print_message("skipped: built without fault points\n");
	skip();
#else
	unsigned before, n_failed = 0;

	(void)box_root(state);
	fault_file = strdup(in_place(state, "fault"));
	assert_return_code(setenv("MONOPOD_FAULT_FILE", fault_file, 1), errno);
	before = box_count_fds();
	for (size_t i = 0; plan_op_kind(i); i++) {
		_cleanup_plan_ struct plan *plan = NULL;
		struct spawn_result result;
		int root;

		arm(plan_op_kind(i));
		compile_container(state, &plan, &root);
		if (plan_has(plan, plan_op_kind(i))) {
			expect_error(spawner_run(box_spawner, plan, (int[]){ -1, -1, -1 }, BOX_TIMEOUT_MS, &result, &err),
				     ERR_INTERNAL, ": Input/output error");
			n_failed++;
		}
		(void)close(root);
		assert_false(box_has_children());
		assert_int_equal(box_count_fds(), before);
	}
	assert_true(n_failed >= 20);
	(void)unsetenv("MONOPOD_FAULT_FILE");
	free((void *)(uintptr_t)fault_file);
#endif
}

static void a_bad_descriptor_is_an_error(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "true", NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct spawn_result result;
	unsigned before;

	spec.argv = argv;
	(void)close(spec.rootfs);
	spec.rootfs = 9999;
	expect_ok(plan_compile(&spec, &plan, &err));
	before = box_count_fds();
	expect_error(spawner_run(box_spawner, plan, (int[]){ -1, -1, -1 }, BOX_TIMEOUT_MS, &result, &err), ERR_INTERNAL,
		     "fetch slot");
	assert_int_equal(box_count_fds(), before);
	/* and the spawner goes on */
	spec = box_spec(in_place(state, "root"));
	(void)box_run(&spec, "true");
}

/* Somebody else's child, as a library might have one, is never reaped here. */
static void strangers_are_left_alone(void **state)
{
	const char *root = box_root(state);
	pid_t stranger = fork();
	struct error err = ERROR_INIT;
	int status;

	if (stranger == 0)
		_exit(42);
	assert_true(stranger > 0);
	sleep_ms(20);
	for (int i = 0; i < 5; i++)
		assert_int_equal(run_true(root, &err), 0);
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
	assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(eight_threads_leave_nothing),
		box_test(open_files_stay_with_the_daemon),
		box_test(opened_and_closed_many_times),
		box_test(the_thread_sees_one_mount),
		box_test(one_that_nobody_wants_any_more_ends),
		box_test(operations_are_timed),
		box_test(a_deadline_that_has_passed),
		box_test(every_operation_can_fail),
		box_test(a_bad_descriptor_is_an_error),
		box_test(strangers_are_left_alone),
		box_test(a_namespace_made_in_advance_is_one_childs),
	};

	return cmocka_run_group_tests(tests, box_open, box_close);
}
