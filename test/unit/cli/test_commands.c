/* The command as a whole, in a process of its own, against a server of canned answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/config.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/command.h"
#include "grpc_peer.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

#define CONTAINER_ID "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"

/* One container named main in one pod named web, and what was asked last. */
struct world {
	char log_path[64];
	char last_path[128];
	int exec_exit_code;
	struct peer_reply forced; /* when its status is not 0, every answer */
	struct peer_reply pulled;
	uint8_t data[4096];
};

static struct peer_reply reply_with(struct world *w, const ProtobufCMessage *message)
{
	assert_true(protobuf_c_message_get_packed_size(message) <= sizeof(w->data));
	return (struct peer_reply){ .data = w->data, .len = protobuf_c_message_pack(message, w->data) };
}

static char container_id[] = CONTAINER_ID;
static char pod_id[] = "0000111122223333";
static char container_name[] = "main";
static char pod_name[] = "web";

static struct peer_reply list_containers(struct world *w)
{
	Cri__ContainerMetadata metadata = CRI__CONTAINER_METADATA__INIT;
	Cri__Container container = CRI__CONTAINER__INIT;
	Cri__Container *containers[] = { &container };
	Cri__ListContainersResponse list = CRI__LIST_CONTAINERS_RESPONSE__INIT;

	metadata.name = container_name;
	container.metadata = &metadata;
	container.id = container_id;
	container.pod_sandbox_id = pod_id;
	container.state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	list.containers = containers;
	list.n_containers = 1;
	return reply_with(w, &list.base);
}

static struct peer_reply list_pods(struct world *w)
{
	Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__PodSandbox pod = CRI__POD_SANDBOX__INIT;
	Cri__PodSandbox *pods[] = { &pod };
	Cri__ListPodSandboxResponse list = CRI__LIST_POD_SANDBOX_RESPONSE__INIT;

	metadata.name = pod_name;
	pod.metadata = &metadata;
	pod.id = pod_id;
	list.items = pods;
	list.n_items = 1;
	return reply_with(w, &list.base);
}

static struct peer_reply exec_sync(struct world *w)
{
	static uint8_t text[] = "to stdout\n";
	Cri__ExecSyncResponse reply = CRI__EXEC_SYNC_RESPONSE__INIT;

	reply.stdout.data = text;
	reply.stdout.len = sizeof(text) - 1;
	reply.exit_code = w->exec_exit_code;
	return reply_with(w, &reply.base);
}

static struct peer_reply container_status_reply(struct world *w)
{
	Cri__ContainerStatus status = CRI__CONTAINER_STATUS__INIT;
	Cri__ContainerStatusResponse reply = CRI__CONTAINER_STATUS_RESPONSE__INIT;
	Cri__ContainerStatusResponse__InfoEntry info = CRI__CONTAINER_STATUS_RESPONSE__INFO_ENTRY__INIT;
	Cri__ContainerStatusResponse__InfoEntry *infos[] = { &info };
	static char key[] = "info";
	static char value[] = "{\"timeline\":{\"totalUs\":700,\"steps\":[{\"name\":\"plan\",\"startUs\":0,\"tookUs\":200}]}}";

	info.key = key;
	info.value = value;
	status.id = container_id;
	status.log_path = w->log_path;
	status.state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
	reply.status = &status;
	reply.info = infos;
	reply.n_info = 1;
	return reply_with(w, &reply.base);
}

static struct peer_reply list_machines(struct world *w)
{
	static char machine_name[] = "run_pod";
	static char step_name[] = "netns";
	Admin__Step step = ADMIN__STEP__INIT;
	Admin__Step *steps[] = { &step };
	Admin__Machine machine = ADMIN__MACHINE__INIT;
	Admin__Machine *machines[] = { &machine };
	Admin__ListMachinesResponse reply = ADMIN__LIST_MACHINES_RESPONSE__INIT;

