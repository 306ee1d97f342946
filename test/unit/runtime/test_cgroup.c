#include "expect.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/cgroup_internal.h"

/* Everything here happens below /kern-test-PID in the hierarchies of the machine. */
static char top[32];
static struct cgroup_roots *roots, *machine_roots;

/* What the tests turned on at the root of version 2 is turned off again; the kernel refuses while somebody else uses it. */
static bool hugetlb_was_on = true;

static bool hugetlb_is_on(void)
{
	const struct hierarchy *h = machine_roots ? roots_find(machine_roots, CONTROLLER_HUGETLB) : NULL;
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(4096);
	struct error err = ERROR_INIT;

	if (!h || !h->version->unified || io_read_file(h->root, "cgroup.subtree_control", &text, &err) < 0)
		return true;
	return text.data && strstr(text.data, "hugetlb");
}

/* The test's mounts vanish with its mount namespace. */
static int set_up_group(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	(void)snprintf(top, sizeof(top), "/kern-test-%d", getpid());
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		print_message("skipped: not root, or no mount namespace\n");
		return 0;
	}
	if (cgroup_roots_open("auto", &roots, &err) < 0)
		print_message("skipped: %s\n", err.text);
	machine_roots = roots;
	hugetlb_was_on = hugetlb_is_on();
	return 0;
}

static int tear_down_group(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	if (!hugetlb_was_on && hugetlb_is_on())
		(void)io_write_value(roots_find(machine_roots, CONTROLLER_HUGETLB)->root, "cgroup.subtree_control", "-hugetlb",
				     &err);
	cgroup_roots_close(machine_roots);
	return 0;
}

#define needs_cgroups() skip_unless(roots, "no cgroup hierarchy to write to")

static int remove_top(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	roots = machine_roots;
	if (roots && (cgroup_kill(roots, top, &err) < 0 || cgroup_remove(roots, top, &err) < 0)) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

static const char *below_top(const char *rest)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s%s", top, rest);
	return path;
}

static bool exists_in(const struct hierarchy *h, const char *path)
{
	return faccessat(h->root, cgroup_relative(path), F_OK, 0) == 0;
}

/* In how many of the hierarchies the group is. */
static size_t count_in(const struct cgroup_roots *r, const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += exists_in(&r->hierarchies[i], path);
	return n;
}

