/* Stops, waits and hooks of a plan, and hooks outside of it. */
#include "box.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "runtime/hook.h"
#include "runtime/namespaces.h"

static const char state_text[] = "{\"id\":\"box\"}";

/* --- outside ----------------------------------------------------------------------------------------------------------- */

static void put_script(const char *path, const char *text)
{
	expect_ok(io_replace_file(AT_FDCWD, path, text, strlen(text), 0755, &err));
}

static void outside_hook_gets_state_arguments_and_environment(void **state)
{
	const char *const argv[] = { "hook", "one two", in_place(state, "out"), NULL };
	const char *const envp[] = { "A=b c", NULL };
	char script[64];
	struct hook_spec hook = { .path = script, .argv = argv, .envp = envp };

	(void)snprintf(script, sizeof(script), "%s", in_place(state, "hook"));
	put_script(script, "#!/bin/sh\n{ cat; echo; echo \"$1\"; tr '\\0' '\\n' </proc/$$/environ; } >\"$2\"\n");
	expect_ok(hook_run(&hook, state_text, strlen(state_text), &err));
	assert_string_equal(get_file(in_place(state, "out")), "{\"id\":\"box\"}\none two\nA=b c\n");
}

static void outside_hook_that_fails_says_why(void **state)
{
	char script[64];
	struct hook_spec hook = { .path = script };

	(void)snprintf(script, sizeof(script), "%s", in_place(state, "hook"));
	put_script(script, "#!/bin/sh\necho no such GPU >&2\nexit 3\n");
	expect_error(hook_run(&hook, "", 0, &err), ERR_STATE, "exit code 3: no such GPU");
	put_script(script, "#!/bin/sh\nkill -9 $$\n");
	expect_error(hook_run(&hook, "", 0, &err), ERR_STATE, "killed by signal 9");
	hook.path = "/no/such/hook";
	expect_error(hook_run(&hook, "", 0, &err), ERR_NOT_FOUND, "run hook /no/such/hook");
	assert_false(box_has_children());
}

static void outside_hook_is_ended_with_its_group(void **state)
{
	char script[64], mark[64];
	const char *const argv[] = { "hook", mark, NULL };
	struct hook_spec hook = { .path = script, .argv = argv, .timeout_ms = 300 };
	struct timespec wait = { .tv_sec = 1 };

	(void)snprintf(script, sizeof(script), "%s", in_place(state, "hook"));
	(void)snprintf(mark, sizeof(mark), "%s", in_place(state, "mark"));
	put_script(script, "#!/bin/sh\n(sleep 1; touch \"$1\") & sleep 100\n");
	expect_error(hook_run(&hook, "", 0, &err), ERR_DEADLINE, "timed out");
	(void)nanosleep(&wait, NULL);
	assert_int_equal(access(mark, F_OK), -1);
	assert_false(box_has_children());
}

/* --- inside ------------------------------------------------------------------------------------------------------------ */

struct stops {
	int state;
	unsigned n_world, n_ready, n_born;
	pid_t pid;
	bool refuse;
	const char *mark; /* made by the handler, after a while; or NULL */
};

static int on_sync(void *data, enum sync_point point, pid_t pid, struct error *err)
{
	struct stops *stops = data;

	stops->n_world += point == SYNC_WORLD;
	stops->n_ready += point == SYNC_READY;
	stops->n_born += point == SYNC_BORN;
	stops->pid = pid;
	if (stops->refuse)
		return error_set(err, ERR_STATE, "refused");
	if (stops->mark) {
		(void)poll(NULL, 0, 100);
		put_file(stops->mark, "recorded\n");
	}
	if (point == SYNC_WORLD && stops->state >= 0)
		return hook_state_fill(stops->state, state_text, strlen(state_text), err);
	return 0;
}

struct hooked {
	struct hooks_spec hooks;
	struct container_spec spec;
	struct stops stops;
	struct box_run run;
};

static void hooked_init(struct hooked *h, void **state)
{
	*h = (struct hooked){ .spec = box_spec(box_root(state)), .stops = { .state = -1 } };
	h->hooks.state = expect_ok(hook_state_open(&err));
	h->hooks.host_tree = expect_ok(hook_host_tree(&err));
	h->hooks.output = STDERR_FILENO;
	h->hooks.rootfs_path = in_place(state, "root");
	h->stops.state = h->hooks.state;
	h->spec.hooks = &h->hooks;
}