	step.name = step_name;
	step.has_undo = true;
	step.deadline_ms = 1000;
	machine.name = machine_name;
	machine.steps = steps;
	machine.n_steps = 1;
	reply.machines = machines;
	reply.n_machines = 1;
	return reply_with(w, &reply.base);
}

/* Two events of the one container: it stops, and it is deleted. */
static struct peer_reply container_events(struct world *w)
{
	static char reason[] = "OOM\033Killed", namespace[] = "default";
	Cri__ContainerMetadata metadata = CRI__CONTAINER_METADATA__INIT;
	Cri__ContainerStatus status = CRI__CONTAINER_STATUS__INIT, *statuses[] = { &status };
	Cri__PodSandboxMetadata pod_metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__PodSandboxStatus pod = CRI__POD_SANDBOX_STATUS__INIT;
	Cri__ContainerEventResponse event = CRI__CONTAINER_EVENT_RESPONSE__INIT;
	struct peer_reply reply = { .data = w->data, .raw = true };

	metadata.name = container_name;
	status.id = container_id;
	status.metadata = &metadata;
	status.exit_code = 137;
	status.reason = reason;
	pod_metadata.name = pod_name;
	pod_metadata.namespace_ = namespace;
	pod.id = pod_id;
	pod.metadata = &pod_metadata;
	event.container_id = container_id;
	event.created_at = INT64_C(1700000000123456789);
	event.pod_sandbox_status = &pod;
	event.containers_statuses = statuses;
	for (int i = 0; i < 2; i++) {
		size_t len = 0;

		event.n_containers_statuses = i == 0;
		event.container_event_type = i == 0 ? CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT
						    : CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT;
		assert_true(reply.len + 5 + cri__container_event_response__get_packed_size(&event) <= sizeof(w->data));
		len = cri__container_event_response__pack(&event, w->data + reply.len + 5);
		memcpy(w->data + reply.len, (uint8_t[]){ 0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len }, 5);
		reply.len += 5 + len;
	}
	return reply;
}

static struct peer_reply handle(void *arg, const struct peer_call *call)
{
	static const struct {
		const char *path;
		struct peer_reply (*answer)(struct world *w);
	} methods[] = {
		{ "/runtime.v1.RuntimeService/ListContainers", list_containers },
		{ "/runtime.v1.RuntimeService/ListPodSandbox", list_pods },
		{ "/runtime.v1.RuntimeService/ExecSync", exec_sync },
		{ "/runtime.v1.RuntimeService/ContainerStatus", container_status_reply },
		{ "/runtime.v1.RuntimeService/GetContainerEvents", container_events },
		{ "/monopod.v1.Admin/ListMachines", list_machines },
	};
	struct world *w = arg;

	(void)snprintf(w->last_path, sizeof(w->last_path), "%s", call->path);
	if (w->forced.status)
		return w->forced;
	if (strstr(call->path, "Admin/PullImage"))
		return w->pulled;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].path, call->path) == 0)
			return methods[i].answer(w);
	}
	return (struct peer_reply){ 0 };
}

struct fixture {
	struct world world;
	struct peer peer;
	char out[16384];
	char err[4096];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f ? peer_open(&f->peer, handle, &f->world) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void)unlink(f->world.log_path);
	peer_close(&f->peer);
	free(f);
	return 0;
}

static void read_back(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	(void)close(fd);
}

static int memory_file(void)
{
	return memfd_create("output", MFD_CLOEXEC);
}

/* In place of the daemon. */
static int say_configuration(struct config *config, struct error *err)
{
	(void)err;
	(void)printf("%s %s %s\n", config->socket, config->log_level, config->mtu);
	return 0;
}

#define COMMAND_NAME "monopod"

/*
 * Runs `monopod --socket PEER WORDS...` in a child; words end with NULL. Returns its exit code.
 *
 * The child is this program anew, and main() sees by its name what it is to be: after a bare fork it would find the locks of the
 * sanitizer's allocator as the peer's thread held them in that moment.
 */