static const char *read_group(const struct cgroup *cgroup, enum controller controller, const char *file)
{
	static struct arena arena;
	struct error err = ERROR_INIT;
	char *text = group_read(cgroup, roots_find(cgroup->roots, controller), file, &arena, &err);

	if (!text)
		fail_msg("%s", err.text);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static struct cgroup *create(const char *path)
{
	struct cgroup *cgroup = NULL;

	expect_ok(cgroup_create(roots, path, &cgroup, NULL, &err));
	return cgroup;
}

/* Starts a process in the group as the interpreter does: cloned into version 2, written to `tasks` by itself. */
static pid_t start_in(const struct cgroup *cgroup, int (*body)(void))
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	const int *tasks;
	size_t n = cgroup_task_fds(cgroup, &tasks);
	pid_t pid;

	if (cgroup_unified_fd(cgroup) >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_unified_fd(cgroup);
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	for (size_t i = 0; i < n; i++) {
		if (write(tasks[i], "0", 1) < 0)
			_exit(90);
	}
	_exit(body());
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int sleep_for_ever(void)
{
	while (pause() < 0)
		continue;
	return 0;
}

static size_t count_listed(const struct hierarchy *h, const char *path)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(65536);
	struct error err = ERROR_INIT;
	char file[600];
	size_t lines = 0;

	(void)snprintf(file, sizeof(file), "%s/cgroup.procs", cgroup_relative(path));
	assert_int_equal(io_read_file(h->root, file, &text, &err), 0);
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	return lines;
}

/* Waits, for two seconds at most, until the group lists `n` processes in every hierarchy. */
static void wait_until_listed(const char *path, size_t n)
{
	const struct timespec wait = { .tv_nsec = 2000000 };

	for (size_t i = 0; i < roots->n; i++) {
		size_t listed = count_listed(&roots->hierarchies[i], path);

		for (int tries = 0; tries < 1000 && listed != n; tries++) {
			(void)nanosleep(&wait, NULL);
			listed = count_listed(&roots->hierarchies[i], path);
		}
		if (listed != n)
			fail_msg("%zu processes in %s instead of %zu", listed, roots->hierarchies[i].name, n);
	}
}

static void roots_describe_themselves(void **state)
{
	_cleanup_free_
	char *text = NULL;
	const char *const *names;
	size_t size, n;
	FILE *out;

	(void)state;
	needs_cgroups();
	out = open_memstream(&text, &size);
	assert_non_null(out);
	cgroup_roots_describe(roots, out);
	assert_int_equal(fclose(out), 0);
	print_message("%s\n", text);
	assert_non_null(strstr(text, "cgroup v"));
	n = cgroup_hierarchies(roots, &names);
	for (size_t i = 0; i < n; i++)
		assert_non_null(strstr(text, names[i]));
	assert_int_equal(cgroup_roots_unified(roots), n == 0);
	assert_non_null(roots_find(roots, CONTROLLER_MEMORY));
}

static void roots_below_a_directory(void **state)
{
	struct cgroup_roots *other;

	(void)state;
	needs_cgroups();
	expect_error(cgroup_roots_open("/nonexistent", &other, &err), ERR_NOT_FOUND, "/nonexistent");
	expect_error(cgroup_roots_open("/sys/fs/cgrou", &other, &err), ERR_NOT_FOUND, "none is mounted");
	expect_ok(cgroup_roots_open("/sys/fs/cgroup/", &other, &err));
	assert_int_equal(other->n, roots->n);
	cgroup_roots_close(other);
}

static void made_entered_opened_removed(void **state)
{
	const char *path = below_top("/pod/container");
	struct cgroup *cgroup, *again;
	struct cgroup_roots *r = roots;
	char *topmost = NULL;

	(void)state;
	needs_cgroups();
	expect_ok(cgroup_create(r, path, &cgroup, &topmost, &err));
	assert_string_equal(topmost, top);
	assert_string_equal(cgroup_path(cgroup), path);
	assert_int_equal(count_in(r, path), r->n);
	expect_error(cgroup_create(r, path, &again, NULL, &err), ERR_EXISTS, path);
	assert_int_equal(count_in(r, path), r->n);
	expect_ok(cgroup_open(r, path, &again, &err));
	cgroup_close(again);
	expect_ok(cgroup_remove(r, path, &err));
	assert_int_equal(count_in(r, path), 0);
	expect_ok(cgroup_remove(r, path, &err));
	expect_error(cgroup_open(r, path, &again, &err), ERR_NOT_FOUND, path);
	cgroup_prune(r, path, topmost);
	assert_int_equal(count_in(r, top), 0);
	cgroup_close(cgroup);
	free(topmost);
}

static int check_membership(void)
{
	const char *text = get_file("/proc/self/cgroup");
	const char *wanted[] = { "memory", "pids", "cpu", "devices", "0:" };
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, "/kern-test-")); p++)
		n++;
	if (cgroup_roots_unified(roots))
		return !strncmp(text, "0::/kern-test-", 14) ? 0 : 3;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!strstr(text, wanted[i]))
			return 2;
	}
	return n >= 5 ? 0 : 1;
}

static void a_child_enters_all(void **state)
{
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	cgroup = create(below_top("/c"));
	assert_int_equal(wait_for(start_in(cgroup, check_membership)), 0);
	cgroup_close(cgroup);
}

/* Kubelet makes its groups in other hierarchies than ours: only what is ours goes. */
static void foreign_parents_stay(void **state)
{
	const struct hierarchy *memory;
	const char *pod = below_top("/pod"), *path = below_top("/pod/c");
	struct cgroup *cgroup;
	char *topmost;

	(void)state;
	needs_cgroups();
	memory = roots_find(roots, CONTROLLER_MEMORY);
	assert_int_equal(mkdirat(memory->root, cgroup_relative(top), 0755), 0);
	assert_int_equal(mkdirat(memory->root, cgroup_relative(pod), 0755), 0);
	expect_ok(cgroup_create(roots, path, &cgroup, &topmost, &err));
	cgroup_close(cgroup);
	assert_int_equal(count_in(roots, path), roots->n);
	cgroup_prune(roots, path, topmost);
	free(topmost);
	assert_int_equal(count_in(roots, path), 0);
	assert_int_equal(count_in(roots, top), 1);
	assert_true(exists_in(memory, pod));
}

