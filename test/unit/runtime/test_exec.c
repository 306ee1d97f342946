/* Processes that join a container, and the init of a pod that shares its PID namespace. */
#include "box.h"

#include <time.h>

#include "runtime/seccomp.h"

static struct exec_spec exec_of(const struct box_run *run)
{
	return (struct exec_spec){
		.name = "box",
		.target_pidfd = run->spawned.pidfd,
		.joins_pid_ns = true,
		.envp = box_env,
		.cwd = "/",
		.identity = { .bounding = caps_default(), .permitted = caps_default(), .no_new_privs = true },
	};
}

static int start_exec(struct exec_spec *spec, const char *script, struct box_run *run, struct error *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	_cleanup_plan_ struct plan *plan = NULL;

	if (script)
		spec->argv = argv;
	if (plan_compile_exec(spec, &plan, err) < 0)
		return -1;
	return box_start_plan(plan, run, err);
}

static const char *exec_text(struct exec_spec *spec, const char *script)
{
	struct box_run run;
	const char *text;
	int code;

	expect_ok(start_exec(spec, script, &run, &err));
	text = box_output(&run);
	code = box_reap(&run);
	if (code != 0)
		fail_msg("'%s' exited with %d: %s", script, code, text);
	return text;
}

/* A container that waits. */
static struct box_run start_waiting(void **state)
{
	struct container_spec spec = box_spec(box_root(state));
	_cleanup_fd_ int net = box_namespace(CLONE_NEWNET, "net");
	_cleanup_fd_ int ipc = box_namespace(CLONE_NEWIPC, "ipc");
	_cleanup_fd_ int uts = box_namespace(CLONE_NEWUTS, "uts");
	struct box_run run;

	spec.net_ns = net;
	spec.ipc_ns = ipc;
	spec.uts_ns = uts;
	spec.new_cgroup_ns = true;
	expect_ok(box_start(&spec, "while :; do sleep 100; done", &run, &err));
	return run;
}

static void joins_every_namespace(void **state)
{
	static const char script[] =
		"for n in net ipc uts pid mnt cgroup; do "
		"test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) && echo $n; done; ls /proc/1/root/bin | wc -l";
	struct box_run run = start_waiting(state);
	struct exec_spec spec = exec_of(&run);

	/* another process's namespaces are readable for those with the same capabilities only */
	assert_string_equal(exec_text(&spec, script), "net\nipc\nuts\npid\nmnt\ncgroup\n27\n");
	box_kill(&run);
}

static void is_our_child_with_the_right_pid(void **state)
{
	struct box_run run = start_waiting(state), inside;
	struct exec_spec spec = exec_of(&run);
	char path[64], parent[64];

	expect_ok(start_exec(&spec, "exec sleep 100", &inside, &err));
	(void)snprintf(path, sizeof(path), "/proc/%d/status", inside.spawned.pid);
	(void)snprintf(parent, sizeof(parent), "PPid:\t%d\n", getpid());
	expect_text(get_file(path), parent);
	assert_true(inside.spawned.pid != run.spawned.pid);
	box_kill(&inside);
	expect_ok(start_exec(&spec, "exit 7", &inside, &err));
	(void)box_output(&inside);
	assert_int_equal(box_reap(&inside), 7);
	box_kill(&run);
}