static int run(struct fixture *f, const char *const *words)
{
	char *argv[16] = { (char *)(uintptr_t)COMMAND_NAME, (char *)(uintptr_t) "--socket", f->peer.path };
	int out = memory_file();
	int err = memory_file();
	int argc = 3;
	int status = 0;
	posix_spawn_file_actions_t actions;
	pid_t pid;

	for (int i = 0; words[i]; i++)
		argv[argc++] = (char *)(uintptr_t)words[i];
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO), 0);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
	(void)posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	read_back(out, f->out, sizeof(f->out));
	read_back(err, f->err, sizeof(f->err));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define RUN(f, ...) run((f), (const char *const[]){ __VA_ARGS__, NULL })

static void test_help_and_usage(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "help"), 0);
	assert_non_null(strstr(f->out, "inspect"));
	assert_int_equal(RUN(f, "--help"), 0);
	assert_int_equal(RUN(f, "nonsense"), 2);
	assert_non_null(strstr(f->err, "nonsense"));
	assert_int_equal(RUN(f, "ps", "--nonsense"), 2);
	assert_int_equal(RUN(f, "ps", "extra"), 2);
	assert_int_equal(RUN(f, "exec", "main"), 2);
	assert_int_equal(RUN(f, "-o", "xml", "ps"), 2);
}

/* The daemon is somebody else's: here it says what it would be run with. */
static void test_serve_reads_its_command_line(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/cli-test-conf-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "[server]\nlog_level = error\n[net]\nmtu = 1400\n") > 0);
	(void)close(fd);
	assert_int_equal(RUN(f, "--socket", "/run/x.sock", "serve"), 0);
	assert_string_equal(f->out, "/run/x.sock info auto\n");
	assert_int_equal(RUN(f, "serve", "--log-level", "debug", "--socket=/run/y.sock"), 0);
	assert_string_equal(f->out, "/run/y.sock debug auto\n");
	assert_int_equal(RUN(f, "serve", "--set", "server.log_level=warn", "--set=net.mtu=9000", "--socket", "/run/z.sock",
			     "--config", path),
			 0);
	assert_string_equal(f->out, "/run/z.sock warn 9000\n");
	assert_int_equal(RUN(f, "--socket", "/run/x.sock", "--config", path, "serve"), 0);
	assert_string_equal(f->out, "/run/x.sock error 1400\n");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(RUN(f, "serve", "--config", path), 1);
	assert_int_equal(RUN(f, "serve", "--set", "net.mtu"), 2);
	assert_int_equal(RUN(f, "serve", "--log-level", "loud"), 2);
	assert_int_equal(RUN(f, "serve", "extra"), 2);
}

static void test_every_command_explains_itself(void **state)
{
	struct fixture *f = *state;

	for (const struct command *const *c = commands; *c; c++) {
		char usage[64];
		char page[64];

		(void)snprintf(usage, sizeof(usage), "usage: monopod %s", (*c)->name);
		(void)snprintf(page, sizeof(page), "\nmonopod\\-%s \\- ", (*c)->name);
		assert_int_equal(RUN(f, (*c)->name, "--help"), 0);
		assert_memory_equal(f->out, usage, strlen(usage));
		assert_int_equal(RUN(f, "help", "--roff", (*c)->name), 0);
		assert_non_null(strstr(f->out, page));
		assert_memory_equal(f->out, ".TH ", 4);
	}
	assert_int_equal(RUN(f, "help", "--roff", "monopod.conf"), 0);
	assert_non_null(strstr(f->out, "pod_cidr"));
}

static void test_lists(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "ps"), 0);
	assert_non_null(strstr(f->out, "abcdef012345  main  running"));
	assert_int_equal(RUN(f, "ps", "-q"), 0);
	assert_string_equal(f->out, CONTAINER_ID "\n");
	assert_int_equal(RUN(f, "ps", "-o", "json"), 0);
	assert_non_null(strstr(f->out, "\"state\":\t\"CONTAINER_RUNNING\""));
	assert_int_equal(RUN(f, "pods"), 0);
	assert_non_null(strstr(f->out, "web"));
}

