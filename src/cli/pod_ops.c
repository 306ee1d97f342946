#include "cli/pod_ops.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "cli/command.h"
#include "cli/find.h"

/* On top of a container's grace: what ending it may take. */
#define STOP_MARGIN_MS 60000

int find_target(struct cli *cli, const char *reference, enum target_kind wanted, struct target *ret_target, struct error *err)
{
	struct error miss = ERROR_INIT;

	*ret_target = (struct target){ .kind = TARGET_POD };
	if (wanted != TARGET_CONTAINER) {
		if (find_pod(cli, reference, &ret_target->id, &miss) == 0)
			return 0;
		if (wanted == TARGET_POD || miss.code != ERR_NOT_FOUND) {
			*err = miss;
			return -1;
		}
	}
	ret_target->kind = TARGET_CONTAINER;
	if (find_container(cli, reference, &ret_target->id, err) == 0)
		return 0;
	if (wanted == TARGET_ANY && err->code == ERR_NOT_FOUND)
		return error_set(err, ERR_NOT_FOUND, "there is no pod or container '%s'", reference);
	return -1;
}

Cri__PodSandboxStatusResponse *pod_status(struct cli *cli, const char *id, bool verbose, struct error *err)
{
	Cri__PodSandboxStatusRequest request = CRI__POD_SANDBOX_STATUS_REQUEST__INIT;

	request.pod_sandbox_id = arena_strdup(&cli->arena, id);
	request.verbose = verbose;
	if (cli_check_memory(cli, err) < 0)
		return NULL;
	return (Cri__PodSandboxStatusResponse *)cli_call(cli, "PodSandboxStatus", &request.base, err);
}

Cri__ContainerStatusResponse *container_status(struct cli *cli, const char *id, bool verbose, struct error *err)
{
	Cri__ContainerStatusRequest request = CRI__CONTAINER_STATUS_REQUEST__INIT;

	request.container_id = arena_strdup(&cli->arena, id);
	request.verbose = verbose;
	if (cli_check_memory(cli, err) < 0)
		return NULL;
	return (Cri__ContainerStatusResponse *)cli_call(cli, "ContainerStatus", &request.base, err);
}

Cri__ListContainersResponse *containers_of_pod(struct cli *cli, const char *pod_id, struct error *err)
{
	Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
	Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;

	filter.pod_sandbox_id = arena_strdup(&cli->arena, pod_id);
	request.filter = &filter;
	if (cli_check_memory(cli, err) < 0)
		return NULL;
	return (Cri__ListContainersResponse *)cli_call(cli, "ListContainers", &request.base, err);
}

/* A call whose reply says nothing. */
static int call_for_effect(struct cli *cli, const char *method, const ProtobufCMessage *request, int64_t extra_ms,
			   struct error *err)
{
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	if (cli_check_memory(cli, err) < 0)
		return -1;
	if (extra_ms && !cli->timeout_ms)
		reply = cli_call_within(cli, method, request, extra_ms + STOP_MARGIN_MS, err);
	else
		reply = cli_call(cli, method, request, err);
	return reply ? 0 : -1;
}

int stop_container(struct cli *cli, const char *id, int64_t grace_s, struct error *err)
{
	Cri__StopContainerRequest request = CRI__STOP_CONTAINER_REQUEST__INIT;

	request.container_id = arena_strdup(&cli->arena, id);
	request.timeout = grace_s;
	return call_for_effect(cli, "StopContainer", &request.base, grace_s * 1000, err);
}

int remove_container(struct cli *cli, const char *id, struct error *err)
{
	Cri__RemoveContainerRequest request = CRI__REMOVE_CONTAINER_REQUEST__INIT;

	request.container_id = arena_strdup(&cli->arena, id);
	return call_for_effect(cli, "RemoveContainer", &request.base, 0, err);
}

int stop_pod(struct cli *cli, const char *id, struct error *err)
{
	Cri__StopPodSandboxRequest request = CRI__STOP_POD_SANDBOX_REQUEST__INIT;

	request.pod_sandbox_id = arena_strdup(&cli->arena, id);
	return call_for_effect(cli, "StopPodSandbox", &request.base, 0, err);
}

int stop_pod_gently(struct cli *cli, const char *id, int64_t grace_s, struct error *err)
{
	_cleanup_message_ Cri__ListContainersResponse *list = containers_of_pod(cli, id, err);

	if (!list)
		return -1;
	for (size_t i = 0; i < list->n_containers; i++) {
		if (list->containers[i]->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING &&
		    stop_container(cli, list->containers[i]->id, grace_s, err) < 0)
			return -1;
	}
	return stop_pod(cli, id, err);
}

bool is_run_uid(const char *uid)
{
	return strlen(uid) == 32 && strspn(uid, "0123456789abcdef") == 32;
}

static int remove_run_logs(const char *uid, struct error *err)
{
	char path[sizeof(RUN_LOG_BASE) + 40];

	if (!is_run_uid(uid))
		return 0;
	(void)snprintf(path, sizeof(path), RUN_LOG_BASE "/%s", uid);
	return io_remove_tree(AT_FDCWD, path, err);
}

int remove_pod(struct cli *cli, const char *id, struct error *err)
{
	Cri__RemovePodSandboxRequest request = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;
	_cleanup_message_ Cri__PodSandboxStatusResponse *before = pod_status(cli, id, false, err);
	const char *uid = "";

	if (!before)
		return -1;
	if (before->status && before->status->metadata)
		uid = before->status->metadata->uid;
	request.pod_sandbox_id = arena_strdup(&cli->arena, id);
	if (call_for_effect(cli, "RemovePodSandbox", &request.base, 0, err) < 0)
		return -1;
	return remove_run_logs(uid, err);
}
