#include "pod_cycle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/grpc_client.h"
#include "proto/cri.pb-c.h"

/* A call that takes longer is a result too, but not one worth waiting for. */
#define CALL_TIMEOUT_MS 120000

/* From StartContainer's return; a shell that prints one line needs milliseconds. */
#define LINE_TIMEOUT_MS 30000

const char *const phase_names[PHASE_COUNT] = {
	[PHASE_RUN_POD] = "RunPodSandbox",    [PHASE_CREATE] = "CreateContainer",  [PHASE_START] = "StartContainer",
	[PHASE_LINE] = "start to first line", [PHASE_TOTAL] = "pod to first line", [PHASE_EXEC] = "ExecSync true",
	[PHASE_STOP] = "StopContainer",       [PHASE_STOP_POD] = "StopPodSandbox", [PHASE_REMOVE_POD] = "RemovePodSandbox",
};

int pod_client_open(struct pod_client *client, const char *socket, enum rpc_api api, struct error *err)
{
	*client = (struct pod_client){ .rpc = { .api = api, .timeout_ms = CALL_TIMEOUT_MS }, .watch = -1 };
	client->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (client->notify < 0)
		return error_sys(err, errno, "make an inotify instance");
	return grpc_client_open(socket, &client->rpc.client, err);
}

void pod_client_close(struct pod_client *client)
{
	grpc_client_close(client->rpc.client);
	client->rpc.client = NULL;
	close_fd(&client->notify);
}

/* ---- the first line ---- */

static bool has_line(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[512];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	return n > 0 && memchr(text, '\n', (size_t)n);
}

static void on_log_event(void *arg)
{
	struct pod_client *client = arg;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(client->notify, events, sizeof(events)) > 0) {
	}
	if (!client->line_us && has_line(client->log_path))
		client->line_us = clock_monotonic_us();
}

static int watch_begin(struct pod_client *client, const struct bench_pod *pod, struct error *err)
{
	client->line_us = 0;
	(void)snprintf(client->log_path, sizeof(client->log_path), "%.480s/0.log", pod->log_dir);
	client->watch = inotify_add_watch(client->notify, pod->log_dir, IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR);
	if (client->watch < 0)
		return error_sys(err, errno, "watch %s", pod->log_dir);
	grpc_client_watch(client->rpc.client, client->notify, on_log_event, client);
	return 0;
}

static void watch_end(struct pod_client *client)
{
	grpc_client_watch(client->rpc.client, -1, NULL, NULL);
	if (client->watch >= 0)
		(void)inotify_rm_watch(client->notify, client->watch);
	client->watch = -1;
	/* The removal itself is an event, which the next pod must not take for one of its own. */
	on_log_event(client);
}

static int wait_for_line(struct pod_client *client, struct error *err)
{
	int64_t deadline_us = clock_monotonic_us() + (int64_t)LINE_TIMEOUT_MS * 1000;

	while (!client->line_us) {
		struct pollfd fd = { .fd = client->notify, .events = POLLIN };
		int64_t left_us = deadline_us - clock_monotonic_us();

		if (left_us <= 0)
			return error_set(err, ERR_DEADLINE, "no line in %s", client->log_path);
		if (poll(&fd, 1, (int)(left_us / 1000) + 1) < 0 && errno != EINTR)
			return error_sys(err, errno, "wait for a line");
		on_log_event(client);
	}
	return 0;
}

/* ---- requests ---- */

/* One pod's configurations, on the stack of the caller. Strings are the plan's, the pod's, or in here. */
struct pod_request {
	char name[32];
	char uid[64];
	char label_key[32];
	char command_words[2][4];
	char *command[3];
	Cri__PodSandboxMetadata metadata;
	Cri__PodSandboxConfig__LabelsEntry label;
	Cri__PodSandboxConfig__LabelsEntry *labels[1];
	Cri__NamespaceOption namespaces;
	Cri__SecurityProfile seccomp;
	Cri__LinuxSandboxSecurityContext pod_security;
	Cri__LinuxPodSandboxConfig pod_linux;
	Cri__PodSandboxConfig pod;
	Cri__ContainerMetadata container_metadata;
	Cri__ImageSpec image;
	Cri__LinuxContainerSecurityContext security;
	Cri__LinuxContainerConfig container_linux;
	Cri__ContainerConfig container;
};

