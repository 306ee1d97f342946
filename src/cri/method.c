#include "cri/method.h"

#include <string.h>

#include "base/mem.h"
#include "cri/check.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

#define ROW(in, title, prefix, request_type, response_type, is_stream, check_it, run_it)                                           \
	{                                                                                                                          \
		.service = (in), .name = (title), .request = &prefix##__##request_type##__descriptor,                              \
		.response = &prefix##__##response_type##__descriptor, .streams = (is_stream), .check = (check_it), .run = (run_it) \
	}

/* A row of the CRI: implemented, not built yet; the same of server streams. */
#define SERVED(in, title, name, check_it) ROW(in, title, cri, name##_request, name##_response, false, check_it, op_##name)
#define LATER(in, title, name) ROW(in, title, cri, name##_request, name##_response, false, NULL, NULL)
#define SERVED_STREAM(in, title, name, check_it) ROW(in, title, cri, name##_request, name##_response, true, check_it, op_##name)
#define LATER_STREAM(in, title, name) ROW(in, title, cri, name##_request, name##_response, true, NULL, NULL)

/* In the order of the contract. */
static const struct method table[] = {
	SERVED(SERVICE_RUNTIME, "Version", version, NULL),
	SERVED(SERVICE_RUNTIME, "RunPodSandbox", run_pod_sandbox, check_run_pod_sandbox),
	SERVED(SERVICE_RUNTIME, "StopPodSandbox", stop_pod_sandbox, check_stop_pod_sandbox),
	SERVED(SERVICE_RUNTIME, "RemovePodSandbox", remove_pod_sandbox, check_remove_pod_sandbox),
	SERVED(SERVICE_RUNTIME, "PodSandboxStatus", pod_sandbox_status, check_pod_sandbox_status),
	SERVED(SERVICE_RUNTIME, "ListPodSandbox", list_pod_sandbox, check_list_pod_sandbox),
	SERVED_STREAM(SERVICE_RUNTIME, "StreamPodSandboxes", stream_pod_sandboxes, check_stream_pod_sandboxes),
	SERVED(SERVICE_RUNTIME, "CreateContainer", create_container, check_create_container),
	SERVED(SERVICE_RUNTIME, "StartContainer", start_container, check_start_container),
	SERVED(SERVICE_RUNTIME, "StopContainer", stop_container, check_stop_container),
	SERVED(SERVICE_RUNTIME, "RemoveContainer", remove_container, check_remove_container),
	SERVED(SERVICE_RUNTIME, "ListContainers", list_containers, check_list_containers),
	SERVED_STREAM(SERVICE_RUNTIME, "StreamContainers", stream_containers, check_stream_containers),
	SERVED(SERVICE_RUNTIME, "ContainerStatus", container_status, check_container_status),
	SERVED(SERVICE_RUNTIME, "UpdateContainerResources", update_container_resources, check_update_container_resources),
	SERVED(SERVICE_RUNTIME, "ReopenContainerLog", reopen_container_log, check_reopen_container_log),
	SERVED(SERVICE_RUNTIME, "ExecSync", exec_sync, check_exec_sync),
	LATER(SERVICE_RUNTIME, "Exec", exec),
	LATER(SERVICE_RUNTIME, "Attach", attach),
	LATER(SERVICE_RUNTIME, "PortForward", port_forward),
	LATER(SERVICE_RUNTIME, "ContainerStats", container_stats),
	LATER(SERVICE_RUNTIME, "ListContainerStats", list_container_stats),
	LATER_STREAM(SERVICE_RUNTIME, "StreamContainerStats", stream_container_stats),
	LATER(SERVICE_RUNTIME, "PodSandboxStats", pod_sandbox_stats),
	LATER(SERVICE_RUNTIME, "ListPodSandboxStats", list_pod_sandbox_stats),
	LATER_STREAM(SERVICE_RUNTIME, "StreamPodSandboxStats", stream_pod_sandbox_stats),
	LATER(SERVICE_RUNTIME, "UpdateRuntimeConfig", update_runtime_config),
	SERVED(SERVICE_RUNTIME, "Status", status, NULL),
	LATER(SERVICE_RUNTIME, "CheckpointContainer", checkpoint_container),
	LATER(SERVICE_RUNTIME, "CheckpointPod", checkpoint_pod),
	LATER(SERVICE_RUNTIME, "RestorePod", restore_pod),
	ROW(SERVICE_RUNTIME, "GetContainerEvents", cri, get_events_request, container_event_response, true, NULL,
	    op_get_container_events),
	LATER(SERVICE_RUNTIME, "ListMetricDescriptors", list_metric_descriptors),
	LATER(SERVICE_RUNTIME, "ListPodSandboxMetrics", list_pod_sandbox_metrics),
	LATER_STREAM(SERVICE_RUNTIME, "StreamPodSandboxMetrics", stream_pod_sandbox_metrics),
	SERVED(SERVICE_RUNTIME, "RuntimeConfig", runtime_config, NULL),
	SERVED(SERVICE_RUNTIME, "UpdatePodSandboxResources", update_pod_sandbox_resources, check_update_pod_sandbox_resources),

	SERVED(SERVICE_IMAGE, "ListImages", list_images, check_list_images),
	SERVED_STREAM(SERVICE_IMAGE, "StreamImages", stream_images, check_stream_images),
	SERVED(SERVICE_IMAGE, "ImageStatus", image_status, check_image_status),
	SERVED(SERVICE_IMAGE, "PullImage", pull_image, check_pull_image),
	SERVED(SERVICE_IMAGE, "RemoveImage", remove_image, check_remove_image),
	SERVED(SERVICE_IMAGE, "ImageFsInfo", image_fs_info, NULL),

	ROW(SERVICE_ADMIN, "PullImage", admin, pull_image_request, pull_image_response, true, check_watch_pull, op_watch_pull),
	ROW(SERVICE_ADMIN, "ImportImage", admin, import_image_request, import_image_response, false, check_import_image,
	    op_import_image),
	ROW(SERVICE_ADMIN, "PruneImages", admin, prune_images_request, prune_images_response, false, check_prune_images,
	    op_prune_images),
	ROW(SERVICE_ADMIN, "CheckImages", admin, check_images_request, check_images_response, false, NULL, op_check_images),
	ROW(SERVICE_ADMIN, "ListMachines", admin, list_machines_request, list_machines_response, false, NULL, op_list_machines),
	ROW(SERVICE_ADMIN, "ExplainContainer", admin, explain_container_request, explain_container_response, false,
	    check_explain_container, op_explain_container),
};

static const struct {
	const char *name;
	enum method_service service;
} service_names[] = {
	{ "runtime.v1.RuntimeService", SERVICE_RUNTIME },
	{ "runtime.v1.ImageService", SERVICE_IMAGE },
	{ "runtime.v1alpha2.RuntimeService", SERVICE_RUNTIME },
	{ "runtime.v1alpha2.ImageService", SERVICE_IMAGE },
	{ "monopod.v1.Admin", SERVICE_ADMIN },
};

const struct method *method_table(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(table);
	return table;
}

static const struct method *find_row(enum method_service service, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].service == service && !strcmp(table[i].name, name))
			return &table[i];
	}
	return NULL;
}

const struct method *method_find(const char *path, const char **ret_service)
{
	const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;
	size_t len = slash ? (size_t)(slash - path - 1) : 0;

	for (size_t i = 0; slash && i < ARRAY_SIZE(service_names); i++) {
		if (strlen(service_names[i].name) != len || memcmp(service_names[i].name, path + 1, len) != 0)
			continue;
		*ret_service = service_names[i].name;
		return find_row(service_names[i].service, slash + 1);
	}
	return NULL;
}
