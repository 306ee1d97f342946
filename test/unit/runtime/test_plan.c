/* What the compiler lays out, and what it refuses. No process is started here. */
#include "box.h"

#include <linux/filter.h>

#include "runtime/plan_build.h"
#include "runtime/plan_lay.h"
#include "runtime/seccomp.h"

/* A file beside this one. */
static const char *beside(const char *name)
{
	static char path[512];
	const char *slash = strrchr(__FILE__, '/');

	(void)snprintf(path, sizeof(path), "%.*s/%s", slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".", name);
	return path;
}

static char *print(const struct plan *plan)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(plan_print(plan, out), 0);
	(void)fclose(out);
	return text;
}

/* The plan as text is the text in golden/NAME.txt; GOLDEN_WRITE=1 in the environment writes it instead. */
static void expect_golden(const struct plan *plan, const char *name)
{
	_cleanup_free_
	char *text = print(plan);
	_cleanup_buffer_ struct buffer golden = BUFFER_INIT((size_t)1 << 20);
	char path[128];

	(void)snprintf(path, sizeof(path), "golden/%s.txt", name);
	if (getenv("GOLDEN_WRITE"))
		expect_ok(io_replace_file(AT_FDCWD, beside(path), text, strlen(text), 0644, &err));
	expect_ok(io_read_file(AT_FDCWD, beside(path), &golden, &err));
	assert_string_equal(text, golden.data);
}

/* --- golden plans ------------------------------------------------------------------------------------------------------ */

static const char *const server_argv[] = { "server", "--port", "80", NULL };
static struct sock_filter allow_all[] = { BPF_STMT(BPF_RET | BPF_K, 0x7fff0000U) };
static const struct seccomp_filter filter = { .insns = allow_all, .n_insns = 1, .flags = 0 };

/* What a kubelet asks for when nobody asked for anything special. */
static struct container_spec common_container(void)
{
	static const char *const masked[] = { "/proc/kcore", "/sys/firmware", NULL };
	static const char *const readonly[] = { "/proc/sys", "/proc/sysrq-trigger", NULL };
	static const struct rlimit_spec limits[] = { { RLIMIT_NOFILE, 1048576, RLIM_INFINITY } };
	static const gid_t groups[] = { 1000, 2000 };
	static struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 2];
	struct container_spec spec = box_spec(NULL);

	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[5] = (struct mount_spec){ MOUNT_BIND, "/etc/hosts", true, 30, 0, NULL };
	mounts[6] = (struct mount_spec){ MOUNT_BIND, "/var/run/secrets", false, 31, MS_RDONLY | MS_NOSUID, NULL };
	spec.name = "web";
	spec.argv = server_argv;
	spec.cwd = "/srv/app";
	spec.identity = (struct identity){
		.uid = 1000, .gid = 1000, .groups = groups, .n_groups = 2, .bounding = caps_default(), .permitted = caps_default()
	};
	spec.rlimits = limits;
	spec.n_rlimits = 1;
	spec.set_oom_score_adj = true;
	spec.oom_score_adj = 1000;
	spec.net_ns = 20;
	spec.ipc_ns = 21;
	spec.uts_ns = 22;
	spec.new_cgroup_ns = true;
	spec.rootfs = 23;
	spec.mounts = mounts;
	spec.n_mounts = ARRAY_SIZE(mounts);
	spec.masked_paths = masked;
	spec.readonly_paths = readonly;
	spec.seccomp = &filter;
	return spec;
}

static void golden_common_container(void **state)
{
	struct container_spec spec = common_container();
	_cleanup_plan_ struct plan *plan = NULL;

	(void)state;
	expect_ok(plan_compile(&spec, &plan, &err));
	expect_golden(plan, "common");
}

/* no_new_privs moves the filter behind everything, and a terminal adds its operation. */
static void golden_restricted_container(void **state)
{
	struct container_spec spec = common_container();
	_cleanup_plan_ struct plan *plan = NULL;

	(void)state;
	spec.identity.no_new_privs = true;
	spec.identity.bounding = spec.identity.permitted = 0;
	spec.readonly_rootfs = true;
	spec.tty = true;
	spec.masked_paths = spec.readonly_paths = NULL;
	expect_ok(plan_compile(&spec, &plan, &err));
	expect_golden(plan, "restricted");
}

static void golden_exec(void **state)
{
	struct container_spec c = common_container();
	struct exec_spec spec = {
		.name = "web",
		.target_pidfd = 40,
		.joins_pid_ns = true,
		.argv = (const char *const[]){ "/bin/probe", NULL },
		.envp = box_env,
		.identity = c.identity,
		.seccomp = &filter,
	};
	_cleanup_plan_ struct plan *plan = NULL;

	(void)state;
	expect_ok(plan_compile_exec(&spec, &plan, &err));
	expect_golden(plan, "exec");
}

static void golden_pod_init(void **state)
{
	_cleanup_plan_ struct plan *plan = NULL;

	(void)state;
	expect_ok(plan_compile_pod_init(&(struct pod_init_spec){ "web-1", NULL, 20, 21, NS_HOST, NULL }, &plan, &err));
	expect_golden(plan, "pod_init");
}