static int hooked_start(struct hooked *h, const char *script, struct error *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct sync_handler handler = { on_sync, &h->stops };
	_cleanup_plan_ struct plan *plan = NULL;
	int pair[2], result;

	h->spec.argv = argv;
	result = plan_compile(&h->spec, &plan, err);
	if (result == 0) {
		assert_return_code(pipe2(pair, O_CLOEXEC), errno);
		result = spawner_run_synced(box_spawner, plan, (int[]){ -1, pair[1], pair[1] }, BOX_TIMEOUT_MS, &handler,
					    &h->run.spawned, err);
		(void)close(pair[1]);
		h->run.out = pair[0];
		if (result < 0)
			(void)close(pair[0]);
	}
	close_fd(&h->spec.rootfs);
	close_fd(&h->hooks.state);
	close_fd(&h->hooks.host_tree);
	return result;
}

static const char *hooked_run(struct hooked *h, const char *script)
{
	const char *text;

	expect_ok(hooked_start(h, script, &err));
	text = box_output(&h->run);
	assert_int_equal(box_reap(&h->run), 0);
	return text;
}

/* A program of the host, in the namespaces of the container, with the root at its place and the container's mounts in it. */
static void create_container_hook_sees_host_and_root(void **state)
{
	static char script[64], out[64], root[64];
	static const char *const argv[] = { "hook", out, root, NULL };
	static const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	static const struct hook_spec hook = { .path = script, .argv = argv, .envp = envp };
	struct hooked h;
	const char *text, *mnt;
	char ns[64];

	(void)snprintf(script, sizeof(script), "%s", in_place(state, "hook"));
	(void)snprintf(out, sizeof(out), "%s", in_place(state, "out"));
	hooked_init(&h, state);
	(void)snprintf(root, sizeof(root), "%s", h.hooks.rootfs_path);
	h.hooks.create_container = &hook;
	h.hooks.n_create_container = 1;
	put_script(script,
		   "#!/bin/sh\n{ cat; echo; readlink /proc/self/ns/mnt; cat \"$2/proc/self/stat\" | cut -d' ' -f1; } >\"$1\"\n"
		   "mount -t tmpfs hooked \"$2/data\" && echo seen >\"$2/data/file\"\n");
	text = hooked_run(&h, "cat /data/file; ls /; echo; readlink /proc/self/ns/mnt; grep -c . /proc/self/mountinfo");
	expect_text(text, "seen\n");
	/* the host's files are gone: root, five mounts of the box, the hook's */
	expect_text(text, "\n7\n");
	assert_int_equal(h.stops.n_world, 1);
	expect_text(get_file(out), state_text);
	/* the same mount namespace, and its procfs */
	mnt = strstr(get_file(out), "mnt:[");
	assert_non_null(mnt);
	(void)snprintf(ns, sizeof(ns), "%.*s", (int)strcspn(mnt, "\n"), mnt);
	expect_text(text, ns);
}

static void no_mount_of_a_hook_reaches_the_host(void **state)
{
	static char script[64];
	static const char *const argv[] = { "hook", "/tmp", NULL };
	static const struct hook_spec hook = { .path = script, .argv = argv };
	struct hooked h;

	(void)snprintf(script, sizeof(script), "%s", in_place(state, "hook"));
	hooked_init(&h, state);
	h.hooks.create_container = &hook;
	h.hooks.n_create_container = 1;
	put_script(script, "#!/bin/sh\nPATH=/usr/bin:/bin; mount -t tmpfs mp-hook-mark /mnt\n");
	(void)hooked_run(&h, "true");
	expect_no_text(get_file("/proc/self/mountinfo"), "mp-hook-mark");
}

/* What covers masked paths lies below the host's tree, too. */
static void paths_are_masked_behind_hooks(void **state)
{
	static const char *const masked[] = { "/data/dir", "/data/file", NULL };
	static const struct hook_spec hook = { .path = "/bin/true" };
	struct hooked h;
	const char *text;

	hooked_init(&h, state);
	put_dir(in_place(state, "root/data/dir"));
	put_file(in_place(state, "root/data/dir/secret"), "secret");
	put_file(in_place(state, "root/data/file"), "secret");
	h.hooks.create_container = &hook;
	h.hooks.n_create_container = 1;
	h.spec.masked_paths = masked;
	text = hooked_run(&h, "echo begin $(ls /data/dir; cat /data/file) end");
	expect_text(text, "begin end\n");
}

