/* What a group has used, from the files of either version. */
#include <string.h>

#include "base/mem.h"
#include "runtime/cgroup_internal.h"
#include "runtime/cgroup_stat.h"

/* Of cpuacct.stat: USER_HZ is 100 on every architecture that we know. */
#define TICK_NS 10000000

/* A "key value" line of a file; the result is the value times `factor`. */
struct keyed {
	const char *file, *key;
	int64_t factor;
	size_t offset;
};

struct single {
	const char *file;
	int64_t factor;
	size_t offset;
};

#define AT(member) offsetof(struct cgroup_stats, member)

static const struct keyed v1_keyed[] = {
	{ "cpuacct.stat", "user", TICK_NS, AT(cpu_user_ns) },      { "cpuacct.stat", "system", TICK_NS, AT(cpu_kernel_ns) },
	{ "cpu.stat", "nr_periods", 1, AT(cpu_periods) },          { "cpu.stat", "nr_throttled", 1, AT(cpu_throttled_periods) },
	{ "cpu.stat", "throttled_time", 1, AT(cpu_throttled_ns) }, { "memory.stat", "total_cache", 1, AT(memory_cache_bytes) },
	{ "memory.stat", "total_rss", 1, AT(memory_rss_bytes) },
};

static const struct single v1_single[] = {
	{ "cpuacct.usage", 1, AT(cpu_total_ns) },
	{ "memory.usage_in_bytes", 1, AT(memory_usage_bytes) },
	{ "memory.limit_in_bytes", 1, AT(memory_limit_bytes) },
	{ "memory.max_usage_in_bytes", 1, AT(memory_peak_bytes) },
	{ "memory.kmem.usage_in_bytes", 1, AT(memory_kernel_bytes) },
	{ "memory.failcnt", 1, AT(memory_failures) },
};

static const struct keyed v2_keyed[] = {
	{ "cpu.stat", "usage_usec", 1000, AT(cpu_total_ns) },         { "cpu.stat", "user_usec", 1000, AT(cpu_user_ns) },
	{ "cpu.stat", "system_usec", 1000, AT(cpu_kernel_ns) },       { "cpu.stat", "nr_periods", 1, AT(cpu_periods) },
	{ "cpu.stat", "nr_throttled", 1, AT(cpu_throttled_periods) }, { "cpu.stat", "throttled_usec", 1000, AT(cpu_throttled_ns) },
	{ "memory.stat", "file", 1, AT(memory_cache_bytes) },         { "memory.stat", "anon", 1, AT(memory_rss_bytes) },
	{ "memory.stat", "kernel", 1, AT(memory_kernel_bytes) },      { "memory.events", "max", 1, AT(memory_failures) },
};

static const struct single v2_single[] = {
	{ "memory.current", 1, AT(memory_usage_bytes) },
	{ "memory.max", 1, AT(memory_limit_bytes) },
	{ "memory.peak", 1, AT(memory_peak_bytes) },
};

/* Of both versions. */
static const struct single pids_single[] = {
	{ "pids.current", 1, AT(pids_current) },
	{ "pids.max", 1, AT(pids_limit) },
};

/* A version 1 hierarchy has the files of its controllers, version 2 all: the first that has the file gives it. */
static const struct hierarchy *find_file(const struct cgroup *cgroup, const char *file, bool unified)
{
	for (size_t i = 0; i < cgroup->roots->n; i++) {
		const struct hierarchy *h = &cgroup->roots->hierarchies[i];

		if (h->version->unified == unified && group_has(cgroup, h, file))
			return h;
	}
	return NULL;
}

static int64_t find_value(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (!strncmp(line, key, length) && line[length] == ' ')
			return strtoll(line + length + 1, NULL, 10);
	}
	return -1;
}

static void put(struct cgroup_stats *stats, size_t offset, int64_t value, int64_t factor)
{
	int64_t *to = (int64_t *)(void *)((char *)stats + offset);
	int64_t product;

	if (*to < 0 && value >= 0)
		*to = __builtin_mul_overflow(value, factor, &product) ? INT64_MAX : product;
}

static void read_keyed(const struct cgroup *cgroup, const struct keyed *k, bool unified, struct cgroup_stats *stats)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error ignored = ERROR_INIT;
	const struct hierarchy *h = find_file(cgroup, k->file, unified);
	const char *text = h ? group_read(cgroup, h, k->file, &arena, &ignored) : NULL;

	if (text)
		put(stats, k->offset, find_value(text, k->key), k->factor);
}

static void read_single(const struct cgroup *cgroup, const struct single *s, bool unified, struct cgroup_stats *stats)
{
	const struct hierarchy *h = find_file(cgroup, s->file, unified);

	if (h)
		put(stats, s->offset, group_number(cgroup, h, s->file), s->factor);
}

void cgroup_stats_read(const struct cgroup *cgroup, struct cgroup_stats *ret_stats)
{
	struct cgroup_stats *stats = ret_stats;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(int64_t); i++)
		((int64_t *)(void *)stats)[i] = -1;
	for (size_t i = 0; i < ARRAY_SIZE(v1_single); i++)
		read_single(cgroup, &v1_single[i], false, stats);
	for (size_t i = 0; i < ARRAY_SIZE(v1_keyed); i++)
		read_keyed(cgroup, &v1_keyed[i], false, stats);
	for (size_t i = 0; i < ARRAY_SIZE(v2_single); i++)
		read_single(cgroup, &v2_single[i], true, stats);
	for (size_t i = 0; i < ARRAY_SIZE(v2_keyed); i++)
		read_keyed(cgroup, &v2_keyed[i], true, stats);
	for (size_t i = 0; i < ARRAY_SIZE(pids_single); i++) {
		read_single(cgroup, &pids_single[i], false, stats);
		read_single(cgroup, &pids_single[i], true, stats);
	}
}