/* Whoever goes last takes the common parent along, though the other one made it. */
static void the_last_pod_prunes_the_parent(void **state)
{
	const char *first = below_top("/parent/pod1"), *second = below_top("/parent/pod2");
	struct cgroup *a, *b;
	char *topmost_a, *topmost_b;

	(void)state;
	needs_cgroups();
	expect_ok(cgroup_create(roots, first, &a, &topmost_a, &err));
	expect_ok(cgroup_create(roots, second, &b, &topmost_b, &err));
	cgroup_close(a);
	cgroup_close(b);
	assert_string_equal(topmost_a, top);
	assert_string_equal(topmost_b, top);
	cgroup_prune(roots, first, topmost_a);
	assert_int_equal(count_in(roots, second), roots->n);
	cgroup_prune(roots, second, topmost_b);
	assert_int_equal(count_in(roots, top), 0);
	free(topmost_a);
	free(topmost_b);
}

static void pruning_stops_at_topmost(void **state)
{
	const char *path = below_top("/a/b/c");
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	cgroup = create(path);
	cgroup_close(cgroup);
	cgroup_prune(roots, path, below_top("/a/b"));
	assert_int_equal(count_in(roots, below_top("/a/b")), 0);
	assert_int_equal(count_in(roots, below_top("/a")), roots->n);
	cgroup_prune(roots, below_top("/a"), NULL);
	assert_int_equal(count_in(roots, top), 0);
}

/* The group is there in the last hierarchy only: what the others got is taken back. */
static void failure_leaves_nothing(void **state)
{
	const struct hierarchy *last;
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	last = &roots->hierarchies[roots->n - 1];
	assert_int_equal(mkdirat(last->root, cgroup_relative(top), 0755), 0);
	assert_int_equal(mkdirat(last->root, cgroup_relative(below_top("/c")), 0755), 0);
	expect_error(cgroup_create(roots, below_top("/c"), &cgroup, NULL, &err), ERR_EXISTS, last->name);
	assert_int_equal(count_in(roots, top), 1);
	assert_true(exists_in(last, below_top("/c")));
}

static void paths_that_are_refused(void **state)
{
	static char endless[2000], wide[400];
	static const char *const bad[] = { "",      "/",        "relative",   "//",    "/a//b", "/a/",
					   "/..",   "/a/../b",  "/./a",       "/a/.",  "/a/..", "/a\nb",
					   "/\x01", "/a/b\x7f", "/../../etc", endless, wide };
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	memset(wide, 'w', sizeof(wide) - 1);
	wide[0] = '/';
	for (size_t i = 0; i < sizeof(endless) - 1; i++)
		endless[i] = i % 100 ? 'e' : '/';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		expect_error(cgroup_create(roots, bad[i], &cgroup, NULL, &err), ERR_INVALID, "cgroup path");
		expect_error(cgroup_open(roots, bad[i], &cgroup, &err), ERR_INVALID, "cgroup path");
		expect_error(cgroup_remove(roots, bad[i], &err), ERR_INVALID, "cgroup path");
		expect_error(cgroup_kill(roots, bad[i], &err), ERR_INVALID, "cgroup path");
		cgroup_prune(roots, bad[i], NULL);
	}
	expect_error(cgroup_create(roots, NULL, &cgroup, NULL, &err), ERR_INVALID, "cgroup path");
}

static void groups_in_use_are_not_removed(void **state)
{
	const char *path = below_top("/c");
	struct cgroup *cgroup;
	pid_t pid;

	(void)state;
	needs_cgroups();
	cgroup = create(path);
	pid = start_in(cgroup, sleep_for_ever);
	wait_until_listed(path, 1);
	expect_error(cgroup_remove(roots, path, &err), ERR_STATE, "in use");
	assert_int_equal(count_in(roots, path), roots->n);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(wait_for(pid), 1000 + SIGKILL);
	expect_ok(cgroup_remove(roots, path, &err));
	cgroup_close(cgroup);
}

