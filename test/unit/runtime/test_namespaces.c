#include "expect.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "runtime/namespaces.h"
#include "runtime/spec.h"
#include "runtime/sysctl.h"

static int make_place(void **state)
{
	return place_make(state);
}

static int remove_place(void **state)
{
	struct error err = ERROR_INIT;

	if (pod_namespaces_unpin(((struct place *)*state)->path, &err) < 0)
		print_error("%s\n", err.text);
	return place_remove(state);
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static ino_t own_inode(const char *kind)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", kind);
	return inode_of(path);
}

static ino_t fd_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* True when something is mounted at the path, as the mount table has it. */
static bool is_mounted(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[1024];
	bool found = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		found = found || strstr(line, path);
	(void)fclose(file);
	return found;
}

/* Runs `check` in a child that joined the namespaces; its result is the exit status. */
static int run_inside(const struct pod_namespaces *ns, int (*check)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		const int fds[] = { ns->net, ns->ipc, ns->uts };

		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			if (fds[i] >= 0 && setns(fds[i], 0) < 0)
				_exit(99);
		}
		_exit(check());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct pod_namespaces create(void **state, const struct pod_ns_spec *spec)
{
	struct pod_namespaces ns = POD_NAMESPACES_INIT;
	bool spoiled = true;

	expect_ok(pod_namespaces_create(spec, ((struct place *)*state)->path, &ns, &spoiled, &err));
	assert_false(spoiled);
	return ns;
}

static int look_around(void)
{
	struct utsname name;

	if (uname(&name) < 0 || strcmp(name.nodename, "web-1") != 0)
		return 1;
	if (strcmp(get_file("/proc/sys/net/ipv4/ip_local_port_range"), "2048\t4096\n") != 0)
		return 2;
	if (strcmp(get_file("/proc/sys/kernel/shmmni"), "77\n") != 0)
		return 3;
	if (strcmp(get_file("/proc/sys/fs/mqueue/queues_max"), "9\n") != 0)
		return 4;
	return strcmp(get_file("/proc/sys/net/ipv4/conf/lo/forwarding"), "1\n") != 0 ? 5 : 0;
}

static void a_pod_of_its_own(void **state)
{
	static const struct sysctl_spec sysctls[] = {
		{ "net.ipv4.ip_local_port_range", "2048 4096" },
		{ "kernel.shmmni", "77" },
		{ "fs/mqueue/queues_max", "9" },
		{ "net/ipv4/conf/lo/forwarding", "1" },
	};
	const struct pod_ns_spec spec = { .new_net = true,
					  .new_ipc = true,
					  .new_uts = true,
					  .hostname = "web-1",
					  .sysctls = sysctls,
					  .n_sysctls = ARRAY_SIZE(sysctls) };
	ino_t net = own_inode("net"), ipc = own_inode("ipc"), uts = own_inode("uts");
	struct pod_namespaces ns;
	char before[128];

	skip_unless(geteuid() == 0, "not root");
	(void)snprintf(before, sizeof(before), "%s", get_file("/proc/sys/net/ipv4/ip_local_port_range"));
	ns = create(state, &spec);
	assert_true(ns.net >= 0 && ns.ipc >= 0 && ns.uts >= 0);
	assert_int_equal(own_inode("net"), net);
	assert_int_equal(own_inode("ipc"), ipc);
	assert_int_equal(own_inode("uts"), uts);
	assert_true(fd_inode(ns.net) != net && fd_inode(ns.ipc) != ipc && fd_inode(ns.uts) != uts);
	assert_int_equal(inode_of(in_place(state, "net")), fd_inode(ns.net));
	assert_int_equal(inode_of(in_place(state, "ipc")), fd_inode(ns.ipc));
	assert_int_equal(inode_of(in_place(state, "uts")), fd_inode(ns.uts));
	assert_int_equal(run_inside(&ns, look_around), 0);
	assert_string_equal(get_file("/proc/sys/net/ipv4/ip_local_port_range"), before);
	pod_namespaces_close(&ns);
}