static void test_exec_gives_the_code_back(void **state)
{
	struct fixture *f = *state;

	f->world.exec_exit_code = 42;
	assert_int_equal(RUN(f, "exec", "main", "sh", "-c", "exit 42"), 42);
	assert_string_equal(f->out, "to stdout\n");
	assert_int_equal(RUN(f, "exec", "abc", "--", "true"), 42);
	assert_int_equal(RUN(f, "exec", "nobody", "true"), 125);
	assert_non_null(strstr(f->err, "nobody"));
	f->world.forced = (struct peer_reply){ .status = 9, .message = "the container has ended" };
	assert_int_equal(RUN(f, "exec", "main", "true"), 125);
	assert_non_null(strstr(f->err, "the container has ended"));
}

static void test_logs(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "2020-01-01T00:00:00Z stdout F one\n2020-01-01T00:00:01Z stderr F two\n";
	int fd;

	(void)snprintf(f->world.log_path, sizeof(f->world.log_path), "%s.log", f->peer.dir);
	fd = open(f->world.log_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	(void)close(fd);
	assert_int_equal(RUN(f, "logs", "main"), 0);
	assert_string_equal(f->out, "one\n");
	assert_string_equal(f->err, "two\n");
	assert_int_equal(RUN(f, "logs", "-n", "1", "main"), 0);
	assert_string_equal(f->out, "");
	/* It has ended: following ends too. */
	assert_int_equal(RUN(f, "logs", "-f", "main"), 0);
	assert_string_equal(f->out, "one\n");
	assert_int_equal(RUN(f, "logs", "--since", "2020-01-01T00:00:01Z", "main"), 0);
	assert_string_equal(f->out, "");
	assert_int_equal(RUN(f, "logs", "--since", "yesterday", "main"), 2);
	assert_int_equal(RUN(f, "logs", "--tail", "-1", "main"), 2);
}

static void test_events(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "events"), 0);
	assert_non_null(strstr(f->out, "TIME "));
	assert_non_null(strstr(f->out, "2023-11-14T22:13:20.123Z  stopped  container  abcdef012345  default/web"));
	assert_non_null(strstr(f->out, "main              exit 137 OOM?Killed\n"));
	assert_non_null(strstr(f->out, "deleted  container  abcdef012345  default/web                   main"));
	assert_int_equal(RUN(f, "events", "--count", "1"), 0);
	assert_null(strstr(f->out, "deleted"));
	assert_int_equal(RUN(f, "-o", "json", "events", "-n", "1"), 0);
	assert_non_null(strstr(f->out, "\"containerEventType\":\"CONTAINER_STOPPED_EVENT\""));
	assert_ptr_equal(strchr(f->out, '\n'), f->out + strlen(f->out) - 1); /* one line */
	f->world.forced = (struct peer_reply){ .status = 14, .message = "the daemon is shutting down" };
	assert_int_equal(RUN(f, "events"), 1);
	assert_non_null(strstr(f->err, "the daemon is shutting down"));
}

static void test_trace_and_explain(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "trace", "web"), 0);
	assert_non_null(strstr(f->out, "container abcdef012345 main: 700 us"));
	assert_non_null(strstr(f->out, "plan"));
	assert_int_equal(RUN(f, "trace", "--chrome", "web"), 0);
	assert_non_null(strstr(f->out, "\"ph\":\t\"X\""));
	assert_int_equal(RUN(f, "explain", "machines"), 0);
	assert_non_null(strstr(f->out, "run_pod  netns  yes     1000 ms"));
	assert_int_equal(RUN(f, "explain", "machines", "other"), 1);
}