static size_t find(const struct plan *plan, const char *kind)
{
	for (size_t i = 0; i < plan_length(plan); i++) {
		if (!strcmp(plan_op_name(plan, i), kind))
			return i;
	}
	fail_msg("no %s in the plan", kind);
	return 0;
}

/* A joined PID namespace is entered when nothing is left to lose; a kernel that cannot name it to procfs is the exception. */
static void a_shared_pid_namespace_is_entered_late(void **state)
{
	struct container_spec spec = common_container();
	_cleanup_plan_ struct plan *plan = NULL;

	(void)state;
	spec.pid_ns = 24;
	expect_ok(plan_compile(&spec, &plan, &err));
	if (procfs_takes_pidns()) {
		assert_true(find(plan, "fork") > find(plan, "capabilities"));
		assert_true(find(plan, "fork") > find(plan, "seccomp"));
	} else {
		assert_true(find(plan, "fork") < find(plan, "mount"));
	}
	assert_true(find(plan, "session") > find(plan, "fork"));
	plan_free(plan);
	/* without a procfs to mount it is late on every kernel */
	spec.n_mounts = 0;
	expect_ok(plan_compile(&spec, &plan, &err));
	assert_true(find(plan, "fork") > find(plan, "capabilities"));
}

/* A volume on /dev, often the host's own: neither nodes nor links are made in it. */
static void a_volume_on_dev_is_left_alone(void **state)
{
	struct container_spec spec = common_container();
	struct mount_spec mounts[ARRAY_SIZE(box_mounts) + 1];
	_cleanup_plan_ struct plan *plan = NULL;

	(void)state;
	memcpy(mounts, box_mounts, sizeof(box_mounts));
	mounts[5] = (struct mount_spec){ MOUNT_BIND, "/./dev/", false, 30, 0, NULL };
	spec.mounts = mounts;
	spec.n_mounts = ARRAY_SIZE(mounts);
	expect_ok(plan_compile(&spec, &plan, &err));
	for (size_t i = 0; i < plan_length(plan); i++) {
		assert_string_not_equal(plan_op_name(plan, i), "device");
		assert_string_not_equal(plan_op_name(plan, i), "symlink");
	}
}

/* --- refusals ---------------------------------------------------------------------------------------------------------- */

static void paths_are_checked(void **state)
{
	static const struct {
		const char *target, *sentence;
	} cases[] = {
		{ "data", "mount target 'data' is not absolute" },
		{ "", "mount target '' is not absolute" },
		{ NULL, "mount target '' is not absolute" },
		{ "/a/../b", "mount target '/a/../b' contains '..'" },
		{ "/..", "contains '..'" },
		{ "/", "mount target '/' is the root itself" },
		{ "//.//", "is the root itself" },
	};
	struct container_spec spec = common_container();
	struct mount_spec mount = { MOUNT_TMPFS, NULL, false, -1, 0, NULL };
	struct plan *plan;

	(void)state;
	spec.mounts = &mount;
	spec.n_mounts = 1;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		mount.target = cases[i].target;
		expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, cases[i].sentence);
	}
	spec = common_container();
	spec.cwd = "relative";
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "working directory 'relative' is not absolute");
	spec = common_container();
	spec.masked_paths = (const char *const[]){ "/proc/../etc", NULL };
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "masked path '/proc/../etc' contains '..'");
}

static void paths_are_cleaned(void **state)
{
	static const char *const cases[][2] = { { "/", "/" },       { "///", "/" },         { "/a", "/a" },
						{ "/a/", "/a" },    { "//a//b//", "/a/b" }, { "/./a/./b/.", "/a/b" },
						{ "/...", "/..." }, { "/a/..b", "/a/..b" }, { "/.hidden", "/.hidden" } };
	char clean[PATH_MAX], path[PATH_MAX + 16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		expect_ok(clean_path(clean, cases[i][0], "path", &err));
		assert_string_equal(clean, cases[i][1]);
	}
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[300] = '\0';
	expect_error(clean_path(clean, path, "path", &err), ERR_INVALID, "is too long");
	for (size_t i = 0; i + 1 < sizeof(path); i++)
		path[i] = i % 2 ? 'a' : '/';
	path[sizeof(path) - 1] = '\0';
	expect_error(clean_path(clean, path, "path", &err), ERR_INVALID, "is too long");
	path[PATH_MAX - 2] = '\0';
	expect_ok(clean_path(clean, path, "path", &err));
}