/* As a container with a writable cgroup mount can leave it: deep, wide, and with groups that no name of ours fits. */
static void whatever_a_container_made_is_removed(void **state)
{
	const struct hierarchy *h;
	struct cgroup *cgroup;
	int fd;

	(void)state;
	needs_cgroups();
	cgroup = create(below_top("/c"));
	h = roots_find(roots, CONTROLLER_PIDS);
	fd = openat(h->root, cgroup_relative(below_top("/c")), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int depth = 0; depth < 300; depth++) {
		int next;

		assert_int_equal(mkdirat(fd, "\tdeep  ", 0755), 0);
		assert_int_equal(mkdirat(fd, "..x", 0755), 0);
		next = openat(fd, "\tdeep  ", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	expect_ok(cgroup_remove(roots, below_top("/c"), &err));
	assert_int_equal(count_in(roots, below_top("/c")), 0);
	cgroup_close(cgroup);
}

static int fork_and_sleep(void)
{
	for (int i = 0; i < 9; i++) {
		if (fork() == 0)
			break;
	}
	return sleep_for_ever();
}

static void kill_everything(struct cgroup_roots *r)
{
	const char *path = below_top("/c");
	struct cgroup *cgroup;
	pid_t pid;

	expect_ok(cgroup_create(r, path, &cgroup, NULL, &err));
	pid = start_in(cgroup, fork_and_sleep);
	wait_until_listed(path, 10);
	assert_int_equal(expect_ok(cgroup_kill(r, path, &err)), 10);
	assert_int_equal(wait_for(pid), 1000 + SIGKILL);
	wait_until_listed(path, 0);
	expect_ok(cgroup_remove(r, path, &err));
	assert_int_equal(cgroup_kill(r, path, NULL), 0);
	cgroup_close(cgroup);
}

static void everything_is_killed(void **state)
{
	(void)state;
	needs_cgroups();
	kill_everything(roots);
}

/* Those of a test with mounts; closed after it, with whatever it left in them removed. */
static struct cgroup_roots *mounted_roots;

/* Mounts these hierarchies at PLACE/NAME and opens just those. */
static struct cgroup_roots *mount_some(void **state, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool v2 = !strcmp(names[i], "unified");

		put_dir(in_place(state, names[i]));
		if (mount("kern", in_place(state, names[i]), v2 ? "cgroup2" : "cgroup", 0, v2 ? NULL : names[i]) < 0)
			return NULL;
	}
	expect_ok(cgroup_roots_open(((struct place *)*state)->path, &mounted_roots, &err));
	return mounted_roots;
}

static int unmount_some(void **state)
{
	DIR *dir = opendir(((struct place *)*state)->path);
	const struct dirent *entry;
	struct error err = ERROR_INIT;

	if (mounted_roots && (cgroup_kill(mounted_roots, top, &err) < 0 || cgroup_remove(mounted_roots, top, &err) < 0))
		print_error("%s\n", err.text);
	cgroup_roots_close(mounted_roots);
	mounted_roots = NULL;
	while (dir && (entry = readdir(dir)))
		(void)umount2(in_place(state, entry->d_name), MNT_DETACH);
	if (dir)
		(void)closedir(dir);
	return remove_top(NULL) < 0 ? -1 : place_remove(state);
}

/* Version 1 alone: no cgroup.kill, so by pid. `roots` is used to look, since its last hierarchy is another. */
static void everything_is_killed_on_version_1(void **state)
{
	struct cgroup_roots *v1;

	needs_cgroups();
	v1 = mount_some(state, (const char *const[]){ "pids", "memory" }, 2);
	skip_unless(v1, "no version 1 hierarchies");
	assert_int_equal(v1->n, 2);
	roots = v1;
	kill_everything(v1);
}

static void the_frozen_are_killed_on_version_1(void **state)
{
	const char *path = below_top("/c");
	struct cgroup_roots *v1;
	struct cgroup *cgroup;
	char file[64];
	pid_t pid;

	needs_cgroups();
	v1 = mount_some(state, (const char *const[]){ "freezer", "pids" }, 2);
	skip_unless(v1, "no version 1 hierarchies");
	roots = v1;
	cgroup = create(path);
	pid = start_in(cgroup, sleep_for_ever);
	wait_until_listed(path, 1);
	(void)snprintf(file, sizeof(file), "%.40s/freezer.state", cgroup_relative(path));
	expect_ok(io_write_value(roots_find(v1, CONTROLLER_FREEZER)->root, file, "FROZEN", &err));
	assert_int_equal(expect_ok(cgroup_kill(v1, path, &err)), 1);
	assert_int_equal(wait_for(pid), 1000 + SIGKILL);
	expect_ok(cgroup_remove(v1, path, &err));
	cgroup_close(cgroup);
}

static void freezer_is_used_without_version_2(void **state)
{
	struct cgroup_roots *v1;

	needs_cgroups();
	v1 = mount_some(state, (const char *const[]){ "freezer", "blkio", "memory" }, 3);
	skip_unless(v1, "no version 1 hierarchies");
	assert_non_null(roots_find(v1, CONTROLLER_FREEZER));
	assert_null(roots_find(v1, CONTROLLER_IO));
	assert_int_equal(v1->n, 2);
}

/* Limits of version 1 as the kernel gives them back. */
static void limits_of_version_1(void **state)
{
	const struct hugepage_limit none[] = { { "2MB", 0 }, { "1GB", 0 } };
	const struct resources r = { .cpu_period_us = 50000,
				     .cpu_quota_us = 25000,
				     .cpu_shares = 512,
				     .memory_limit_bytes = 64 << 20,
				     .memory_swap_limit_bytes = 64 << 20,
				     .pids_limit = 77,
				     .cpuset_cpus = "0",
				     .cpuset_mems = "0",
				     .hugepages = none,
				     .n_hugepages = 2 };
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	skip_unless(!roots_find(roots, CONTROLLER_MEMORY)->version->unified, "memory is not on version 1");
	cgroup = create(below_top("/c"));
	expect_ok(cgroup_apply(cgroup, &r, &err));
	assert_string_equal(read_group(cgroup, CONTROLLER_CPU, "cpu.cfs_period_us"), "50000");
	assert_string_equal(read_group(cgroup, CONTROLLER_CPU, "cpu.cfs_quota_us"), "25000");
	assert_string_equal(read_group(cgroup, CONTROLLER_CPU, "cpu.shares"), "512");
	assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.limit_in_bytes"), "67108864");
	assert_string_equal(read_group(cgroup, CONTROLLER_PIDS, "pids.max"), "77");
	assert_string_equal(read_group(cgroup, CONTROLLER_CPUSET, "cpuset.cpus"), "0");
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .pids_limit = -1, .cpu_quota_us = -1 }, &err));
	assert_string_equal(read_group(cgroup, CONTROLLER_PIDS, "pids.max"), "max");
	assert_string_equal(read_group(cgroup, CONTROLLER_CPU, "cpu.cfs_quota_us"), "-1");
	assert_string_equal(read_group(cgroup, CONTROLLER_CPU, "cpu.shares"), "512");
	expect_ok(cgroup_apply(
		cgroup,
		&(struct resources){ .memory_reservation_bytes = 32 << 20, .set_memory_swappiness = true, .memory_swappiness = 7 },
		&err));
	assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.soft_limit_in_bytes"), "33554432");
	assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.swappiness"), "7");
	assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.limit_in_bytes"), "67108864");
	cgroup_close(cgroup);
}

