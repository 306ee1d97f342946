/* Limits of version 2: Documentation/admin-guide/cgroup-v2.rst. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/cgroup_internal.h"

/* "cgroup.controllers" or "cgroup.subtree_control" of the group, as a set. */
static unsigned read_set(const struct hierarchy *h, const char *group, const char *file)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(4096);
	struct error ignored = ERROR_INIT;
	char path[PATH_LEN_MAX + 64], *rest, *word;
	unsigned set = 0;

	(void)snprintf(path, sizeof(path), "%s%s%s", group, *group ? "/" : "", file);
	if (io_read_file(h->root, path, &text, &ignored) < 0)
		return 0;
	rest = text.data;
	while ((word = strsep(&rest, " \n"))) {
		int c = *word ? controller_parse(word, strlen(word)) : -1;

		set |= c >= 0 ? CONTROLLER_BIT(c) : 0;
	}
	return set;
}

/* Hands the controllers down to the group's children, each by its own write: one that is refused does not take the others along. */
static int hand_down(const struct hierarchy *h, const char *group, unsigned set, struct error *err)
{
	char path[PATH_LEN_MAX + 64], word[32];
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s%scgroup.subtree_control", group, *group ? "/" : "");
	for (int c = 0; c < CONTROLLER_COUNT; c++) {
		if (!(set & CONTROLLER_BIT(c)))
			continue;
		(void)snprintf(word, sizeof(word), "+%s", controller_name((enum controller)c, h->version));
		if (io_write_value(h->root, path, word, err) < 0)
			r = error_prefix(err, "turn controllers on");
	}
	return r;
}

int v2_enable(const struct hierarchy *h, const char *path, unsigned controllers, struct error *err)
{
	const char *relative = cgroup_relative(path);
	unsigned missing = controllers & ~read_set(h, relative, "cgroup.controllers");
	char prefix[PATH_LEN_MAX + 1];
	size_t len = 0;

	if (!missing)
		return 0;
	/* From the root to the parent. */
	while (relative[len]) {
		(void)snprintf(prefix, sizeof(prefix), "%.*s", (int)len, relative);
		if (hand_down(h, prefix, missing & ~read_set(h, prefix, "cgroup.subtree_control"), err) < 0)
			return -1;
		len += (len ? 1 : 0) + strcspn(relative + len + (len ? 1 : 0), "/");
	}
	return 0;
}

/*
 * Shares and weights have other ranges and other defaults. This curve maps the least, the default and the greatest share to those of
 * the weight: weight = ceil(10^((l^2 + 125 l) / 612 - 7 / 34)), l = log2(shares); as OCI runtimes convert since 2025.
 */
uint64_t v2_cpu_weight(int64_t shares)
{
	double l, exponent;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2((double)shares);
	exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
	return (uint64_t)ceil(pow(10, exponent));
}

/* cpu.max is "QUOTA PERIOD"; the half that is not given stays as it is. */
static int put_max(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	char quota[32] = "max", period[32] = "";

	if (r->cpu_quota_us > 0) {
		(void)snprintf(quota, sizeof(quota), "%" PRId64, r->cpu_quota_us);
	} else if (r->cpu_quota_us == 0 && !job->cgroup->fresh) {
		int64_t current = group_number(job->cgroup, h, "cpu.max");

		if (current > 0 && current != INT64_MAX)
			(void)snprintf(quota, sizeof(quota), "%" PRId64, current);
	}
	if (r->cpu_period_us)
		(void)snprintf(period, sizeof(period), " %" PRId64, r->cpu_period_us);
	return job_put(job, h, err, "cpu.max", "%s%s", quota, period);
}

static int put_cpu(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	if (r->cpu_shares && job_put(job, h, err, "cpu.weight", "%" PRIu64, v2_cpu_weight(r->cpu_shares)) < 0)
		return -1;
	return r->cpu_quota_us || r->cpu_period_us ? put_max(job, h, r, err) : 0;
}

static int put_amount(struct cgroup_change *job, const struct hierarchy *h, const char *file, int64_t bytes, struct error *err)
{
	return bytes < 0 ? job_put(job, h, err, file, "max") : job_put(job, h, err, file, "%" PRId64, bytes);
}

/* Version 1's limit is on memory plus swap, this one on swap alone. A kernel without swap accounting has no such file. */
static int put_swap(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	int64_t memsw = resources_memsw(r), swap = memsw < 0 ? -1 : memsw - r->memory_limit_bytes;

	if (group_has(job->cgroup, h, "memory.swap.max"))
		return put_amount(job, h, "memory.swap.max", swap, err);
	if (swap <= 0)
		return 0;
	return error_set(err, ERR_STATE, "memory_swap_limit_in_bytes: this kernel does not account swap");
}

/*
 * A limit below what is in use makes this version kill, where version 1 refuses after an attempt to reclaim: so the attempt is made
 * here. Nothing is asked of a group without processes.
 */
static int make_room(const struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	int64_t limit_bytes = r->memory_limit_bytes;
	int64_t used = job->cgroup->fresh || limit_bytes < 0 ? 0 : group_number(job->cgroup, h, "memory.current");
	_cleanup_fd_ int reclaim = -1;
	struct error ignored = ERROR_INIT;
	char amount[32];

	if (used <= limit_bytes || (!group_has(job->cgroup, h, "memory.reclaim") && !(r->more && r->more->check_memory)))
		return 0;
	reclaim = group_open(job->cgroup, h, "memory.reclaim", O_WRONLY, &ignored);
	(void)snprintf(amount, sizeof(amount), "%" PRId64, used - limit_bytes);
	/* EAGAIN: less than that could be; the look at the result decides. */
	if (reclaim >= 0 && write(reclaim, amount, strlen(amount)) >= 0)
		return 0;
	used = group_number(job->cgroup, h, "memory.current");
	if (used <= limit_bytes)
		return 0;
	return error_set(err, ERR_STATE, "set memory.max to '%" PRId64 "': more than that is in use, %" PRId64 " bytes",
			 limit_bytes, used);
}

static int put_memory(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err)
{
	if (r->set_memory_swappiness)
		return error_set(err, ERR_STATE, "memory.swappiness: cgroup version 2 has no such setting");
	/* memory.low has no "none" but 0 */
	if (r->memory_reservation_bytes &&
	    job_put(job, h, err, "memory.low", "%" PRId64, r->memory_reservation_bytes < 0 ? 0 : r->memory_reservation_bytes) < 0)
		return -1;
	if (r->memory_limit_bytes && make_room(job, h, r, err) < 0)
		return -1;
	if (r->memory_limit_bytes && put_amount(job, h, "memory.max", r->memory_limit_bytes, err) < 0)
		return -1;
	return resources_memsw(r) ? put_swap(job, h, r, err) : 0;
}

static int put_hugepage(struct cgroup_change *job, const struct hierarchy *h, const struct hugepage_limit *limit, struct error *err)
{
	const char *file = arena_printf(&job->arena, "hugetlb.%s.max", limit->page_size);

	if (!file)
		return error_set(err, ERR_EXHAUSTED, "set limits: out of memory");
	if (group_has(job->cgroup, h, file))
		return job_put(job, h, err, file, "%" PRIu64, limit->limit_bytes);
	if (limit->limit_bytes == 0)
		return 0;
	return error_set(err, ERR_STATE, "hugepage_limits: this host has no pages of %s", limit->page_size);
}

const struct cgroup_version cgroup_v2 = {
	.unified = true,
	.put_cpu = put_cpu,
	.put_memory = put_memory,
	.put_hugepage = put_hugepage,
	.oom_file = "memory.events",
};
