#include "task/container_spec.h"

#include <stdint.h>

#include "base/descriptors.h"

#define OOM_SCORE_MIN (-1000)
#define OOM_SCORE_MAX 1000

int64_t oom_score_adj_wanted(const Cri__ContainerConfig *config)
{
	return config->linux && config->linux->resources ? config->linux->resources->oom_score_adj : 0;
}

int oom_score_adj_within(int64_t wanted, int own, bool may_lower)
{
	if (wanted < OOM_SCORE_MIN)
		wanted = OOM_SCORE_MIN;
	if (wanted > OOM_SCORE_MAX)
		wanted = OOM_SCORE_MAX;
	return wanted < own && !may_lower ? own : (int)wanted;
}

size_t container_rlimits(struct rlimit_spec ret_limits[RLIMITS_MAX])
{
	struct rlimit files = descriptors_former_limit();

	ret_limits[0] = (struct rlimit_spec){ RLIMIT_NOFILE, files.rlim_cur, files.rlim_max };
	return 1;
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

int container_resources(const Cri__ContainerConfig *config, struct arena *arena, struct resources *ret_resources, struct error *err)
{
	const Cri__LinuxContainerResources *from = config->linux ? config->linux->resources : NULL;

	*ret_resources = (struct resources){ 0 };
	if (!from)
		return 0;
	*ret_resources = (struct resources){
		.cpu_period_us = from->cpu_period,
		.cpu_quota_us = from->cpu_quota,
		.cpu_shares = from->cpu_shares,
		.memory_limit_bytes = from->memory_limit_in_bytes,
		.memory_swap_limit_bytes = from->memory_swap_limit_in_bytes,
		.cpuset_cpus = from->cpuset_cpus,
		.cpuset_mems = from->cpuset_mems,
	};
	return convert_lists(from, arena, ret_resources, err);
}
