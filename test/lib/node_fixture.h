/*
 * A whole node under test, driven through its operations without a server: own network and mount namespace (so that nothing of the
 * machine is touched and nothing stays), own directories, own cgroup, and an image made of the machine's busybox.
 *
 * A program that includes this must start with NODE_FIXTURE_MAIN, because the image store starts it again to unpack.
 */
#ifndef MONOPOD_TEST_NODE_FIXTURE_H
#define MONOPOD_TEST_NODE_FIXTURE_H

/* Before cmocka, whose fail() is a macro. */
#include "task/node_impl.h"

#include "image_fixture.h"

#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/clock.h"
#include "base/config.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"
#include "runtime/cgroup.h"
#include "test_call.h"
#include "turns.h"

#define NODE_FIXTURE_MAIN(tests)                                                                                                   \
	int main(int argc, char **argv)                                                                                            \
	{                                                                                                                          \
		if (argc > 0 && !strcmp(argv[0], IMAGE_UNPACK_NAME))                                                               \
			return image_unpack_main();                                                                                \
		return cmocka_run_group_tests(tests, node_group_setup, node_group_teardown);                                       \
	}

#define NODE_IMAGE "docker.io/library/unit:1"

/* What one test has; the directory and the image archive are made once for all. */
struct fixture {
	struct config config;
	struct loop loop;
	struct node *node;
	bool closed;
};

static char node_dir[64];
static char node_cgroup[64];

/* ---- calls ---- */

static inline void call_begin_with(struct fixture *f, struct test_call *test, operation_fn *operation,
				   const ProtobufCMessage *request, bool deaf)
{
	*test = (struct test_call){
		.deaf = deaf,
		.call = { .ops = &test_call_ops,
			  .service = "runtime.v1.RuntimeService",
			  .method = "Test",
			  .request = request,
			  .deadline_us = INT64_MAX },
	};
	operation(f->node, &test->call);
}

static inline void call_begin(struct fixture *f, struct test_call *test, operation_fn *operation, const ProtobufCMessage *request)
{
	call_begin_with(f, test, operation, request, false);
}

static inline void call_begin_deaf(struct fixture *f, struct test_call *test, operation_fn *operation,
				   const ProtobufCMessage *request)
{
	call_begin_with(f, test, operation, request, true);
}

static inline void call_wait(struct fixture *f, struct test_call *test)
{
	int64_t until_us = clock_monotonic_us() + INT64_C(60) * 1000000;

	while (!test->done && clock_monotonic_us() < until_us)
		turn(&f->loop);
	if (!test->done)
		fail_msg("an operation does not end");
}

/* Runs it to its end. The caller ends it with call_end(). */
static inline void call_run(struct fixture *f, struct test_call *test, operation_fn *operation, const ProtobufCMessage *request)
{
	call_begin(f, test, operation, request);
	call_wait(f, test);
}

/* For requests whose answer says nothing; an error is the test's. */
static inline void call_ok(struct fixture *f, operation_fn *operation, const ProtobufCMessage *request)
{
	struct test_call test;

	call_run(f, &test, operation, request);
	if (test.failed)
		fail_msg("%s: %s", error_code_name(test.err.code), test.err.text);
	call_end(&test);
}

static inline struct error call_error(struct fixture *f, operation_fn *operation, const ProtobufCMessage *request)
{
	struct test_call test;

	call_run(f, &test, operation, request);
	if (!test.failed)
		fail_msg("it succeeded");
	call_end(&test);
	return test.err;
}

/* ---- the image ---- */

static inline void add_file(struct archive *a, const char *name, const char *data, size_t len, unsigned mode)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_copy_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, mode);
	archive_entry_set_size(e, (long long)len);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, data, len), (long)len);
	archive_entry_free(e);
}