static void start_container_hook_is_the_containers(void **state)
{
	static const char *const argv[] = { "sh", "-c", "echo hook; cat; echo; id -u; set -- /proc/[0-9]*; echo $#", NULL };
	static const struct hook_spec hook = { .path = "/bin/sh", .argv = argv, .envp = box_env };
	struct hooked h;

	hooked_init(&h, state);
	h.hooks.start_container = &hook;
	h.hooks.n_start_container = 1;
	h.spec.identity.uid = 1234;
	expect_text(hooked_run(&h, "echo command"), "hook\n{\"id\":\"box\"}\n1234\n2\ncommand\n");
}

static void hook_inside_that_fails_ends_the_start(void **state)
{
	static const char *argv[] = { "sh", "-c", "exit 7", NULL };
	static struct hook_spec hook = { .path = "/bin/sh", .argv = argv };
	struct hooked h;

	hooked_init(&h, state);
	h.hooks.start_container = &hook;
	h.hooks.n_start_container = 1;
	expect_error(hooked_start(&h, "true", &err), ERR_STATE, "run hook /bin/sh: exit code 7");
	assert_false(box_has_children());
	argv[2] = "kill -9 $$";
	h.spec.rootfs = box_tree(in_place(state, "root"));
	h.hooks.state = h.stops.state = expect_ok(hook_state_open(&err));
	expect_error(hooked_start(&h, "true", &err), ERR_STATE, "run hook /bin/sh: killed by signal 9");
	hook.path = "/bin/nosuch";
	h.spec.rootfs = box_tree(in_place(state, "root"));
	h.hooks.state = h.stops.state = expect_ok(hook_state_open(&err));
	expect_error(hooked_start(&h, "true", &err), ERR_NOT_FOUND, "run hook /bin/nosuch: No such file");
	assert_false(box_has_children());
}

static void hook_inside_has_a_deadline(void **state)
{
	static const char *const argv[] = { "sh", "-c", "sleep 100 & sleep 100", NULL };
	static const struct hook_spec hook = { .path = "/bin/sh", .argv = argv, .envp = box_env, .timeout_ms = 200 };
	struct hooked h;

	hooked_init(&h, state);
	h.hooks.start_container = &hook;
	h.hooks.n_start_container = 1;
	expect_error(hooked_start(&h, "true", &err), ERR_DEADLINE, "run hook /bin/sh");
	assert_false(box_has_children());
}

static void refusal_at_a_stop_ends_the_process(void **state)
{
	struct hooked h;

	hooked_init(&h, state);
	h.hooks.outside = true;
	h.stops.refuse = true;
	expect_error(hooked_start(&h, "true", &err), ERR_STATE, "refused");
	assert_int_equal(h.stops.n_world, 1);
	assert_false(box_has_children());
}

static void hooks_that_contradict_are_refused(void **state)
{
	static const struct hook_spec relative = { .path = "hook" };
	static const char *const nothing[] = { NULL };
	static const struct hook_spec empty = { .path = "/hook", .argv = nothing };
	struct hooked h;

	hooked_init(&h, state);
	h.hooks.n_start_container = 1;
	h.hooks.start_container = &relative;
	expect_error(hooked_start(&h, "true", &err), ERR_INVALID, "not absolute");
	h.hooks.start_container = &empty;
	h.spec.rootfs = box_tree(in_place(state, "root"));
	expect_error(hooked_start(&h, "true", &err), ERR_INVALID, "argument list is empty");
	h.hooks.outside = true;
	h.spec.rootfs = box_tree(in_place(state, "root"));
	expect_error(hooked_start(&h, "true", &err), ERR_INVALID, "host's files");
}

/* --- waiting ----------------------------------------------------------------------------------------------------------- */

static void start_address(struct sockaddr_un *address, void **state)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(address->sun_path, sizeof(address->sun_path), "%s", in_place(state, "start"));
}

static int listen_for_start(void **state)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	start_address(&address, state);
	assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(fd, 1), errno);
	return fd;
}

static int connect_start(void **state)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	start_address(&address, state);
	assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	return fd;
}