static void the_hosts_are_left_alone(void **state)
{
	struct pod_namespaces ns;

	skip_unless(geteuid() == 0, "not root");
	ns = create(state, &(struct pod_ns_spec){ .new_ipc = true, .hostname = "ignored, since the UTS namespace is the host's" });
	assert_int_equal(ns.net, NS_HOST);
	assert_int_equal(ns.uts, NS_HOST);
	assert_true(ns.ipc >= 0);
	assert_int_not_equal(access(in_place(state, "net"), F_OK), 0);
	pod_namespaces_close(&ns);
	assert_int_equal(ns.ipc, NS_HOST);
}

static void pins_outlive_the_descriptors(void **state)
{
	struct pod_namespaces ns, again;
	ino_t net;

	skip_unless(geteuid() == 0, "not root");
	ns = create(state, &(struct pod_ns_spec){ .new_net = true, .new_uts = true });
	net = fd_inode(ns.net);
	pod_namespaces_close(&ns);
	expect_ok(pod_namespaces_open(((struct place *)*state)->path, &again, &err));
	assert_int_equal(fd_inode(again.net), net);
	assert_true(again.uts >= 0);
	assert_int_equal(again.ipc, NS_HOST);
	pod_namespaces_close(&again);
}

static void unpinning_leaves_nothing_and_may_repeat(void **state)
{
	const char *dir = ((struct place *)*state)->path;
	struct pod_namespaces ns;

	skip_unless(geteuid() == 0, "not root");
	ns = create(state, &(struct pod_ns_spec){ .new_net = true, .new_ipc = true, .new_uts = true });
	pod_namespaces_close(&ns);
	assert_true(is_mounted(dir));
	expect_ok(pod_namespaces_unpin(dir, &err));
	assert_false(is_mounted(dir));
	assert_int_not_equal(access(in_place(state, "net"), F_OK), 0);
	expect_ok(pod_namespaces_unpin(dir, &err));
	expect_ok(pod_namespaces_open(dir, &ns, &err));
	assert_int_equal(ns.net, NS_HOST);
}

/* Something in the way of the second pin: the first one goes again, and the thread is where it was. */
static void failure_leaves_nothing(void **state)
{
	const char *dir = ((struct place *)*state)->path;
	struct pod_namespaces ns = POD_NAMESPACES_INIT;
	ino_t net = own_inode("net");
	bool spoiled = true;

	skip_unless(geteuid() == 0, "not root");
	put_dir(in_place(state, "ipc"));
	expect_error(pod_namespaces_create(&(struct pod_ns_spec){ .new_net = true, .new_ipc = true }, dir, &ns, &spoiled, &err),
		     ERR_EXISTS, "ipc");
	assert_false(spoiled);
	assert_false(is_mounted(dir));
	assert_int_not_equal(access(in_place(state, "net"), F_OK), 0);
	assert_int_equal(own_inode("net"), net);
	assert_int_equal(ns.net, NS_HOST);
	assert_int_equal(rmdir(in_place(state, "ipc")), 0);
}

static void a_sysctl_that_the_kernel_refuses(void **state)
{
	static const struct sysctl_spec bad_value = { "net.ipv4.ip_forward", "maybe" }, bad_name = { "net.ipv4.no_such", "1" };
	const char *dir = ((struct place *)*state)->path;
	struct pod_namespaces ns = POD_NAMESPACES_INIT;
	bool spoiled = true;

	skip_unless(geteuid() == 0, "not root");
	expect_error(pod_namespaces_create(&(struct pod_ns_spec){ .new_net = true, .sysctls = &bad_value, .n_sysctls = 1 }, dir,
					   &ns, &spoiled, &err),
		     ERR_INVALID, "ip_forward");
	expect_error(pod_namespaces_create(&(struct pod_ns_spec){ .new_net = true, .sysctls = &bad_name, .n_sysctls = 1 }, dir, &ns,
					   &spoiled, &err),
		     ERR_INVALID, "no_such");
	assert_false(spoiled);
	assert_false(is_mounted(dir));
	assert_int_not_equal(access(in_place(state, "net"), F_OK), 0);
}