static char default_namespace[] = "bench";
static char container_name[] = "main";
static char log_name[] = "0.log";

static void fill_pod(struct pod_request *r, const struct pod_plan *plan, struct bench_pod *pod)
{
	cri__pod_sandbox_metadata__init(&r->metadata);
	cri__pod_sandbox_config__labels_entry__init(&r->label);
	cri__linux_sandbox_security_context__init(&r->pod_security);
	cri__linux_pod_sandbox_config__init(&r->pod_linux);
	cri__pod_sandbox_config__init(&r->pod);
	r->metadata.name = r->name;
	r->metadata.uid = r->uid;
	r->metadata.namespace_ = default_namespace;
	r->label.key = r->label_key;
	r->label.value = (char *)(uintptr_t)plan->run_label;
	r->labels[0] = &r->label;
	r->pod_security.namespace_options = &r->namespaces;
	r->pod_security.seccomp = &r->seccomp;
	r->pod_linux.security_context = &r->pod_security;
	r->pod.metadata = &r->metadata;
	r->pod.hostname = plan->host_network ? r->pod.hostname : r->name;
	r->pod.log_directory = pod->log_dir;
	r->pod.labels = r->labels;
	r->pod.n_labels = 1;
	r->pod.linux = &r->pod_linux;
}

static void fill_container(struct pod_request *r, const struct pod_plan *plan)
{
	cri__container_metadata__init(&r->container_metadata);
	cri__image_spec__init(&r->image);
	cri__linux_container_security_context__init(&r->security);
	cri__linux_container_config__init(&r->container_linux);
	cri__container_config__init(&r->container);
	r->container_metadata.name = container_name;
	r->image.image = plan->image;
	r->security.namespace_options = &r->namespaces;
	r->security.seccomp = &r->seccomp;
	r->container_linux.security_context = &r->security;
	r->command[0] = r->command_words[0];
	r->command[1] = r->command_words[1];
	r->command[2] = plan->command;
	r->container.metadata = &r->container_metadata;
	r->container.image = &r->image;
	r->container.command = r->command;
	r->container.n_command = ARRAY_SIZE(r->command);
	r->container.log_path = log_name;
	r->container.linux = &r->container_linux;
}

static void fill_request(struct pod_request *r, const struct pod_plan *plan, struct bench_pod *pod)
{
	*r = (struct pod_request){ .label_key = BENCH_LABEL, .command_words = { "sh", "-c" } };
	(void)snprintf(r->name, sizeof(r->name), "bench-%u", pod->number);
	(void)snprintf(r->uid, sizeof(r->uid), "%s-%u", plan->run_label, pod->number);
	cri__namespace_option__init(&r->namespaces);
	cri__security_profile__init(&r->seccomp);
	r->namespaces.network = plan->host_network ? CRI__NAMESPACE_MODE__NODE : CRI__NAMESPACE_MODE__POD;
	r->namespaces.pid = CRI__NAMESPACE_MODE__CONTAINER;
	r->seccomp.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	fill_pod(r, plan, pod);
	fill_container(r, plan);
}

/* ---- calls ---- */

static ProtobufCMessage *timed_call(struct pod_client *client, const char *method, const ProtobufCMessage *request,
				    struct samples *samples, struct error *err)
{
	int64_t began_us = clock_monotonic_us();
	ProtobufCMessage *reply = rpc_call(&client->rpc, method, request, err);

	if (reply && samples_add(samples, clock_monotonic_us() - began_us, err) < 0) {
		protobuf_c_message_free_unpacked(reply, NULL);
		return NULL;
	}
	return reply;
}

static int copy_id(char *to, size_t size, const char *id, struct error *err)
{
	if (!id || !id[0] || strlen(id) >= size)
		return error_set(err, ERR_INTERNAL, "the reply holds no usable id");
	memcpy(to, id, strlen(id) + 1);
	return 0;
}