static void identity_is_set_as_for_containers(void **state)
{
	static const gid_t groups[] = { 50, 60 };
	static const struct rlimit_spec limits[] = { { RLIMIT_NOFILE, 10, 20 } };
	struct box_run run = start_waiting(state);
	struct exec_spec spec = exec_of(&run);
	const char *text;

	spec.identity = (struct identity){
		.uid = 1000, .gid = 1000, .groups = groups, .n_groups = 2, .bounding = 1, .permitted = 1, .no_new_privs = true
	};
	spec.rlimits = limits;
	spec.n_rlimits = 1;
	spec.cwd = "/tmp";
	spec.set_oom_score_adj = true;
	spec.oom_score_adj = 500;
	text = exec_text(&spec,
			 "cat /proc/self/status /proc/self/oom_score_adj; readlink /proc/self/cwd; ls /proc/self/fd; ulimit -n;"
			 "ps -o pid,pgid,sid,args | grep 'sh -c'; grep Sig /proc/self/status");
	expect_text(text, "Uid:\t1000\t1000\t1000\t1000\n");
	expect_text(text, "Groups:\t50 60 \n");
	expect_text(text,
		    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000001\n");
	expect_text(text, "\n500\n/tmp\n0\n1\n2\n3\n10\n");
	box_kill(&run);
}

/* The filter is on the whole way in when no_new_privs is off, and last when it is on; the command runs under it in both cases. */
static void the_builtin_filter_lets_both_in(void **state)
{
	const struct seccomp_filter *filter;

	(void)box_root(state);
	expect_ok(seccomp_builtin(caps_default(), &filter, &err));
	for (int no_new_privs = 0; no_new_privs < 2; no_new_privs++) {
		struct container_spec container = box_spec(in_place(state, "root"));
		struct exec_spec spec;
		struct box_run run;
		const char *text;

		container.seccomp = filter;
		container.identity.no_new_privs = no_new_privs;
		container.identity.uid = 1000;
		container.tty = true;
		expect_ok(box_start(&container, "exec sleep 100", &run, &err));
		spec = exec_of(&run);
		spec.seccomp = filter;
		spec.identity.no_new_privs = no_new_privs;
		spec.identity.uid = 1000;
		text = exec_text(
			&spec,
			"grep -h -E 'Seccomp:|NoNewPrivs' /proc/1/status /proc/self/status; mount -t tmpfs x /tmp 2>&1; true");
		expect_text(text, no_new_privs ? "NoNewPrivs:\t1\nSeccomp:\t2\nNoNewPrivs:\t1\nSeccomp:\t2\n"
					       : "NoNewPrivs:\t0\nSeccomp:\t2\nNoNewPrivs:\t0\nSeccomp:\t2\n");
		expect_text(text, "mount: ");
		box_kill(&run);
	}
	assert_false(box_has_children());
}

static void leads_a_session_of_its_own(void **state)
{
	struct box_run run = start_waiting(state);
	struct exec_spec spec = exec_of(&run);

	/* fields 1, 5 and 6 of stat(5): pid, group, session */
	assert_string_equal(exec_text(&spec, "awk '{ print ($1 == $5 && $1 == $6 && $1 != 1) }' /proc/$$/stat"), "1\n");
	box_kill(&run);
}

static void terminal_of_the_containers_devpts(void **state)
{
	struct box_run run = start_waiting(state), inside;
	struct exec_spec spec = exec_of(&run);
	char text[512] = "";
	size_t n = 0;
	ssize_t got;

	spec.tty = true;
	expect_ok(start_exec(&spec, "readlink /proc/self/fd/1; echo ctty > /dev/tty", &inside, &err));
	while (n < sizeof(text) - 1 && (got = read(inside.spawned.console_fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	expect_text(text, "/dev/pts/0\r\nctty\r\n");
	(void)box_output(&inside);
	assert_int_equal(box_reap(&inside), 0);
	box_kill(&run);
}

static void errors_name_the_command(void **state)
{
	struct box_run run = start_waiting(state), inside;
	struct exec_spec spec = exec_of(&run);

	spec.argv = (const char *const[]){ "nonexistent", NULL };
	expect_error(start_exec(&spec, NULL, &inside, &err), ERR_NOT_FOUND, "exec nonexistent: No such file or directory");
	spec.cwd = "/absent";
	expect_error(start_exec(&spec, "true", &inside, &err), ERR_NOT_FOUND, "enter working directory /absent: No such file");
	assert_return_code(kill(run.spawned.pid, SIGKILL), errno);
	(void)box_output(&run);
	spec.cwd = "/";
	/* a zombie has no namespaces */
	expect_error(start_exec(&spec, "true", &inside, &err), ERR_NOT_FOUND, "join namespace");
	(void)box_reap(&run);
	assert_false(box_has_children());
}

/* In the host's PID namespace no second process is needed. */
static void a_container_in_the_hosts_pid_namespace(void **state)
{
	struct container_spec container = box_spec(box_root(state));
	struct box_run run;
	struct exec_spec spec;
	char own[64];

	container.pid_ns = NS_HOST;
	expect_ok(box_start(&container, "sleep 100", &run, &err));
	spec = exec_of(&run);
	spec.joins_pid_ns = false;
	(void)snprintf(own, sizeof(own), "\n%d\n", getpid());
	expect_text(exec_text(&spec, "ls -1 /proc"), own);
	box_kill(&run);
}

/* --- pods that share a PID namespace ----------------------------------------------------------------------------------- */

static struct box_run start_pod_init(const char *name)
{
	_cleanup_plan_ struct plan *plan = NULL;
	struct box_run run;

	expect_ok(plan_compile_pod_init(&(struct pod_init_spec){ name, NULL, NS_HOST, NS_HOST, NS_HOST, NULL }, &plan, &err));
	expect_ok(box_start_plan(plan, &run, &err));
	close_fd(&run.out);
	return run;
}

static void end_pod_init(struct box_run *run)
{
	assert_return_code(kill(run->spawned.pid, SIGKILL), errno);
	assert_int_equal(box_reap(run), 128 + SIGKILL);
}

static int pid_namespace_of(const struct box_run *run)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", run->spawned.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(fd, errno);
	return fd;
}

static void pod_init_holds_nothing(void **state)
{
	struct box_run init = start_pod_init("pod1");
	char path[64], entry[300];
	DIR *dir;

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", init.spawned.pid);
	dir = opendir(path);
	assert_non_null(dir);
	assert_non_null(readdir(dir));
	assert_non_null(readdir(dir));
	assert_null(readdir(dir));
	(void)closedir(dir);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", init.spawned.pid);
	expect_text(get_file(path), "Name:\tpod-init\n");
	expect_text(get_file(path), "Uid:\t65534\t65534\t65534\t65534\n");
	expect_text(get_file(path), "CapPrm:\t0000000000000000\n");
	expect_text(get_file(path), "CapBnd:\t0000000000000000\n");
	expect_text(get_file(path), "NoNewPrivs:\t1\n");
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", init.spawned.pid);
	assert_string_equal(get_file(path), "monopod: pod1");
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", init.spawned.pid);
	assert_true(readlink(path, entry, sizeof(entry)) > 0);
	assert_memory_equal(entry, "/memfd:monopod-init", strlen("/memfd:monopod-init"));
	end_pod_init(&init);
}

static void containers_share_the_namespace(void **state)
{
	struct box_run init = start_pod_init("pod1"), first, second;
	_cleanup_fd_ int pid_ns = pid_namespace_of(&init);
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	spec.pid_ns = pid_ns;
	expect_ok(box_start(&spec, "sleep 100; true", &first, &err));
	spec = box_spec(in_place(state, "root"));
	spec.pid_ns = pid_ns;
	expect_ok(box_start(&spec, "ps -o pid,args; cat /proc/1/comm", &second, &err));
	text = box_output(&second);
	assert_int_equal(box_reap(&second), 0);
	expect_text(text, "    1 {pod-init} monopod: pod1\n");
	expect_text(text, "sleep 100; true\n");
	expect_text(text, "pod-init\n");
	/* the end of the init is the end of all, and is over when all have been reaped */
	assert_return_code(kill(init.spawned.pid, SIGKILL), errno);
	(void)box_output(&first);
	assert_int_equal(box_reap(&first), 128 + SIGKILL);
	assert_int_equal(box_reap(&init), 128 + SIGKILL);
}

static void pod_init_reaps_orphans(void **state)
{
	struct box_run init = start_pod_init("pod1"), run;
	_cleanup_fd_ int pid_ns = pid_namespace_of(&init);
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	spec.pid_ns = pid_ns;
	/* twenty children lose their parent and end; then nobody in this namespace is a zombie */
	expect_ok(box_start(&spec,
			    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sleep 0.1 & sleep 0.05 &) ; done;"
			    "sleep 0.5; grep -l zombie /proc/[0-9]*/status; grep -lx sleep /proc/[0-9]*/comm; echo end",
			    &run, &err));
	text = box_output(&run);
	assert_int_equal(box_reap(&run), 0);
	assert_string_equal(text, "end\n");
	end_pod_init(&init);
}

/* Signals from inside do nothing to it, not even from root. */
static void pod_init_cannot_be_killed_from_inside(void **state)
{
	struct box_run init = start_pod_init("pod1"), run;
	_cleanup_fd_ int pid_ns = pid_namespace_of(&init);
	struct container_spec spec = box_spec(box_root(state));

	spec.pid_ns = pid_ns;
	expect_ok(box_start(&spec, "for s in 1 2 9 15 19 17; do kill -$s 1; done; sleep 0.1; cat /proc/1/comm", &run, &err));
	expect_text(box_output(&run), "pod-init\n");
	assert_int_equal(box_reap(&run), 0);
	end_pod_init(&init);
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(joins_every_namespace),
		box_test(is_our_child_with_the_right_pid),
		box_test(identity_is_set_as_for_containers),
		box_test(the_builtin_filter_lets_both_in),
		box_test(leads_a_session_of_its_own),
		box_test(terminal_of_the_containers_devpts),
		box_test(errors_name_the_command),
		box_test(a_container_in_the_hosts_pid_namespace),
		box_test(pod_init_holds_nothing),
		box_test(containers_share_the_namespace),
		box_test(pod_init_reaps_orphans),
		box_test(pod_init_cannot_be_killed_from_inside),
	};

	return cmocka_run_group_tests(tests, box_open, box_close);
}