static void contradictions_are_refused(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const empty[] = { "", NULL };
	struct mount_spec mount = { MOUNT_BIND, "/data", false, -1, 0, NULL };
	struct device_spec device = { "/etc/null", S_IFCHR, 0666, 1, 3, 0, 0, false };
	struct container_spec spec = common_container();
	struct plan *plan;

	(void)state;
	spec.argv = none;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "the command is empty");
	spec.argv = empty;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "the command is empty");
	spec.argv = NULL;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "the command is empty");
	spec = common_container();
	spec.identity.uid = (uid_t)-1;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "4294967295");
	spec = common_container();
	spec.identity.ambient = 2;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "ambient");
	spec = common_container();
	spec.rootfs = -1;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "no root file system");
	spec = common_container();
	spec.mounts = &mount;
	spec.n_mounts = 1;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "mount on /data has no source");
	mount = (struct mount_spec){ MOUNT_TMPFS, "/data", false, -1, MS_MOVE, NULL };
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "mount on /data has unknown flags");
	mount = (struct mount_spec){ MOUNT_TMPFS, "/data", false, -1, 0, "size=1,=2" };
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "option without a name");
	mount = (struct mount_spec){ MOUNT_CGROUP, "/sys/fs/cgroup", false, -1, 0, NULL };
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "cgroup mount on /sys/fs/cgroup needs");
	spec = common_container();
	spec.devices = &device;
	spec.n_devices = 1;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "device '/etc/null'");
	device.path = "/dev/../etc/null";
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "contains '..'");
	device = (struct device_spec){ "/dev/sock", S_IFSOCK, 0666, 1, 3, 0, 0, false };
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "device '/dev/sock'");
}

static void size_is_limited(void **state)
{
	struct container_spec spec = common_container();
	char *big = calloc(1, PLAN_MAX_BYTES + 1);
	const char *argv[] = { "true", big, NULL };
	static const char *many[PLAN_MAX_OPS + 1];
	struct plan *plan;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', PLAN_MAX_BYTES);
	spec.argv = argv;
	expect_error(plan_compile(&spec, &plan, &err), ERR_EXHAUSTED, "lay out plan");
	free(big);
	spec = common_container();
	for (size_t i = 0; i < PLAN_MAX_OPS; i++)
		many[i] = "/proc/a";
	spec.masked_paths = many;
	expect_error(plan_compile(&spec, &plan, &err), ERR_EXHAUSTED, "lay out plan");
}

/* --- the rest of the interface ----------------------------------------------------------------------------------------- */

static void where_a_command_is_looked_for(void **state)
{
	static const struct {
		const char *path, *list;
	} cases[] = {
		{ "PATH=/a:/b", "-> /a/server /b/server\n" },
		{ "PATH=:/b:", "-> ./server /b/server ./server\n" },
		{ "PATH=", "-> ./server\n" },
		{ "HOME=/", "-> /usr/local/sbin/server /usr/local/bin/server " },
		{ "PATHS=/a", "-> /usr/local/sbin/server " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct container_spec spec = common_container();
		_cleanup_plan_ struct plan *plan = NULL;
		_cleanup_free_
		char *text = NULL;

		spec.envp = (const char *const[]){ cases[i].path, NULL };
		expect_ok(plan_compile(&spec, &plan, &err));
		text = print(plan);
		expect_text(text, cases[i].list);
	}
}

static void descriptions_fit_any_buffer(void **state)
{
	struct container_spec spec = common_container();
	_cleanup_plan_ struct plan *plan = NULL;
	char text[64];

	(void)state;
	expect_ok(plan_compile(&spec, &plan, &err));
	plan_describe(plan, find(plan, "mount"), text, sizeof(text));
	assert_string_equal(text, "mount proc on /proc");
	plan_describe(plan, find(plan, "exec"), text, sizeof(text));
	assert_string_equal(text, "exec server");
	for (size_t size = 1; size < 20; size++) {
		memset(text, '#', sizeof(text));
		plan_describe(plan, find(plan, "mount"), text, size);
		assert_true(strlen(text) < size);
		assert_int_equal(text[size], '#');
		assert_memory_equal(text, "mount proc on /proc", strlen(text));
	}
	plan_describe(plan, 100000, text, sizeof(text));
	assert_string_equal(text, "operation 100000");
	assert_string_equal(plan_op_name(plan, 100000), "plan");
}

static void kinds_are_listed_once(void **state)
{
	size_t n = 0;

	(void)state;
	for (; plan_op_kind(n); n++) {
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(plan_op_kind(n), plan_op_kind(i));
	}
	assert_int_equal(n, PLAN_KIND_COUNT);
}

/* Two compilations of one spec are the same bytes. */
static void compilation_is_reproducible(void **state)
{
	struct container_spec spec = common_container();
	_cleanup_plan_ struct plan *a = NULL;
	_cleanup_plan_ struct plan *b = NULL;

	(void)state;
	expect_ok(plan_compile(&spec, &a, &err));
	expect_ok(plan_compile(&spec, &b, &err));
	assert_int_equal(a->block->size, b->block->size);
	assert_memory_equal(a->block, b->block, a->block->size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_common_container),
		cmocka_unit_test(golden_restricted_container),
		cmocka_unit_test(golden_exec),
		cmocka_unit_test(golden_pod_init),
		cmocka_unit_test(a_shared_pid_namespace_is_entered_late),
		cmocka_unit_test(a_volume_on_dev_is_left_alone),
		cmocka_unit_test(paths_are_checked),
		cmocka_unit_test(paths_are_cleaned),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(size_is_limited),
		cmocka_unit_test(where_a_command_is_looked_for),
		cmocka_unit_test(descriptions_fit_any_buffer),
		cmocka_unit_test(kinds_are_listed_once),
		cmocka_unit_test(compilation_is_reproducible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