static int call_run_pod(struct pod_client *client, struct pod_request *r, struct bench_pod *pod, struct samples *samples,
			struct error *err)
{
	Cri__RunPodSandboxRequest request = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
	_cleanup_message_ Cri__RunPodSandboxResponse *reply = NULL;

	request.config = &r->pod;
	reply = (Cri__RunPodSandboxResponse *)timed_call(client, "RunPodSandbox", &request.base, samples, err);
	return reply ? copy_id(pod->pod_id, sizeof(pod->pod_id), reply->pod_sandbox_id, err) : -1;
}

static int call_create(struct pod_client *client, struct pod_request *r, struct bench_pod *pod, struct samples *samples,
		       struct error *err)
{
	Cri__CreateContainerRequest request = CRI__CREATE_CONTAINER_REQUEST__INIT;
	_cleanup_message_ Cri__CreateContainerResponse *reply = NULL;

	request.pod_sandbox_id = pod->pod_id;
	request.config = &r->container;
	request.sandbox_config = &r->pod;
	reply = (Cri__CreateContainerResponse *)timed_call(client, "CreateContainer", &request.base, samples, err);
	return reply ? copy_id(pod->container_id, sizeof(pod->container_id), reply->container_id, err) : -1;
}

static int call_start(struct pod_client *client, struct bench_pod *pod, struct samples *samples, struct error *err)
{
	Cri__StartContainerRequest request = CRI__START_CONTAINER_REQUEST__INIT;
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	request.container_id = pod->container_id;
	reply = timed_call(client, "StartContainer", &request.base, samples, err);
	return reply ? 0 : -1;
}

static int call_exec(struct pod_client *client, struct bench_pod *pod, struct samples *samples, struct error *err)
{
	static char program[] = "true";
	char *words[] = { program };
	Cri__ExecSyncRequest request = CRI__EXEC_SYNC_REQUEST__INIT;
	_cleanup_message_ Cri__ExecSyncResponse *reply = NULL;

	request.container_id = pod->container_id;
	request.cmd = words;
	request.n_cmd = 1;
	reply = (Cri__ExecSyncResponse *)timed_call(client, "ExecSync", &request.base, samples, err);
	if (reply && reply->exit_code != 0)
		return error_set(err, ERR_INTERNAL, "true ended with exit code %d", reply->exit_code);
	return reply ? 0 : -1;
}

static int call_stop_container(struct pod_client *client, struct bench_pod *pod, struct samples *samples, struct error *err)
{
	Cri__StopContainerRequest request = CRI__STOP_CONTAINER_REQUEST__INIT;
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	request.container_id = pod->container_id;
	reply = timed_call(client, "StopContainer", &request.base, samples, err);
	return reply ? 0 : -1;
}

static int call_stop_pod(struct pod_client *client, char *pod_id, struct samples *samples, struct error *err)
{
	Cri__StopPodSandboxRequest request = CRI__STOP_POD_SANDBOX_REQUEST__INIT;
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	request.pod_sandbox_id = pod_id;
	reply = timed_call(client, "StopPodSandbox", &request.base, samples, err);
	return reply ? 0 : -1;
}

static int call_remove_pod(struct pod_client *client, char *pod_id, struct samples *samples, struct error *err)
{
	Cri__RemovePodSandboxRequest request = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	request.pod_sandbox_id = pod_id;
	reply = timed_call(client, "RemovePodSandbox", &request.base, samples, err);
	return reply ? 0 : -1;
}

/* ---- the cycle ---- */

/* Best effort: an error is on its way already. */
static void undo_start(struct pod_client *client, struct bench_pod *pod)
{
	struct samples ignored = { 0 };
	struct error later = ERROR_INIT;

	if (pod->pod_id[0]) {
		(void)call_stop_pod(client, pod->pod_id, &ignored, &later);
		(void)call_remove_pod(client, pod->pod_id, &ignored, &later);
	}
	(void)io_remove_tree(AT_FDCWD, pod->log_dir, &later);
	samples_release(&ignored);
}

static int start_calls(struct pod_client *client, struct pod_request *r, struct bench_pod *pod, struct samples *phases,
		       struct error *err)
{
	int64_t began_us = clock_monotonic_us();
	int64_t start_us;