/* busybox with links for its shell's needs, users, and nothing else. */
static inline struct bytes busybox_layer(void)
{
	static const char *const applets[] = { "sh", "echo", "cat",   "sleep", "true", "id",   "env", "ls",
					       "ps", "kill", "head",  "tail",  "tr",   "grep", "wc",  "hostname",
					       "ip", "stat", "touch", "dd",    "pwd",  "seq" };
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n";
	static const char group[] = "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n";
	const size_t size = (size_t)16 << 20;
	struct bytes tar = { malloc(size), 0 };
	struct buffer busybox = BUFFER_INIT((size_t)8 << 20);
	struct archive *a = archive_write_new();
	struct error err = ERROR_INIT;

	assert_ok(io_read_file(AT_FDCWD, "/bin/busybox", &busybox, &err), &err);
	assert_non_null(tar.data);
	assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(a, tar.data, size, &tar.len), ARCHIVE_OK);
	fixture_add(a, &(struct item){ .name = "bin", .type = 'd' });
	fixture_add(a, &(struct item){ .name = "tmp", .type = 'd', .mode = 01777 });
	fixture_add(a, &(struct item){ .name = "etc", .type = 'd' });
	add_file(a, "bin/busybox", busybox.data, busybox.len, 0755);
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "bin/%s", applets[i]);
		fixture_add(a, &(struct item){ .name = name, .type = 'h', .data = "bin/busybox" });
	}
	add_file(a, "etc/passwd", passwd, sizeof(passwd) - 1, 0644);
	add_file(a, "etc/group", group, sizeof(group) - 1, 0644);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
	buffer_release(&busybox);
	return tar;
}

/* node_dir/image.tar */
static inline void make_archive(void)
{
	struct fixture_layer layer = { .tar = busybox_layer(), .compression = 'g' };
	char layout[96], archive[96];
	struct fixture_image image;

	(void)snprintf(layout, sizeof(layout), "%s/layout", node_dir);
	(void)snprintf(archive, sizeof(archive), "%s/image.tar", node_dir);
	assert_int_equal(mkdir(layout, 0700), 0);
#if defined(__aarch64__)
	image = fixture_image(layout, &layer, 1, "{\"Cmd\":[\"sh\"],\"Env\":[\"FROM=image\"]}", "arm64");
#else
	image = fixture_image(layout, &layer, 1, "{\"Cmd\":[\"sh\"],\"Env\":[\"FROM=image\"]}", "amd64");
#endif
	fixture_layout(layout, &image.manifest, NODE_IMAGE);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "tar", "-C", layout, "-cf", archive, ".", NULL }), 0);
	free(layer.tar.data);
}

static inline void import_image(struct fixture *f)
{
	Admin__ImportImageRequest request = ADMIN__IMPORT_IMAGE_REQUEST__INIT;
	char archive[96], name[] = NODE_IMAGE;

	(void)snprintf(archive, sizeof(archive), "%s/image.tar", node_dir);
	request.path = archive;
	request.name = name;
	call_ok(f, op_import_image, &request.base);
}

/* ---- the machine ---- */

static bool node_possible;

/* Before any thread is made: all of them are to be in the new namespaces. */
static int node_group_setup(void **state)
{
	(void)state;
	node_possible = geteuid() == 0 && access("/bin/busybox", X_OK) == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0;
	if (!node_possible)
		return 0;
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(node_dir, sizeof(node_dir), "/tmp/task-node-XXXXXX");
	assert_non_null(mkdtemp(node_dir));
	(void)snprintf(node_cgroup, sizeof(node_cgroup), "/task-unit-%d", (int)getpid());
	make_archive();
	return 0;
}

static int node_group_teardown(void **state)
{
	struct error err = ERROR_INIT;
	struct cgroup_roots *roots;

	(void)state;
	if (!node_possible)
		return 0;
	if (cgroup_roots_open("auto", &roots, &err) == 0) {
		(void)cgroup_kill(roots, node_cgroup, &err);
		(void)cgroup_remove(roots, node_cgroup, &err);
		cgroup_roots_close(roots);
	}
	return io_remove_tree(AT_FDCWD, node_dir, &err);
}

#define need_node()                                                                                                                \
	do {                                                                                                                       \
		if (!node_possible) {                                                                                              \
			print_message("skipped: needs root, /bin/busybox, and leave to make namespaces\n");                        \
			skip();                                                                                                    \
		}                                                                                                                  \
	} while (0)

static inline void set_option(struct config *config, const char *name, const char *fmt, const char *value)
{
	char text[128];
	struct error err = ERROR_INIT;

	(void)snprintf(text, sizeof(text), "%s%s", fmt, value);
	assert_ok(config_set(config, name, text, &err), &err);
}