static void a_pin_that_is_a_bare_file(void **state)
{
	struct pod_namespaces ns;

	put_file(in_place(state, "uts"), "");
	expect_error(pod_namespaces_open(((struct place *)*state)->path, &ns, &err), ERR_DATA_LOSS, "uts");
	expect_ok(pod_namespaces_unpin(((struct place *)*state)->path, &err));
	assert_int_not_equal(access(in_place(state, "uts"), F_OK), 0);
}

/* A pin of one kind under the name of another is not taken for it. */
static void a_pin_of_the_wrong_kind(void **state)
{
	struct pod_namespaces ns;

	skip_unless(geteuid() == 0, "not root");
	ns = create(state, &(struct pod_ns_spec){ .new_net = true });
	put_file(in_place(state, "ipc"), "");
	assert_int_equal(mount(in_place(state, "net"), in_place(state, "ipc"), NULL, MS_BIND, NULL), 0);
	pod_namespaces_close(&ns);
	expect_error(pod_namespaces_open(((struct place *)*state)->path, &ns, &err), ERR_DATA_LOSS, "ipc");
}

static int check(const char *name, const char *value, bool own_net, bool own_ipc, struct error *err)
{
	const struct sysctl_spec sysctl = { name, value };

	return pod_namespaces_check(
		&(struct pod_ns_spec){ .new_net = own_net, .new_ipc = own_ipc, .sysctls = &sysctl, .n_sysctls = 1 }, err);
}

