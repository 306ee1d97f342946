#include "task/container_spec.h"

#include <inttypes.h>
#include <string.h>

#include "task/message.h"

#define OOM_SCORE_MIN (-1000)
#define OOM_SCORE_MAX 1000

int64_t oom_score_adj_wanted(const Cri__LinuxContainerResources *resources)
{
	return resources ? resources->oom_score_adj : 0;
}

int oom_score_adj_within(int64_t wanted, int own, bool may_lower)
{
	if (wanted < OOM_SCORE_MIN)
		wanted = OOM_SCORE_MIN;
	if (wanted > OOM_SCORE_MAX)
		wanted = OOM_SCORE_MAX;
	return wanted < own && !may_lower ? own : (int)wanted;
}

static int convert_lists(const Cri__LinuxContainerResources *from, struct arena *arena, struct resources *to, struct error *err)
{
	struct hugepage_limit *hugepages = arena_new_array(arena, struct hugepage_limit, from->n_hugepage_limits + 1);
	struct unified_entry *unified = arena_new_array(arena, struct unified_entry, from->n_unified + 1);

	if (!hugepages || !unified)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < from->n_hugepage_limits; i++)
		hugepages[i] = (struct hugepage_limit){ from->hugepage_limits[i]->page_size, from->hugepage_limits[i]->limit };
	for (size_t i = 0; i < from->n_unified; i++)
		unified[i] = (struct unified_entry){ from->unified[i]->key, from->unified[i]->value };
	to->hugepages = hugepages;
	to->n_hugepages = from->n_hugepage_limits;
	to->unified = unified;
	to->n_unified = from->n_unified;
	return 0;
}

int container_resources(const Cri__LinuxContainerResources *from, int64_t pids_limit, struct arena *arena,
			struct resources *ret_resources, struct error *err)
{
	*ret_resources = (struct resources){ .pids_limit = pids_limit };
	if (!from)
		return 0;
	*ret_resources = (struct resources){
		.cpu_period_us = from->cpu_period,
		.cpu_quota_us = from->cpu_quota,
		.cpu_shares = from->cpu_shares,
		.memory_limit_bytes = from->memory_limit_in_bytes,
		.memory_swap_limit_bytes = from->memory_swap_limit_in_bytes,
		.forbid_swap = true,
		.pids_limit = pids_limit,
		.cpuset_cpus = from->cpuset_cpus,
		.cpuset_mems = from->cpuset_mems,
	};
	return convert_lists(from, arena, ret_resources, err);
}

/* ---- changes ---- */

static int64_t set_or(int64_t change, int64_t now)
{
	return change ? change : now;
}

static char *text_or(char *change, char *now)
{
	return *change ? change : now;
}

static void merge_hugepages(const Cri__LinuxContainerResources *change, Cri__LinuxContainerResources *both)
{
	for (size_t i = 0; i < change->n_hugepage_limits; i++) {
		size_t at = 0;

		while (at < both->n_hugepage_limits &&
		       strcmp(both->hugepage_limits[at]->page_size, change->hugepage_limits[i]->page_size) != 0)
			at++;
		both->hugepage_limits[at] = change->hugepage_limits[i];
		both->n_hugepage_limits += at == both->n_hugepage_limits;
	}
}

static void merge_unified(const Cri__LinuxContainerResources *change, Cri__LinuxContainerResources *both)
{
	for (size_t i = 0; i < change->n_unified; i++) {
		size_t at = 0;

		while (at < both->n_unified && strcmp(both->unified[at]->key, change->unified[i]->key) != 0)
			at++;
		both->unified[at] = change->unified[i];
		both->n_unified += at == both->n_unified;
	}
}

/* The lists of `now`, with room for those of the change. */
static int copy_lists(const Cri__LinuxContainerResources *now, const Cri__LinuxContainerResources *change, struct arena *arena,
		      Cri__LinuxContainerResources *both, struct error *err)
{
	both->hugepage_limits =
		arena_new_array(arena, Cri__HugepageLimit *, now->n_hugepage_limits + change->n_hugepage_limits + 1);
	both->unified =
		arena_new_array(arena, Cri__LinuxContainerResources__UnifiedEntry *, now->n_unified + change->n_unified + 1);
	if (!both->hugepage_limits || !both->unified)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	both->n_hugepage_limits = both->n_unified = 0;
	merge_hugepages(now, both);
	merge_unified(now, both);
	return 0;
}

static void merge_fields(const Cri__LinuxContainerResources *change, Cri__LinuxContainerResources *both)
{
	both->cpu_period = set_or(change->cpu_period, both->cpu_period);
	both->cpu_quota = set_or(change->cpu_quota, both->cpu_quota);
	both->cpu_shares = set_or(change->cpu_shares, both->cpu_shares);
	both->memory_limit_in_bytes = set_or(change->memory_limit_in_bytes, both->memory_limit_in_bytes);
	both->memory_swap_limit_in_bytes = set_or(change->memory_swap_limit_in_bytes, both->memory_swap_limit_in_bytes);
	both->oom_score_adj = set_or(change->oom_score_adj, both->oom_score_adj);
	both->cpuset_cpus = text_or(change->cpuset_cpus, both->cpuset_cpus);
	both->cpuset_mems = text_or(change->cpuset_mems, both->cpuset_mems);
}

static int check_swap(const Cri__LinuxContainerResources *r, struct error *err)
{
	if (r->memory_swap_limit_in_bytes <= 0)
		return 0;
	if (r->memory_limit_in_bytes <= 0)
		return error_set(err, ERR_INVALID, "linux.memory_swap_limit_in_bytes: the container has no memory_limit_in_bytes");
	if (r->memory_swap_limit_in_bytes < r->memory_limit_in_bytes)
		return error_set(err, ERR_INVALID,
				 "linux.memory_limit_in_bytes: %" PRId64
				 " would be more than the container's memory_swap_limit_in_bytes, %" PRId64,
				 r->memory_limit_in_bytes, r->memory_swap_limit_in_bytes);
	return 0;
}

Cri__LinuxContainerResources *resources_merge(const Cri__LinuxContainerResources *now, const Cri__LinuxContainerResources *change,
					      struct error *err)
{
	static const Cri__LinuxContainerResources nothing = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	Cri__LinuxContainerResources both = now ? *now : nothing;

	if (!change)
		change = &nothing;
	if (copy_lists(now ? now : &nothing, change, &arena, &both, err) < 0)
		return NULL;
	merge_hugepages(change, &both);
	merge_unified(change, &both);
	merge_fields(change, &both);
	return check_swap(&both, err) < 0 ? NULL : message_copy(&both.base, err);
}