/* Memory must never exceed memory plus swap on the way, so both directions need another order. */
static void memory_goes_up_and_down_on_version_1(void **state)
{
	static const int64_t sizes[] = { 64 << 20, 256 << 20, 32 << 20, 32 << 20, 1 << 30, -1, 64 << 20 };
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	cgroup = create(below_top("/c"));
	skip_unless(group_has(cgroup, roots_find(roots, CONTROLLER_MEMORY), "memory.memsw.limit_in_bytes"),
		    "swap is not accounted");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char wanted[32];

		expect_ok(cgroup_apply(
			cgroup, &(struct resources){ .memory_limit_bytes = sizes[i], .memory_swap_limit_bytes = sizes[i] }, &err));
		(void)snprintf(wanted, sizeof(wanted), "%" PRId64, sizes[i] < 0 ? INT64_C(9223372036854771712) : sizes[i]);
		assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.limit_in_bytes"), wanted);
		assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.memsw.limit_in_bytes"), wanted);
	}
	cgroup_close(cgroup);
}

/* A child's share may not exceed its parent's for an instant: the parent stands at exactly the child's greatest. */
static void quota_and_period_change_together(void **state)
{
	static const int64_t pairs[][2] = {
		{ 50000, 100000 }, { 5000, 10000 }, { 100000, 200000 }, { 2000, 4000 }, { 30000, 100000 }
	};
	struct cgroup *parent, *child;

	(void)state;
	needs_cgroups();
	skip_unless(!roots_find(roots, CONTROLLER_CPU)->version->unified, "cpu is not on version 1");
	parent = create(below_top("/p"));
	expect_ok(cgroup_apply(parent, &(struct resources){ .cpu_quota_us = 50000, .cpu_period_us = 100000 }, &err));
	child = create(below_top("/p/c"));
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		expect_ok(cgroup_apply(child, &(struct resources){ .cpu_quota_us = pairs[i][0], .cpu_period_us = pairs[i][1] },
				       &err));
	expect_error(cgroup_apply(child, &(struct resources){ .cpu_quota_us = 60000, .cpu_period_us = 100000 }, &err), ERR_INVALID,
		     "cpu.cfs_quota_us");
	assert_string_equal(read_group(child, CONTROLLER_CPU, "cpu.cfs_quota_us"), "30000");
	cgroup_close(child);
	cgroup_close(parent);
}