static void sysctls_that_a_pod_may_set(void **state)
{
	static const char *const good[][2] = {
		{ "net.ipv4.ip_forward", "1" },
		{ "net/ipv4/ip_forward", "1" },
		{ "net.ipv4.ip_local_port_range", "1024\t65535" },
		{ "net.ipv4.ping_group_range", "0 2147483647" },
		{ "net.ipv4.conf.eth0/100.forwarding", "1" },
		{ "net/ipv4/conf/eth0.100/forwarding", "1" },
		{ "net.ipv4.ip_local_reserved_ports", "80,100-200" },
		{ "net.ipv4.tcp_congestion_control", "cubic" },
		{ "kernel.sem", "250 32000 32 128" },
		{ "kernel.shm_rmid_forced", "1" },
		{ "kernel/msgmax", "65536" },
		{ "fs.mqueue.msg_max", "-1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		expect_ok(check(good[i][0], good[i][1], true, true, &err));
}

/* CVE-2022-0811: nothing that could name, or reach, a sysctl of the host. */
static void names_that_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"/",
		"..",
		"net",
		"net.",
		"net/",
		".net.ipv4.ip_forward",
		"/net/ipv4/ip_forward",
		"net..ipv4",
		"net.ipv4.ip_forward.",
		"net.ipv4.ip_forward+kernel.core_pattern",
		"net.ipv4.ip_forward=1\nkernel.core_pattern",
		"net.ipv4.ip_forward\n",
		"net.ipv4.ip forward",
		"net/../kernel/core_pattern",
		"net/ipv4/../../kernel/core_pattern",
		"net/./ipv4/ip_forward",
		"net.ipv4/../../kernel.core_pattern",
		"net.//.kernel",
		"kernel.core_pattern",
		"kernel/core_pattern",
		"kernel.hostname",
		"kernel.domainname",
		"kernel.semx",
		"kernel.shm_rmid_forcedx",
		"kernel.shmmax.x",
		"kernel.sem.",
		"kernel.msg*",
		"kernel.modprobe",
		"kernel.panic",
		"vm.overcommit_memory",
		"fs.file-max",
		"fs.mqueue",
		"fs.mqueue..file-max",
		"user.max_user_namespaces",
		"NET.ipv4.ip_forward",
		"net.ipv4.ip_forward;reboot",
		"net.ipv4.\xc3\xa4",
		"net.ipv4."
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = ERROR_INIT;

		if (check(bad[i], "1", true, true, &err) == 0)
			fail_msg("'%s' passed", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
	expect_error(check(NULL, "1", true, true, &err), ERR_INVALID, "malformed");
}

static void values_that_are_refused(void **state)
{
	static const char *const bad[] = { "",    "1\n2", "1\n", "1+kernel.core_pattern=|/bin/sh", "|/tmp/x", "$(reboot)",
					   "1;2", "\x7f", "\x80" };
	char huge[2048];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(check("net.ipv4.ip_forward", bad[i], true, true, &err), ERR_INVALID, "value");
	expect_error(check("net.ipv4.ip_forward", NULL, true, true, &err), ERR_INVALID, "value");
	memset(huge, '1', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	expect_error(check("net.ipv4.ip_forward", huge, true, true, &err), ERR_INVALID, "longer");
}

/* CVE-2022-0532: with the host's namespace the same name would be the host's setting. */
static void sysctls_of_shared_namespaces_are_refused(void **state)
{
	(void)state;
	expect_error(check("net.ipv4.ip_forward", "1", false, true, &err), ERR_INVALID, "host's network");
	expect_error(check("kernel.shmmax", "1", true, false, &err), ERR_INVALID, "host's IPC");
	expect_error(check("fs.mqueue.msg_max", "1", true, false, &err), ERR_INVALID, "host's IPC");
}

static void hostnames_are_checked(void **state)
{
	static const char *const bad[] = { "a b",         "a/b",
					   "a\nb",        "\x01",
					   "b\xc3\xb6se", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(pod_namespaces_check(&(struct pod_ns_spec){ .new_uts = true, .hostname = bad[i] }, &err), ERR_INVALID,
			     "hostname");
	expect_ok(pod_namespaces_check(&(struct pod_ns_spec){ .new_uts = true, .hostname = "" }, &err));
	expect_ok(pod_namespaces_check(&(struct pod_ns_spec){ .new_uts = true, .hostname = "web-1.example_x" }, &err));
}

static void too_many_sysctls(void **state)
{
	struct sysctl_spec many[SYSCTLS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct sysctl_spec){ "net.ipv4.ip_forward", "1" };
	expect_error(pod_namespaces_check(&(struct pod_ns_spec){ .new_net = true, .sysctls = many, .n_sysctls = ARRAY_SIZE(many) },
					  &err),
		     ERR_INVALID, "more than");
}

/* A hundred times by two threads at once, as lanes do it: each thread stays where it belongs. */
struct creator {
	char dir[64];
	struct error err;
	bool failed, spoiled, moved;
};

static void *create_often(void *arg)
{
	const struct pod_ns_spec spec = { .new_ipc = true, .new_uts = true };
	struct creator *creator = arg;
	ino_t uts = own_inode("uts");

	for (int i = 0; i < 50 && !creator->failed && !creator->spoiled; i++) {
		struct pod_namespaces ns = POD_NAMESPACES_INIT;

		creator->failed = pod_namespaces_create(&spec, creator->dir, &ns, &creator->spoiled, &creator->err) < 0 ||
				  pod_namespaces_unpin(creator->dir, &creator->err) < 0;
		pod_namespaces_close(&ns);
	}
	creator->moved = own_inode("uts") != uts;
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	struct creator creators[2] = { 0 };
	pthread_t threads[2];

	skip_unless(geteuid() == 0, "not root");
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(creators[i].dir, sizeof(creators[i].dir), "%s/t%zu", ((struct place *)*state)->path, i);
		put_dir(creators[i].dir);
		assert_int_equal(pthread_create(&threads[i], NULL, create_often, &creators[i]), 0);
	}
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		if (creators[i].failed)
			fail_msg("%s", creators[i].err.text);
		assert_false(creators[i].spoiled || creators[i].moved);
	}
}

#define in_a_place(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_place(a_pod_of_its_own),
		in_a_place(the_hosts_are_left_alone),
		in_a_place(pins_outlive_the_descriptors),
		in_a_place(unpinning_leaves_nothing_and_may_repeat),
		in_a_place(failure_leaves_nothing),
		in_a_place(a_sysctl_that_the_kernel_refuses),
		in_a_place(a_pin_that_is_a_bare_file),
		in_a_place(a_pin_of_the_wrong_kind),
		cmocka_unit_test(sysctls_that_a_pod_may_set),
		cmocka_unit_test(names_that_are_refused),
		cmocka_unit_test(values_that_are_refused),
		cmocka_unit_test(sysctls_of_shared_namespaces_are_refused),
		cmocka_unit_test(hostnames_are_checked),
		cmocka_unit_test(too_many_sysctls),
		in_a_place(threads_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