static void test_inspect_unfolds_info(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "inspect", "main"), 0);
	assert_non_null(strstr(f->out, "\"totalUs\":\t700"));
	assert_int_equal(RUN(f, "inspect", "-t", "image", "main"), 1);
	assert_int_equal(RUN(f, "inspect", "-t", "planet", "main"), 2);
	assert_int_equal(RUN(f, "inspect", "nobody"), 1);
}

static void test_pull(void **state)
{
	static char digest[] = "sha256:0123456789abcdef", id[] = "sha256:fedcba";
	struct fixture *f = *state;
	Admin__LayerProgress layer = ADMIN__LAYER_PROGRESS__INIT, *layers[] = { &layer };
	Admin__PullImageResponse told = ADMIN__PULL_IMAGE_RESPONSE__INIT;
	size_t len;

	layer.digest = digest;
	layer.state = ADMIN__LAYER_STATE__LAYER_EXISTS;
	told.layers = layers;
	told.n_layers = 1;
	told.image_ref = id;
	len = admin__pull_image_response__pack(&told, f->world.data + 5);
	memcpy(f->world.data, (uint8_t[]){ 0, 0, 0, 0, (uint8_t)len }, 5);
	f->world.pulled = (struct peer_reply){ .raw = true, .data = f->world.data, .len = len + 5 };
	assert_int_equal(RUN(f, "pull", "busybox"), 0);
	assert_memory_equal(f->out, "pulled busybox as sha256:fedcba in ", 35);
	assert_string_equal(f->err, "layer 0123456789ab: exists\n");
	assert_int_equal(RUN(f, "pull", "-q", "busybox", "other"), 0);
	assert_string_equal(f->out, "sha256:fedcba\nsha256:fedcba\n");
	assert_string_equal(f->err, "");
	assert_int_equal(RUN(f, "-o", "json", "pull", "busybox"), 0);
	assert_non_null(strstr(f->out, "\"imageRef\":\t\"sha256:fedcba\""));
	f->world.pulled.len = 0; /* it ends well and says nothing */
	assert_int_equal(RUN(f, "pull", "busybox"), 1);
}

static void test_errors_of_the_daemon(void **state)
{
	struct fixture *f = *state;

	f->world.forced = (struct peer_reply){ .status = 8, .message = "the disk is full" };
	assert_int_equal(RUN(f, "pull", "busybox"), 1);
	assert_non_null(strstr(f->err, "monopod pull: PullImage: the disk is full"));
	assert_string_equal(f->world.last_path, "/monopod.v1.Admin/PullImage");
	assert_int_equal(RUN(f, "pull", "first", "second"), 1); /* each says why */
	assert_non_null(strstr(strstr(f->err, "the disk is full") + 1, "the disk is full"));
	f->world.forced = (struct peer_reply){ .status = 0 };
	assert_int_equal(RUN(f, "pull", "-u", "me", "busybox"), 2);
	assert_int_equal(RUN(f, "rmi", "busybox"), 1);
}

static void test_configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, "config", "default"), 0);
	assert_non_null(strstr(f->out, "[net]"));
	assert_int_equal(RUN(f, "config", "check", "/nonexistent"), 1);
	assert_int_equal(RUN(f, "--config", "/nonexistent", "ps"), 1);
	assert_non_null(strstr(f->err, "/nonexistent"));
	assert_int_equal(RUN(f, "config", "other"), 2);
}

int main(int argc, char **argv)
{
#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_PEER(test_help_and_usage),
		WITH_PEER(test_serve_reads_its_command_line),
		WITH_PEER(test_every_command_explains_itself),
		WITH_PEER(test_lists),
		WITH_PEER(test_exec_gives_the_code_back),
		WITH_PEER(test_logs),
		WITH_PEER(test_events),
		WITH_PEER(test_trace_and_explain),
		WITH_PEER(test_inspect_unfolds_info),
		WITH_PEER(test_pull),
		WITH_PEER(test_errors_of_the_daemon),
		WITH_PEER(test_configuration),
	};

	if (strcmp(argv[0], COMMAND_NAME) == 0)
		return cli_main(argc, argv, say_configuration);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