/* The last write fails (no such CPU), so the first ones are put back. */
static void all_limits_or_none(void **state)
{
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	skip_unless(!roots_find(roots, CONTROLLER_CPU)->version->unified, "cpu is not on version 1");
	cgroup = create(below_top("/c"));
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .cpu_shares = 100, .pids_limit = 10, .memory_limit_bytes = 32 << 20 },
			       &err));
	expect_error(
		cgroup_apply(cgroup,
			     &(struct resources){
				     .cpu_shares = 200, .pids_limit = 20, .memory_limit_bytes = 64 << 20, .cpuset_cpus = "4000" },
			     &err),
		ERR_INVALID, "cpuset.cpus");
	assert_string_equal(read_group(cgroup, CONTROLLER_CPU, "cpu.shares"), "100");
	assert_string_equal(read_group(cgroup, CONTROLLER_PIDS, "pids.max"), "10");
	assert_string_equal(read_group(cgroup, CONTROLLER_MEMORY, "memory.limit_in_bytes"), "33554432");
	cgroup_close(cgroup);
}

static void resources_that_are_refused(void **state)
{
	const struct hugepage_limit pages[] = {
		{ "2MB\n", 1 }, { "../x", 1 }, { "", 1 }, { NULL, 0 }, { "02MB", 0 }, { "2TB", 0 }
	};
	const struct unified_entry files[] = { { "../memory.max", "1" },
					       { "memory", "1" },
					       { "cgroup.procs", "1" },
					       { "cgroup.kill", "1" },
					       { "memory/max", "1" },
					       { "", "1" },
					       { NULL, "1" },
					       { "devices.allow", "a" },
					       { "unknown.max", "1" },
					       { "memory.max\n", "1" },
					       { "memory.max", "1\n2" },
					       { "memory.max", "" },
					       { "memory.max", NULL },
					       { ".max", "1" },
					       { "memory..max", "1" } };
	const struct resources bad[] = {
		{ .cpu_period_us = -1 },
		{ .cpu_shares = -1 },
		{ .cpu_quota_us = -2 },
		{ .memory_limit_bytes = -5 },
		{ .pids_limit = -2 },
		{ .memory_limit_bytes = 100 << 20, .memory_swap_limit_bytes = 50 << 20 },
		{ .memory_swap_limit_bytes = 1 },
		{ .cpuset_cpus = "0\n1" },
		{ .cpuset_cpus = "0 1" },
		{ .cpuset_mems = "../0" },
		{ .n_hugepages = 100, .hugepages = pages },
		{ .n_unified = 100, .unified = files },
	};
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	cgroup = create(below_top("/c"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(cgroup_apply(cgroup, &bad[i], &err), ERR_INVALID, below_top("/c"));
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		expect_error(cgroup_apply(cgroup, &(struct resources){ .hugepages = &pages[i], .n_hugepages = 1 }, &err),
			     ERR_INVALID, "page size");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		expect_error(cgroup_apply(cgroup, &(struct resources){ .unified = &files[i], .n_unified = 1 }, &err), ERR_INVALID,
			     "unified");
	cgroup_close(cgroup);
}

static void limits_that_the_host_cannot_hold(void **state)
{
	const struct hugepage_limit zero = { "2MB", 0 }, some = { "2MB", 2 << 20 };
	const struct unified_entry high = { "memory.high", "1000000" };
	struct cgroup_roots *pids;
	struct cgroup *cgroup;

	needs_cgroups();
	pids = mount_some(state, (const char *const[]){ "pids" }, 1);
	skip_unless(pids, "no version 1 pids hierarchy");
	expect_ok(cgroup_create(pids, below_top("/c"), &cgroup, NULL, &err));
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .hugepages = &zero, .n_hugepages = 1, .pids_limit = 5 }, &err));
	expect_error(cgroup_apply(cgroup, &(struct resources){ .hugepages = &some, .n_hugepages = 1 }, &err), ERR_STATE, "hugetlb");
	expect_error(cgroup_apply(cgroup, &(struct resources){ .memory_limit_bytes = 1 << 20 }, &err), ERR_STATE, "memory");
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .cpu_shares = 2, .cpu_period_us = 100000 }, &err));
	expect_error(cgroup_apply(cgroup, &(struct resources){ .cpu_shares = 3 }, &err), ERR_STATE, "cpu");
	expect_error(cgroup_apply(cgroup, &(struct resources){ .cpu_quota_us = 5000 }, &err), ERR_STATE, "cpu");
	expect_error(cgroup_apply(cgroup, &(struct resources){ .unified = &high, .n_unified = 1 }, &err), ERR_STATE, "version 2");
	expect_error(cgroup_apply(cgroup, &(struct resources){ .restrict_devices = true }, &err), ERR_STATE, "devices");
	assert_int_equal(cgroup_oom_kills(cgroup), 0);
	cgroup_close(cgroup);
}