static void hooked_init_waiting(struct hooked *h, void **state)
{
	*h = (struct hooked){ .spec = box_spec(box_root(state)),
			      .stops = { .state = -1 },
			      .hooks = { .state = -1, .host_tree = -1 } };
	h->spec.waits = true;
	h->spec.start_socket = listen_for_start(state);
}

static void waits_until_somebody_connects(void **state)
{
	struct hooked h;
	struct pollfd p;
	char report[4096];
	int fd;

	hooked_init_waiting(&h, state);
	expect_ok(hooked_start(&h, "echo released", &err));
	(void)close(h.spec.start_socket);
	assert_int_equal(h.stops.n_ready, 1);
	assert_int_equal(h.stops.pid, h.run.spawned.pid);
	p = (struct pollfd){ .fd = h.run.out, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 100), 0);
	fd = connect_start(state);
	/* the last report, and the end that exec makes */
	assert_true(recv(fd, report, sizeof(report), 0) > 0);
	assert_int_equal(recv(fd, report, sizeof(report), 0), 0);
	(void)close(fd);
	assert_string_equal(box_output(&h.run), "released\n");
	assert_int_equal(box_reap(&h.run), 0);
}

static void hooked_init_recorded(struct hooked *h, void **state)
{
	*h = (struct hooked){ .spec = box_spec(box_root(state)),
			      .stops = { .state = -1 },
			      .hooks = { .state = -1, .host_tree = -1 } };
	h->spec.recorded = SYNC_BORN;
}

static void command_runs_when_its_process_is_recorded(void **state)
{
	struct hooked h;

	hooked_init_recorded(&h, state);
	h.stops.mark = in_place(state, "root/data/mark");
	assert_string_equal(hooked_run(&h, "cat /data/mark; echo $$"), "recorded\n1\n");
	assert_int_equal(h.stops.n_born, 1);
	assert_int_equal(h.stops.n_ready + h.stops.n_world, 0);
	assert_int_equal(h.stops.pid, h.run.spawned.pid);
}

static void refusal_to_record_ends_the_process(void **state)
{
	struct hooked h;

	hooked_init_recorded(&h, state);
	h.stops.refuse = true;
	expect_error(hooked_start(&h, "true", &err), ERR_STATE, "refused");
	assert_false(box_has_children());
}

/* The answer may lie unread in its socket then, which makes its end a reset. */
static void recorded_process_says_what_failed(void **state)
{
	struct hooked h;

	hooked_init_recorded(&h, state);
	h.spec.cwd = "/proc/version";
	expect_error(hooked_start(&h, "true", &err), ERR_STATE, "Not a directory");
	assert_false(box_has_children());
}

static void hooks_come_before_the_record(void **state)
{
	struct hooked h;

	hooked_init(&h, state);
	h.spec.recorded = SYNC_BORN;
	expect_error(hooked_start(&h, "true", &err), ERR_INVALID, "recorded when it is ready");
}

static void missing_command_is_told_before_the_wait(void **state)
{
	static const char *const argv[] = { "nosuch", NULL };
	const struct sync_handler handler = { on_sync, NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	struct spawn_result result;
	struct hooked h;

	hooked_init_waiting(&h, state);
	h.spec.argv = argv;
	expect_ok(plan_compile(&h.spec, &plan, &err));
	expect_error(spawner_run_synced(box_spawner, plan, (int[]){ -1, -1, -1 }, BOX_TIMEOUT_MS, &handler, &result, &err),
		     ERR_NOT_FOUND, "exec nosuch: No such file or directory");
	(void)close(h.spec.rootfs);
	(void)close(h.spec.start_socket);
	assert_false(box_has_children());
}

static void refusal_at_the_wait_ends_the_process(void **state)
{
	struct hooked h;

	hooked_init_waiting(&h, state);
	h.stops.refuse = true;
	expect_error(hooked_start(&h, "true", &err), ERR_STATE, "refused");
	(void)close(h.spec.start_socket);
	assert_false(box_has_children());
}

/* --- settings and extras ----------------------------------------------------------------------------------------------- */

static void new_namespaces_are_furnished(void **state)
{
	static const struct sysctl_spec sysctls[] = { { "net.ipv4.ip_forward", "1" }, { "kernel/shmmni", "77" } };
	struct container_spec spec = box_spec(box_root(state));
	const char *text;

	spec.net_ns = spec.ipc_ns = spec.uts_ns = NS_NEW;
	spec.hostname = "boxed";
	spec.domainname = "example.org";
	spec.sysctls = sysctls;
	spec.n_sysctls = ARRAY_SIZE(sysctls);
	text = box_run(&spec, "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward "
			      "/proc/sys/kernel/shmmni; cat /proc/net/if_inet6 /proc/net/dev | grep -c lo; "
			      "cat /sys/class/net/lo/operstate; cat /proc/net/fib_trie | grep -c 127.0.0.1");
	expect_text(text, "boxed\nexample.org\n1\n77\n");
	expect_no_text(text, "down");
}

static void settings_of_the_host_are_refused(void **state)
{
	static const struct sysctl_spec sysctl = { "net.ipv4.ip_forward", "1" };
	_cleanup_plan_ struct plan *plan = NULL;
	struct container_spec spec = box_spec(box_root(state));
	static const char *const argv[] = { "true", NULL };

	spec.argv = argv;
	spec.hostname = "boxed";
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "UTS namespace");
	spec.hostname = NULL;
	spec.sysctls = &sysctl;
	spec.n_sysctls = 1;
	expect_error(plan_compile(&spec, &plan, &err), ERR_INVALID, "net.ipv4.ip_forward");
	(void)close(spec.rootfs);
}

