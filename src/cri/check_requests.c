/* Requests that name an object and little else. */
#include "cri/check.h"
#include "cri/check_parts.h"
#include "cri/rule.h"
#include "proto/admin.pb-c.h"

/* Selectors are labels. */
#define SELECTOR_RULE(type) MAP(type, label_selector, CHECK_MAX_MAP_BYTES, text_label_key, text_any)

/* A function that applies a table to the request. */
#define CHECK_BY_RULES(function, ...)                                                                                              \
	int function(const ProtobufCMessage *request, struct error *err)                                                           \
	{                                                                                                                          \
		static const struct rule rules[] = { __VA_ARGS__ };                                                                \
                                                                                                                                   \
		return RULES_APPLY(NULL, rules, request, err);                                                                     \
	}

CHECK_BY_RULES(check_stop_pod_sandbox, TEXT(Cri__StopPodSandboxRequest, pod_sandbox_id, text_id))
CHECK_BY_RULES(check_remove_pod_sandbox, TEXT(Cri__RemovePodSandboxRequest, pod_sandbox_id, text_id))
CHECK_BY_RULES(check_pod_sandbox_status, TEXT(Cri__PodSandboxStatusRequest, pod_sandbox_id, text_id))
CHECK_BY_RULES(check_start_container, TEXT(Cri__StartContainerRequest, container_id, text_id))
CHECK_BY_RULES(check_remove_container, TEXT(Cri__RemoveContainerRequest, container_id, text_id))
CHECK_BY_RULES(check_container_status, TEXT(Cri__ContainerStatusRequest, container_id, text_id))
CHECK_BY_RULES(check_reopen_container_log, TEXT(Cri__ReopenContainerLogRequest, container_id, text_id))

/* Seconds; a grace period has no upper limit in Kubernetes. */
CHECK_BY_RULES(check_stop_container, TEXT(Cri__StopContainerRequest, container_id, text_id),
	       NUMBER64(Cri__StopContainerRequest, timeout, 0, INT64_MAX))

CHECK_BY_RULES(check_import_image, TEXT(Admin__ImportImageRequest, path, text_path),
	       TEXT(Admin__ImportImageRequest, name, text_optional_image),
	       TEXTS(Admin__ImportImageRequest, only, CHECK_MAX_ITEMS, text_image))

/* A hundred years are older than any image. */
CHECK_BY_RULES(check_prune_images, NUMBER64(Admin__PruneImagesRequest, min_age_seconds, 0, INT64_C(100) * 366 * 24 * 3600))

static const struct rule pod_filter_rules[] = {
	TEXT(Cri__PodSandboxFilter, id, text_optional_id),
	SELECTOR_RULE(Cri__PodSandboxFilter),
};

static const struct rule container_filter_rules[] = {
	TEXT(Cri__ContainerFilter, id, text_optional_id),
	TEXT(Cri__ContainerFilter, pod_sandbox_id, text_optional_id),
	SELECTOR_RULE(Cri__ContainerFilter),
};

static int check_pod_filter(const Cri__PodSandboxFilter *filter, struct error *err)
{
	return filter ? RULES_APPLY(FIELD(NULL, "filter"), pod_filter_rules, filter, err) : 0;
}

int check_list_pod_sandbox(const ProtobufCMessage *request, struct error *err)
{
	return check_pod_filter(((const Cri__ListPodSandboxRequest *)request)->filter, err);
}

int check_stream_pod_sandboxes(const ProtobufCMessage *request, struct error *err)
{
	return check_pod_filter(((const Cri__StreamPodSandboxesRequest *)request)->filter, err);
}

static int check_container_filter(const Cri__ContainerFilter *filter, struct error *err)
{
	return filter ? RULES_APPLY(FIELD(NULL, "filter"), container_filter_rules, filter, err) : 0;
}

int check_list_containers(const ProtobufCMessage *request, struct error *err)
{
	return check_container_filter(((const Cri__ListContainersRequest *)request)->filter, err);
}

int check_stream_containers(const ProtobufCMessage *request, struct error *err)
{
	return check_container_filter(((const Cri__StreamContainersRequest *)request)->filter, err);
}

int check_arguments(const struct field *at, const char *name, char *const *items, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (text_check(ITEM(at, name, i), i == 0 ? &text_command : &text_argument, items[i], err) < 0)
			return -1;
	}
	return 0;
}

int check_exec_sync(const ProtobufCMessage *request, struct error *err)
{
	static const struct rule rules[] = {
		TEXT(Cri__ExecSyncRequest, container_id, text_id),
		NUMBER64(Cri__ExecSyncRequest, timeout, 0, INT64_MAX),
	};
	const Cri__ExecSyncRequest *exec = (const Cri__ExecSyncRequest *)request;

	if (RULES_APPLY(NULL, rules, exec, err) < 0)
		return -1;
	if (exec->n_cmd == 0)
		return field_error(FIELD(NULL, "cmd"), err, ERR_INVALID, "missing");
	return check_arguments(NULL, "cmd", exec->cmd, exec->n_cmd, err);
}