static int eat_memory(void)
{
	const size_t size = (size_t)96 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
	return 0;
}

static void oom_kills_are_seen(void **state)
{
	struct cgroup *cgroup;

	(void)state;
	needs_cgroups();
	cgroup = create(below_top("/c"));
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .memory_limit_bytes = 16 << 20, .memory_swap_limit_bytes = 16 << 20 },
			       &err));
	assert_int_equal(cgroup_oom_kills(cgroup), 0);
	assert_int_equal(wait_for(start_in(cgroup, eat_memory)), 1000 + SIGKILL);
	assert_int_equal(cgroup_oom_kills(cgroup), 1);
	assert_int_equal(wait_for(start_in(cgroup, eat_memory)), 1000 + SIGKILL);
	assert_int_equal(cgroup_oom_kills(cgroup), 2);
	assert_false(cgroup_oom_killed_all(cgroup));
	cgroup_close(cgroup);
}

static char kmsg[64];

/* Bit 0: null could be opened; bit 1: kmsg could; bit 2: a node of it could be made. */
static int open_devices(void)
{
	int result = 0;
	char node[80];

	result |= open("/dev/null", O_RDWR | O_CLOEXEC) >= 0 ? 1 : 0;
	result |= open(kmsg, O_RDONLY | O_CLOEXEC) >= 0 ? 2 : 0;
	(void)snprintf(node, sizeof(node), "%.60s-2", kmsg);
	result |= mknod(node, S_IFCHR | 0600, makedev(1, 11)) == 0 ? 4 : 0;
	(void)unlink(node);
	return result;
}

static void devices_in(void **state, struct cgroup_roots *r)
{
	const struct device_rule rules[] = { { 'c', 1, 11, "r" } }, everything[] = { { 'a', -1, -1, "rwm" } };
	const struct device_rule bad[] = { { 'x', 1, 1, "r" },  { 'c', 1, 1, "" },   { 'c', 1, 1, NULL },  { 'c', 1, 1, "rx" },
					   { 'c', -2, 1, "r" }, { 'c', 1, -7, "r" }, { 'c', 1, 1, "rrrr" } };
	struct cgroup *cgroup;

	(void)snprintf(kmsg, sizeof(kmsg), "%s", in_place(state, "kmsg"));
	assert_int_equal(mknod(kmsg, S_IFCHR | 0600, makedev(1, 11)), 0);
	expect_ok(cgroup_create(r, below_top("/c"), &cgroup, NULL, &err));
	assert_int_equal(wait_for(start_in(cgroup, open_devices)), 7);
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .restrict_devices = true }, &err));
	assert_int_equal(wait_for(start_in(cgroup, open_devices)), 5);
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .restrict_devices = true, .devices = rules, .n_devices = 1 }, &err));
	assert_int_equal(wait_for(start_in(cgroup, open_devices)), 7);
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .restrict_devices = true }, &err));
	assert_int_equal(wait_for(start_in(cgroup, open_devices)), 5);
	expect_ok(
		cgroup_apply(cgroup, &(struct resources){ .restrict_devices = true, .devices = everything, .n_devices = 1 }, &err));
	assert_int_equal(wait_for(start_in(cgroup, open_devices)), 7);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(cgroup_apply(cgroup,
					  &(struct resources){ .restrict_devices = true, .devices = &bad[i], .n_devices = 1 },
					  &err),
			     ERR_INVALID, "device rule");
	cgroup_close(cgroup);
	expect_ok(cgroup_remove(r, below_top("/c"), &err));
}