static inline void node_start(struct fixture *f)
{
	struct error err = ERROR_INIT;

	f->closed = false;
	assert_ok(loop_init(&f->loop, NULL, NULL, &err), &err);
	assert_ok(node_open(&f->loop, &f->config, &f->node, &err), &err);
}

static void on_node_closed(void *arg)
{
	*(bool *)arg = true;
}

/* As a daemon ends: containers go on. */
static inline void node_end(struct fixture *f)
{
	node_close(f->node, on_node_closed, &f->closed);
	assert_true(turn_until(&f->loop, &f->closed, MANY_TURNS));
	node_free(f->node);
	loop_release(&f->loop);
}

/* ---- what is there, to be compared before and after ---- */

struct inventory {
	unsigned mounts, links, dirs, cgroups, fds;
};

static inline unsigned count_matching(const char *file, const char *part)
{
	struct buffer text = BUFFER_INIT((size_t)8 << 20);
	struct error err = ERROR_INIT;
	unsigned n = 0;

	assert_ok(io_read_file(AT_FDCWD, file, &text, &err), &err);
	for (const char *p = text.data ? strstr(text.data, part) : NULL; p; p = strstr(p + 1, part))
		n++;
	buffer_release(&text);
	return n;
}

static inline unsigned count_entries(const char *fmt, const char *dir)
{
	_cleanup_free_
	char *path = NULL;
	_cleanup_dir_ DIR *d = NULL;
	unsigned n = 0;

	assert_true(asprintf(&path, "%s%s", dir, fmt) > 0);
	d = opendir(path);
	for (const struct dirent *entry; d && (entry = readdir(d));)
		n += entry->d_name[0] != '.';
	return n;
}

static inline unsigned count_links(void)
{
	struct if_nameindex *list = if_nameindex();
	unsigned n = 0;

	for (const struct if_nameindex *i = list; i && i->if_index; i++)
		n++;
	if_freenameindex(list);
	return n;
}

/* Directories below the test's cgroup, in whatever hierarchy. */
static inline unsigned count_cgroups(void)
{
	static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory",
					     "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu" };
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		char path[160];
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s%s", roots[i], node_cgroup);
		n += stat(path, &st) == 0 ? 1 + (unsigned)st.st_nlink - 2 : 0;
	}
	return n;
}

static inline struct inventory take_inventory(void)
{
	return (struct inventory){
		.mounts = count_matching("/proc/self/mountinfo", node_dir),
		.links = count_links(),
		.dirs = count_entries("/state/pods", node_dir) + count_entries("/state/containers", node_dir) +
			count_entries("/root/containers", node_dir),
		.cgroups = count_cgroups(),
		.fds = count_entries("/fd", "/proc/self"),
	};
}

/* Links go with their namespace, behind our back: waits a little. */
static inline void assert_inventory(struct fixture *f, const struct inventory *before)
{
	struct inventory now = take_inventory();

	for (int i = 0; i < 300 && memcmp(&now, before, sizeof(now)) != 0; i++) {
		turn(&f->loop);
		now = take_inventory();
	}
	if (memcmp(&now, before, sizeof(now)) != 0)
		fail_msg("left behind: mounts %u/%u links %u/%u dirs %u/%u cgroups %u/%u fds %u/%u", now.mounts, before->mounts,
			 now.links, before->links, now.dirs, before->dirs, now.cgroups, before->cgroups, now.fds, before->fds);
}

/* ---- requests ---- */

struct pod_request {
	Cri__RunPodSandboxRequest request;
	Cri__PodSandboxConfig config;
	Cri__PodSandboxMetadata metadata;
	Cri__LinuxPodSandboxConfig linux;
	Cri__LinuxSandboxSecurityContext security;
	Cri__NamespaceOption namespaces;
	char logs[96], uid[16], namespace[16];
};

