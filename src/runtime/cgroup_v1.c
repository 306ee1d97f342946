/* Limits of version 1: Documentation/admin-guide/cgroup-v1/, scheduler/sched-bwc.rst. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "runtime/cgroup_internal.h"

/*
 * A quota may be at no time larger, in relation to its period, than the parent's. When both change on a living group, the order is
 * chosen whose middle state is the smaller share.
 */
static bool period_first(const struct cgroup_change *job, const struct hierarchy *h, const struct resources *r)
{
	int64_t quota, period;

	if (job->cgroup->fresh || r->cpu_quota_us < 0)
		return job->cgroup->fresh;
	quota = group_number(job->cgroup, h, "cpu.cfs_quota_us");
	period = group_number(job->cgroup, h, "cpu.cfs_period_us");
	if (quota <= 0 || period <= 0)
		return true;
	return (double)quota / (double)r->cpu_period_us <= (double)r->cpu_quota_us / (double)period;
}

static int put_period(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	return r->cpu_period_us ? job_put(job, h, err, "cpu.cfs_period_us", "%" PRId64, r->cpu_period_us) : 0;
}

static int put_quota(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	return r->cpu_quota_us ? job_put(job, h, err, "cpu.cfs_quota_us", "%" PRId64, r->cpu_quota_us) : 0;
}

static int put_cpu(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	if (r->cpu_shares && job_put(job, h, err, "cpu.shares", "%" PRId64, r->cpu_shares) < 0)
		return -1;
	if (!r->cpu_period_us || !r->cpu_quota_us || period_first(job, h, r))
		return put_period(job, h, r, err) < 0 ? -1 : put_quota(job, h, r, err);
	return put_quota(job, h, r, err) < 0 ? -1 : put_period(job, h, r, err);
}

/* True when the host has no swap at all: then any limit on it holds by itself. */
static bool host_has_no_swap(void)
{
	FILE *file = fopen("/proc/swaps", "re");
	int c, lines = 0;

	if (!file)
		return true;
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	(void)fclose(file);
	return lines <= 1; /* the heading */
}

#define MEMSW "memory.memsw.limit_in_bytes"
#define MEMORY "memory.limit_in_bytes"

static int put_memsw(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	int64_t memsw = resources_memsw(r);

	if (!memsw)
		return 0;
	if (group_has(job->cgroup, h, MEMSW))
		return job_put(job, h, err, MEMSW, "%" PRId64, memsw);
	if (r->memory_swap_limit_bytes <= 0 || host_has_no_swap())
		return 0;
	return error_set(err, ERR_STATE, "memory_swap_limit_in_bytes: this kernel does not account swap");
}

static int put_limit(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	return r->memory_limit_bytes ? job_put(job, h, err, MEMORY, "%" PRId64, r->memory_limit_bytes) : 0;
}

/* Memory plus swap is never below memory (cgroup-v1/memory.rst): when memory grows over it, it has to go first. */
static int put_limits(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	bool raises = resources_memsw(r) && !job->cgroup->fresh &&
		      (r->memory_limit_bytes < 0 || r->memory_limit_bytes > group_number(job->cgroup, h, MEMSW));

	if (raises)
		return put_memsw(job, h, r, err) < 0 ? -1 : put_limit(job, h, r, err);
	return put_limit(job, h, r, err) < 0 ? -1 : put_memsw(job, h, r, err);
}

static int put_memory(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	if (put_limits(job, h, r, err) < 0)
		return -1;
	if (r->memory_reservation_bytes &&
	    job_put(job, h, err, "memory.soft_limit_in_bytes", "%" PRId64, r->memory_reservation_bytes) < 0)
		return -1;
	return r->set_memory_swappiness ? job_put(job, h, err, "memory.swappiness", "%" PRIu64, r->memory_swappiness) : 0;
}

static int put_hugepage(struct cgroup_change *job, const struct hierarchy *h, const struct hugepage_limit *limit, struct error *err)
{
	const char *file = arena_printf(&job->arena, "hugetlb.%s.limit_in_bytes", limit->page_size);

	if (!file)
		return error_set(err, ERR_EXHAUSTED, "set limits: out of memory");
	if (group_has(job->cgroup, h, file))
		return job_put(job, h, err, file, "%" PRIu64, limit->limit_bytes);
	if (limit->limit_bytes == 0)
		return 0;
	return error_set(err, ERR_STATE, "hugepage_limits: this host has no pages of %s", limit->page_size);
}

const struct cgroup_version cgroup_v1 = {
	.unified = false,
	.put_cpu = put_cpu,
	.put_memory = put_memory,
	.put_hugepage = put_hugepage,
	.oom_file = "memory.oom_control",
};