static void devices_of_version_1(void **state)
{
	struct cgroup_roots *v1;

	needs_cgroups();
	v1 = mount_some(state, (const char *const[]){ "devices" }, 1);
	skip_unless(v1, "no version 1 devices hierarchy");
	devices_in(state, v1);
}

/* By a BPF program, which needs no controller. */
static void devices_of_version_2(void **state)
{
	struct cgroup_roots *v2;

	needs_cgroups();
	v2 = mount_some(state, (const char *const[]){ "unified" }, 1);
	skip_unless(v2, "no version 2 hierarchy");
	assert_true(cgroup_roots_unified(v2));
	devices_in(state, v2);
}

/* A zero limit turns nothing on; another one turns hugetlb on for our branch. */
static void huge_pages_of_a_hybrid_host(void **state)
{
	const struct hugepage_limit some = { "2MB", 2 << 20 }, zero = { "2MB", 0 }, odd = { "3MB", 1 };
	const struct hierarchy *h;
	struct cgroup *cgroup;
	bool was_on;

	(void)state;
	needs_cgroups();
	h = roots_find(roots, CONTROLLER_HUGETLB);
	skip_unless(h && h->version->unified && !cgroup_roots_unified(roots), "hugetlb is not on version 2 of a hybrid host");
	cgroup = create(below_top("/pod/c"));
	was_on = group_has(cgroup, h, "hugetlb.2MB.max");
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .hugepages = &zero, .n_hugepages = 1 }, &err));
	assert_int_equal(group_has(cgroup, h, "hugetlb.2MB.max"), was_on);
	expect_ok(cgroup_apply(cgroup, &(struct resources){ .hugepages = &some, .n_hugepages = 1 }, &err));
	assert_string_equal(read_group(cgroup, CONTROLLER_HUGETLB, "hugetlb.2MB.max"), "2097152");
	expect_error(cgroup_apply(cgroup, &(struct resources){ .hugepages = &odd, .n_hugepages = 1 }, &err), ERR_STATE, "3MB");
	cgroup_close(cgroup);
}

/* The whole life of a group and what it costs, for the record; fails only when something does. */
static void life_cycle_times(void **state)
{
	const struct resources r = { .cpu_shares = 2, .memory_limit_bytes = 64 << 20, .restrict_devices = true };
	struct timespec a, b;
	enum { N = 50 };

	(void)state;
	needs_cgroups();
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < N; i++) {
		struct cgroup *cgroup = create(below_top("/p/c"));

		expect_ok(cgroup_apply(cgroup, &r, &err));
		cgroup_close(cgroup);
		expect_ok(cgroup_remove(roots, below_top("/p/c"), &err));
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	print_message("create, apply, remove: %.0f us\n",
		      ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) / N);
}

#define clean(test) cmocka_unit_test_setup_teardown(test, NULL, remove_top)
#define with_mounts(test) cmocka_unit_test_setup_teardown(test, place_make, unmount_some)

int main(void)
{
	const struct CMUnitTest tests[] = {
		clean(roots_describe_themselves),
		clean(roots_below_a_directory),
		clean(made_entered_opened_removed),
		clean(a_child_enters_all),
		clean(foreign_parents_stay),
		clean(the_last_pod_prunes_the_parent),
		clean(pruning_stops_at_topmost),
		clean(failure_leaves_nothing),
		clean(paths_that_are_refused),
		clean(groups_in_use_are_not_removed),
		clean(whatever_a_container_made_is_removed),
		clean(everything_is_killed),
		with_mounts(everything_is_killed_on_version_1),
		with_mounts(the_frozen_are_killed_on_version_1),
		with_mounts(freezer_is_used_without_version_2),
		clean(limits_of_version_1),
		clean(memory_goes_up_and_down_on_version_1),
		clean(quota_and_period_change_together),
		clean(all_limits_or_none),
		clean(resources_that_are_refused),
		with_mounts(limits_that_the_host_cannot_hold),
		clean(oom_kills_are_seen),
		with_mounts(devices_of_version_1),
		with_mounts(devices_of_version_2),
		clean(huge_pages_of_a_hybrid_host),
		clean(life_cycle_times),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