static inline void pod_request_init(struct pod_request *r, char *name, Cri__NamespaceMode pid)
{
	cri__run_pod_sandbox_request__init(&r->request);
	cri__pod_sandbox_config__init(&r->config);
	cri__pod_sandbox_metadata__init(&r->metadata);
	cri__linux_pod_sandbox_config__init(&r->linux);
	cri__linux_sandbox_security_context__init(&r->security);
	cri__namespace_option__init(&r->namespaces);
	(void)snprintf(r->logs, sizeof(r->logs), "%s/logs", node_dir);
	(void)snprintf(r->uid, sizeof(r->uid), "uid");
	(void)snprintf(r->namespace, sizeof(r->namespace), "test");
	r->request.config = &r->config;
	r->config.metadata = &r->metadata;
	r->config.hostname = name;
	r->config.log_directory = r->logs;
	r->config.linux = &r->linux;
	r->linux.security_context = &r->security;
	r->security.namespace_options = &r->namespaces;
	r->namespaces.pid = pid;
	r->metadata.name = name;
	r->metadata.uid = r->uid;
	r->metadata.namespace_ = r->namespace;
}

static inline void run_pod(struct fixture *f, struct pod_request *r, char id[ID_SIZE])
{
	struct test_call test;

	call_run(f, &test, op_run_pod_sandbox, &r->request.base);
	if (test.failed)
		fail_msg("%s", test.err.text);
	(void)snprintf(id, ID_SIZE, "%s", ((Cri__RunPodSandboxResponse *)test.reply)->pod_sandbox_id);
	call_end(&test);
}

static inline void stop_pod(struct fixture *f, char *id)
{
	Cri__StopPodSandboxRequest request = CRI__STOP_POD_SANDBOX_REQUEST__INIT;

	request.pod_sandbox_id = id;
	call_ok(f, op_stop_pod_sandbox, &request.base);
}

static inline void remove_pod(struct fixture *f, char *id)
{
	Cri__RemovePodSandboxRequest request = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;

	request.pod_sandbox_id = id;
	call_ok(f, op_remove_pod_sandbox, &request.base);
}

struct container_request {
	Cri__CreateContainerRequest request;
	Cri__ContainerConfig config;
	Cri__ContainerMetadata metadata;
	Cri__ImageSpec image;
	Cri__LinuxContainerConfig linux;
	Cri__LinuxContainerResources resources;
	Cri__LinuxContainerSecurityContext security;
	Cri__NamespaceOption namespaces;
	Cri__SecurityProfile seccomp;
	char image_name[64], log[64], *command[8], words[8][256];
};

/* sh -c `script` */
static inline void container_request_init(struct container_request *r, char *pod_id, char *name, const char *script,
					  Cri__NamespaceMode pid)
{
	cri__create_container_request__init(&r->request);
	cri__container_config__init(&r->config);
	cri__container_metadata__init(&r->metadata);
	cri__image_spec__init(&r->image);
	cri__linux_container_config__init(&r->linux);
	cri__linux_container_resources__init(&r->resources);
	cri__linux_container_security_context__init(&r->security);
	cri__namespace_option__init(&r->namespaces);
	cri__security_profile__init(&r->seccomp);
	(void)snprintf(r->image_name, sizeof(r->image_name), NODE_IMAGE);
	(void)snprintf(r->log, sizeof(r->log), "%s.log", name);
	(void)snprintf(r->words[0], sizeof(r->words[0]), "sh");
	(void)snprintf(r->words[1], sizeof(r->words[1]), "-c");
	(void)snprintf(r->words[2], sizeof(r->words[2]), "%s", script);
	for (size_t i = 0; i < 3; i++)
		r->command[i] = r->words[i];
	r->request.pod_sandbox_id = pod_id;
	r->request.config = &r->config;
	r->config.metadata = &r->metadata;
	r->config.image = &r->image;
	r->config.linux = &r->linux;
	r->config.command = r->command;
	r->config.n_command = 3;
	r->config.log_path = r->log;
	r->linux.resources = &r->resources;
	r->linux.security_context = &r->security;
	r->security.namespace_options = &r->namespaces;
	r->security.seccomp = &r->seccomp; /* the runtime's default */
	r->namespaces.pid = pid;
	r->metadata.name = name;
	r->image.image = r->image_name;
}

static inline void create_container(struct fixture *f, struct container_request *r, char id[ID_SIZE])
{
	struct test_call test;

	call_run(f, &test, op_create_container, &r->request.base);
	if (test.failed)
		fail_msg("%s", test.err.text);
	(void)snprintf(id, ID_SIZE, "%s", ((Cri__CreateContainerResponse *)test.reply)->container_id);
	call_end(&test);
}