	if (call_run_pod(client, r, pod, &phases[PHASE_RUN_POD], err) < 0 ||
	    call_create(client, r, pod, &phases[PHASE_CREATE], err) < 0)
		return -1;
	start_us = clock_monotonic_us();
	if (call_start(client, pod, &phases[PHASE_START], err) < 0 || wait_for_line(client, err) < 0)
		return -1;
	if (samples_add(&phases[PHASE_LINE], client->line_us - start_us, err) < 0)
		return -1;
	return samples_add(&phases[PHASE_TOTAL], client->line_us - began_us, err);
}

int pod_start(struct pod_client *client, const struct pod_plan *plan, struct bench_pod *pod, struct samples phases[PHASE_COUNT],
	      struct error *err)
{
	struct pod_request r;
	int status;

	pod->pod_id[0] = pod->container_id[0] = '\0';
	(void)snprintf(pod->log_dir, sizeof(pod->log_dir), "%.400s/%u", plan->log_root, pod->number);
	fill_request(&r, plan, pod);
	if (io_make_dirs(pod->log_dir, 0755, err) < 0)
		return -1;
	status = watch_begin(client, pod, err);
	if (status == 0)
		status = start_calls(client, &r, pod, phases, err);
	watch_end(client);
	if (status == 0 && plan->exec)
		status = call_exec(client, pod, &phases[PHASE_EXEC], err);
	if (status < 0)
		undo_start(client, pod);
	return status;
}

int pod_end(struct pod_client *client, struct bench_pod *pod, struct samples phases[PHASE_COUNT], struct error *err)
{
	if (call_stop_container(client, pod, &phases[PHASE_STOP], err) < 0 ||
	    call_stop_pod(client, pod->pod_id, &phases[PHASE_STOP_POD], err) < 0 ||
	    call_remove_pod(client, pod->pod_id, &phases[PHASE_REMOVE_POD], err) < 0)
		return -1;
	pod->pod_id[0] = '\0';
	return io_remove_tree(AT_FDCWD, pod->log_dir, err);
}

int pods_sweep(struct pod_client *client, const char *run_label, struct error *err)
{
	Cri__ListPodSandboxRequest request = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;
	Cri__PodSandboxFilter__LabelSelectorEntry label = CRI__POD_SANDBOX_FILTER__LABEL_SELECTOR_ENTRY__INIT;
	Cri__PodSandboxFilter__LabelSelectorEntry *labels[] = { &label };
	_cleanup_message_ Cri__ListPodSandboxResponse *list = NULL;
	struct samples ignored = { 0 };
	char key[] = BENCH_LABEL;
	int status = 0;

	label.key = key;
	label.value = (char *)(uintptr_t)run_label;
	filter.label_selector = labels;
	filter.n_label_selector = 1;
	request.filter = &filter;
	list = (Cri__ListPodSandboxResponse *)rpc_call(&client->rpc, "ListPodSandbox", &request.base, err);
	if (!list)
		return -1;
	for (size_t i = 0; i < list->n_items && status == 0; i++) {
		status = call_stop_pod(client, list->items[i]->id, &ignored, err);
		if (status == 0)
			status = call_remove_pod(client, list->items[i]->id, &ignored, err);
	}
	samples_release(&ignored);
	return status < 0 ? -1 : (int)list->n_items;
}

int pod_image_ensure(struct pod_client *client, char *image, struct error *err)
{
	Cri__ImageStatusRequest lookup = CRI__IMAGE_STATUS_REQUEST__INIT;
	Cri__PullImageRequest pull = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	_cleanup_message_ Cri__ImageStatusResponse *status = NULL;
	_cleanup_message_ ProtobufCMessage *pulled = NULL;

	spec.image = image;
	lookup.image = pull.image = &spec;
	status = (Cri__ImageStatusResponse *)rpc_call(&client->rpc, "ImageStatus", &lookup.base, err);
	if (!status || status->image)
		return status ? 0 : -1;
	pulled = rpc_call(&client->rpc, "PullImage", &pull.base, err);
	return pulled ? 0 : -1;
}
