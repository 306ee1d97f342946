/* What a container or a pod may use, when it is made and when that is changed. */
#include "cri/check.h"
#include "cri/check_parts.h"
#include "cri/rule.h"

/* Microseconds, as the kernel has them (Documentation/scheduler/sched-bwc.rst): periods of 1 ms to 1 s, quotas of 1 ms and up. */
#define MIN_PERIOD_US 1000
#define MAX_PERIOD_US 1000000
#define MIN_QUOTA_US 1000

/* MAX_SHARES of the kernel, to which kubelets cut theirs. */
#define MAX_SHARES 262144

#define MAX_UNIFIED_BYTES ((size_t)64 * 1024)

/* 0 is "not set" throughout; -1 is "no limit" where the kernel takes it. */
static const struct rule rules[] = {
	NUMBER64(Cri__LinuxContainerResources, cpu_period, 0, MAX_PERIOD_US),
	NUMBER64(Cri__LinuxContainerResources, cpu_quota, -1, INT64_MAX),
	NUMBER64(Cri__LinuxContainerResources, cpu_shares, 0, MAX_SHARES),
	NUMBER64(Cri__LinuxContainerResources, memory_limit_in_bytes, -1, INT64_MAX),
	NUMBER64(Cri__LinuxContainerResources, memory_swap_limit_in_bytes, -1, INT64_MAX),
	NUMBER64(Cri__LinuxContainerResources, oom_score_adj, -1000, 1000),
	TEXT(Cri__LinuxContainerResources, cpuset_cpus, text_cpu_list),
	TEXT(Cri__LinuxContainerResources, cpuset_mems, text_cpu_list),
	MAP(Cri__LinuxContainerResources, unified, MAX_UNIFIED_BYTES, text_cgroup_file, text_cgroup_value),
};

static int check_cpu(const struct field *at, const Cri__LinuxContainerResources *r, struct error *err)
{
	if (r->cpu_period > 0 && r->cpu_period < MIN_PERIOD_US)
		return field_error(FIELD(at, "cpu_period"), err, ERR_INVALID, "must be 0 or from %d to %d us, not %lld",
				   MIN_PERIOD_US, MAX_PERIOD_US, (long long)r->cpu_period);
	if (r->cpu_quota > 0 && r->cpu_quota < MIN_QUOTA_US)
		return field_error(FIELD(at, "cpu_quota"), err, ERR_INVALID, "must be -1, 0 or at least %d us, not %lld",
				   MIN_QUOTA_US, (long long)r->cpu_quota);
	return 0;
}

/* The swap limit counts memory too. In a change, memory that is not named keeps its limit. */
static int check_memory(const struct field *at, const Cri__LinuxContainerResources *r, bool is_change, struct error *err)
{
	if (r->memory_swap_limit_in_bytes <= 0)
		return 0;
	if (r->memory_limit_in_bytes < 0 || (r->memory_limit_in_bytes == 0 && !is_change))
		return field_error(FIELD(at, "memory_swap_limit_in_bytes"), err, ERR_INVALID, "needs memory_limit_in_bytes");
	if (r->memory_swap_limit_in_bytes < r->memory_limit_in_bytes)
		return field_error(FIELD(at, "memory_swap_limit_in_bytes"), err, ERR_INVALID,
				   "is memory plus swap: must not be less than memory_limit_in_bytes");
	return 0;
}

static int check_hugepages(const struct field *at, const Cri__LinuxContainerResources *r, struct error *err)
{
	if (r->n_hugepage_limits > CHECK_MAX_ITEMS)
		return field_error(FIELD(at, "hugepage_limits"), err, ERR_INVALID, "has %zu items, the limit is %d",
				   r->n_hugepage_limits, CHECK_MAX_ITEMS);
	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		const struct field *item = ITEM(at, "hugepage_limits", i);

		if (text_check(FIELD(item, "page_size"), &text_page_size, r->hugepage_limits[i]->page_size, err) < 0)
			return -1;
	}
	return 0;
}

static int check_all(const struct field *at, const Cri__LinuxContainerResources *resources, bool is_change, struct error *err)
{
	if (!resources)
		return 0;
	if (RULES_APPLY(at, rules, resources, err) < 0)
		return -1;
	if (check_cpu(at, resources, err) < 0 || check_memory(at, resources, is_change, err) < 0)
		return -1;
	return check_hugepages(at, resources, err);
}

int check_resources(const struct field *at, const Cri__LinuxContainerResources *resources, struct error *err)
{
	return check_all(at, resources, false, err);
}

int check_update_container_resources(const ProtobufCMessage *request, struct error *err)
{
	static const struct rule request_rules[] = {
		TEXT(Cri__UpdateContainerResourcesRequest, container_id, text_id),
		REFUSED(Cri__UpdateContainerResourcesRequest, windows, "this node runs Linux"),
		MAP(Cri__UpdateContainerResourcesRequest, annotations, CHECK_MAX_MAP_BYTES, text_label_key, text_any),
	};
	const Cri__UpdateContainerResourcesRequest *update = (const Cri__UpdateContainerResourcesRequest *)request;

	if (RULES_APPLY(NULL, request_rules, update, err) < 0)
		return -1;
	return check_all(FIELD(NULL, "linux"), update->linux, true, err);
}

int check_update_pod_sandbox_resources(const ProtobufCMessage *request, struct error *err)
{
	static const struct rule request_rules[] = { TEXT(Cri__UpdatePodSandboxResourcesRequest, pod_sandbox_id, text_id) };
	const Cri__UpdatePodSandboxResourcesRequest *update = (const Cri__UpdatePodSandboxResourcesRequest *)request;

	if (RULES_APPLY(NULL, request_rules, update, err) < 0)
		return -1;
	if (check_all(FIELD(NULL, "overhead"), update->overhead, false, err) < 0)
		return -1;
	return check_all(FIELD(NULL, "resources"), update->resources, false, err);
}