static inline void start_container(struct fixture *f, char *id)
{
	Cri__StartContainerRequest request = CRI__START_CONTAINER_REQUEST__INIT;

	request.container_id = id;
	call_ok(f, op_start_container, &request.base);
}

static inline void stop_container(struct fixture *f, char *id, int64_t grace_s)
{
	Cri__StopContainerRequest request = CRI__STOP_CONTAINER_REQUEST__INIT;

	request.container_id = id;
	request.timeout = grace_s;
	call_ok(f, op_stop_container, &request.base);
}

static inline void remove_container(struct fixture *f, char *id)
{
	Cri__RemoveContainerRequest request = CRI__REMOVE_CONTAINER_REQUEST__INIT;

	request.container_id = id;
	call_ok(f, op_remove_container, &request.base);
}

/* The caller ends *test. */
static inline Cri__ContainerStatus *container_status(struct fixture *f, struct test_call *test, char *id)
{
	Cri__ContainerStatusRequest request = CRI__CONTAINER_STATUS_REQUEST__INIT;

	request.container_id = id;
	request.verbose = true;
	call_run(f, test, op_container_status, &request.base);
	if (test->failed)
		fail_msg("%s", test->err.text);
	return ((Cri__ContainerStatusResponse *)test->reply)->status;
}

/* Waits until it is EXITED; its exit code, and its reason when asked for. */
static inline int wait_exit(struct fixture *f, char *id, char reason[32])
{
	for (int i = 0; i < 1000; i++) {
		struct test_call test;
		const Cri__ContainerStatus *status = container_status(f, &test, id);
		bool exited = status->state == CRI__CONTAINER_STATE__CONTAINER_EXITED;
		int code = status->exit_code;

		if (reason)
			(void)snprintf(reason, 32, "%s", status->reason);
		call_end(&test);
		if (exited)
			return code;
		turn(&f->loop);
	}
	fail_msg("container %s does not end", id);
	return -1;
}

/* Waits until the log of that container holds the text. */
static inline void expect_log(struct fixture *f, const char *name, const char *text)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "logs/%s.log", name);
	for (int i = 0; i < 1000; i++) {
		_cleanup_free_
		char *log = fixture_read(node_dir, path);

		if (log && strstr(log, text))
			return;
		turn(&f->loop);
	}
	fail_msg("'%s' is not in the log of %s", text, name);
}

/* ---- a test ---- */

/* The first pod of a node makes the bridge, which stays: not something left behind. */
static inline void make_bridge(struct fixture *f)
{
	char name[] = "first", id[ID_SIZE];
	struct pod_request pod;

	if (count_links() > 1)
		return;
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, id);
	stop_pod(f, id);
	remove_pod(f, id);
	for (int i = 0; i < 300 && count_links() > 2; i++) /* its own link goes with its namespace, a little later */
		turn(&f->loop);
}

/* The first look at each network opens descriptors for a moment, which would stand in an inventory. */
static inline void settle_networks(struct fixture *f)
{
	struct network *networks = f->node->networks;
	bool settled = false;

	for (int i = 0; i < 300 && !settled; i++) {
		settled = !networks[NETWORK_CNI].sweep;
		for (int kind = 0; kind < NETWORK_COUNT; kind++)
			settled = settled && networks[kind].checked_us != 0;
		if (!settled)
			turn(&f->loop);
	}
	assert_true(settled);
}

static inline int node_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = ERROR_INIT;

	*state = f;
	if (!node_possible)
		return 0;
	assert_ok(config_init(&f->config, &err), &err);
	set_option(&f->config, "server.root_dir", node_dir, "/root");
	set_option(&f->config, "server.state_dir", node_dir, "/state");
	set_option(&f->config, "net.bridge", "", "taskunit0");
	set_option(&f->config, "net.cni_conf_dir", node_dir, "/net.d");
	set_option(&f->config, "net.pod_cidr", "", "10.245.7.0/24");
	set_option(&f->config, "runtime.cgroup_parent", "", node_cgroup);
	node_start(f);
	import_image(f);
	make_bridge(f);
	settle_networks(f);
	return 0;
}

static inline int node_teardown(void **state)
{
	struct fixture *f = *state;

	if (node_possible) {
		node_end(f);
		config_release(&f->config);
	}
	free(f);
	return 0;
}

#endif
