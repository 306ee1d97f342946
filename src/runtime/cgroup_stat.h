/* A group in use: who is in it, what it has used, and holding it still. Everything blocks; thread-safe. */
#ifndef MONOPOD_RUNTIME_CGROUP_STAT_H
#define MONOPOD_RUNTIME_CGROUP_STAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "runtime/cgroup.h"

/* Every process of the group and of those below it, in the arena; at most 32768 (ERR_EXHAUSTED). */
int cgroup_list_processes(const struct cgroup *cgroup, struct arena *arena, pid_t **ret_pids, size_t *ret_n, struct error *err);

/* How many; 0 when it cannot be read. */
size_t cgroup_count_processes(const struct cgroup *cgroup);

/* Stops every process or lets them go on: cgroup.freeze of version 2 (Linux 5.2), also where it stands beside version 1, or the freezer
 * of version 1. Returns when they are stopped; ERR_DEADLINE after two seconds, and then nothing is. */
int cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct error *err);
bool cgroup_is_frozen(const struct cgroup *cgroup);

/* The group's own directory in each hierarchy as detached mounts, for a container that sees the host's cgroup namespace: those of version 1
 * in the order of cgroup_hierarchies(), then version 2 when it is there. The caller closes them; on failure there are none. */
#define CGROUP_TREES_MAX 17
int cgroup_open_trees(const struct cgroup *cgroup, int fds[CGROUP_TREES_MAX], size_t *ret_n, struct error *err);

/* -1: not to be had here. */
struct cgroup_stats {
	int64_t cpu_total_ns, cpu_user_ns, cpu_kernel_ns;
	int64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
	int64_t memory_usage_bytes, memory_limit_bytes, memory_peak_bytes; /* limit: INT64_MAX for none */
	int64_t memory_cache_bytes, memory_rss_bytes, memory_kernel_bytes;
	int64_t memory_failures; /* how often the limit was hit */
	int64_t pids_current, pids_limit;
};

void cgroup_stats_read(const struct cgroup *cgroup, struct cgroup_stats *ret_stats);

#endif