static void extras_reach_the_command(void **state)
{
	static const struct scheduler_spec scheduler = { .size = sizeof(scheduler), .policy = 3 /* SCHED_BATCH */, .nice = 5 };
	struct container_spec spec = box_spec(box_root(state));
	int files[8];
	const char *text;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_return_code(files[i] = memfd_create("kept", MFD_CLOEXEC), errno);
	spec.extras = (struct process_extras){
		.set_umask = true,
		.umask = 077,
		.set_personality = true,
		.personality = 0x0040000 /* ADDR_NO_RANDOMIZE */,
		.scheduler = &scheduler,
		.preserved_fds = files,
		.n_preserved_fds = ARRAY_SIZE(files),
	};
	text = box_run(&spec, "umask; cat /proc/self/personality; cut -d' ' -f19,41 /proc/self/stat; "
			      "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/1/fd/$i ] && echo -n \"$i \"; done; "
			      "readlink /proc/1/fd/3; readlink /proc/1/fd/10");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)close(files[i]);
	expect_text(text, "0077\n00040000\n5 3\n0 1 2 3 4 5 6 7 8 9 10 /");
	expect_text(text, "memfd:kept (deleted)\n/memfd:kept");
}

static void root_propagation_is_as_asked(void **state)
{
	struct container_spec spec = box_spec(box_root(state));

	spec.root_propagation = MS_SHARED;
	expect_text(box_run(&spec, "grep ' / / ' /proc/self/mountinfo || grep ' / ' /proc/self/mountinfo"), "shared:");
	spec = box_spec(in_place(state, "root"));
	spec.root_propagation = MS_UNBINDABLE;
	expect_text(box_run(&spec, "grep ' / ' /proc/self/mountinfo"), "unbindable");
}

int main(void)
{
#define box_test(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		box_test(outside_hook_gets_state_arguments_and_environment),
		box_test(outside_hook_that_fails_says_why),
		box_test(outside_hook_is_ended_with_its_group),
		box_test(create_container_hook_sees_host_and_root),
		box_test(no_mount_of_a_hook_reaches_the_host),
		box_test(paths_are_masked_behind_hooks),
		box_test(start_container_hook_is_the_containers),
		box_test(hook_inside_that_fails_ends_the_start),
		box_test(hook_inside_has_a_deadline),
		box_test(refusal_at_a_stop_ends_the_process),
		box_test(hooks_that_contradict_are_refused),
		box_test(waits_until_somebody_connects),
		box_test(command_runs_when_its_process_is_recorded),
		box_test(refusal_to_record_ends_the_process),
		box_test(recorded_process_says_what_failed),
		box_test(hooks_come_before_the_record),
		box_test(missing_command_is_told_before_the_wait),
		box_test(refusal_at_the_wait_ends_the_process),
		box_test(new_namespaces_are_furnished),
		box_test(settings_of_the_host_are_refused),
		box_test(extras_reach_the_command),
		box_test(root_propagation_is_as_asked),
	};

	return cmocka_run_group_tests(tests, box_open, box_close);
}
