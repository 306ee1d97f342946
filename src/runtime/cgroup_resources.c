/*
 * Limits.
 *
 * The resources become a list of writes, each to one file, checked as a whole before the first is done. When one of them fails, those
 * before it are taken back, so that a group never stands with half of its limits; a group that was just made is not worth that, since
 * its maker removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/cgroup_device.h"
#include "runtime/cgroup_internal.h"

/* A file of a controller is small; memory.stat, the longest that anybody reads here, has some 50 lines. */
#define FILE_BYTES 16384

/* Sizes of huge pages of one architecture: arm64 has four. Keys of `unified` that make sense: some twenty. */
#define HUGEPAGES_MAX 16
#define UNIFIED_MAX 64
#define UNIFIED_VALUE_LEN 4096

/* MIN_SHARES of the kernel's scheduler. */
#define LEAST_SHARES 2

static int group_path(char path[PATH_LEN_MAX + 128], const struct cgroup *cgroup, const char *file)
{
	int n = snprintf(path, PATH_LEN_MAX + 128, "%s/%s", cgroup_relative(cgroup->path), file);

	return n < PATH_LEN_MAX + 128 ? 0 : -1;
}

int group_open(const struct cgroup *cgroup, const struct hierarchy *h, const char *file, int flags, struct error *err)
{
	char path[PATH_LEN_MAX + 128];
	int fd;

	if (group_path(path, cgroup, file) < 0)
		return error_sys(err, ENAMETOOLONG, "open %s", file);
	fd = openat(h->root, path, flags | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "open %s in hierarchy %s", *file ? file : "it", h->name) : fd;
}

bool group_has(const struct cgroup *cgroup, const struct hierarchy *h, const char *file)
{
	char path[PATH_LEN_MAX + 128];

	return group_path(path, cgroup, file) == 0 && faccessat(h->root, path, F_OK, 0) == 0;
}

char *group_read(const struct cgroup *cgroup, const struct hierarchy *h, const char *file, struct arena *arena, struct error *err)
{
	_cleanup_fd_ int fd = group_open(cgroup, h, file, O_RDONLY, err);
	char text[FILE_BYTES];
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return NULL;
	while (n > 0 && len < sizeof(text) - 1) {
		n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n < 0) {
			(void)error_sys(err, errno, "read %s", file);
			return NULL;
		}
		len += (size_t)n;
	}
	return arena_strndup(arena, text, len);
}

int64_t group_number(const struct cgroup *cgroup, const struct hierarchy *h, const char *file)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error ignored = ERROR_INIT;
	const char *text = group_read(cgroup, h, file, &arena, &ignored);
	char *end;
	int64_t value;

	if (!text)
		return -1;
	if (!strncmp(text, "max", 3))
		return INT64_MAX;
	errno = 0;
	value = strtoll(text, &end, 10);
	return end == text || errno ? -1 : value;
}

int job_put(struct cgroup_change *job, const struct hierarchy *h, struct error *err, const char *file, const char *fmt, ...)
{
	_cleanup_free_
	char *value = NULL;
	struct limit_write write = { .hierarchy = h, .file = file };
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&value, fmt, args);
	va_end(args);
	if (n < 0)
		return error_sys(err, ENOMEM, "set limits");
	if (job->n_writes == LIMIT_WRITES_MAX)
		return error_set(err, ERR_INVALID, "set limits: more than %d files", LIMIT_WRITES_MAX);
	write.value = arena_strdup(&job->arena, value);
	if (!write.value)
		return error_sys(err, ENOMEM, "set limits");
	job->writes[job->n_writes++] = write;
	return 0;
}

/* Version 2's controllers are turned on when they are off. */
const struct hierarchy *job_need(struct cgroup_change *job, enum controller controller, struct error *err)
{
	const struct hierarchy *h = roots_find(job->cgroup->roots, controller);

	if (!h) {
		(void)error_set(err, ERR_STATE, "this host has no %s controller", controller_name(controller, &cgroup_v1));
		return NULL;
	}
	if (h->version->unified && v2_enable(h, job->cgroup->path, CONTROLLER_BIT(controller), err) < 0)
		return NULL;
	return h;
}

/* -1, "unlimited", is the only negative number with a meaning. */
static int check_number(int64_t value, const char *field, struct error *err)
{
	if (value < -1)
		return error_set(err, ERR_INVALID, "%s: %" PRId64 " is negative", field, value);
	return 0;
}

static int check_numbers(const struct resources *r, struct error *err)
{
	if (r->cpu_period_us < 0)
		return error_set(err, ERR_INVALID, "cpu_period: %" PRId64 " is negative", r->cpu_period_us);
	if (r->cpu_shares < 0)
		return error_set(err, ERR_INVALID, "cpu_shares: %" PRId64 " is negative", r->cpu_shares);
	if (check_number(r->cpu_quota_us, "cpu_quota", err) < 0 || check_number(r->pids_limit, "pids_limit", err) < 0 ||
	    check_number(r->memory_limit_bytes, "memory_limit_in_bytes", err) < 0 ||
	    check_number(r->memory_swap_limit_bytes, "memory_swap_limit_in_bytes", err) < 0 ||
	    check_number(r->memory_reservation_bytes, "memory.reservation", err) < 0)
		return -1;
	if (r->memory_swap_limit_bytes > 0 && r->memory_limit_bytes <= 0)
		return error_set(err, ERR_INVALID, "memory_swap_limit_in_bytes without memory_limit_in_bytes");
	if (r->memory_swap_limit_bytes > 0 && r->memory_swap_limit_bytes < r->memory_limit_bytes)
		return error_set(err, ERR_INVALID,
				 "memory_swap_limit_in_bytes: %" PRId64 " is below memory_limit_in_bytes %" PRId64,
				 r->memory_swap_limit_bytes, r->memory_limit_bytes);
	return 0;
}

static int put_cpu(struct cgroup_change *job, const struct resources *r, struct error *err)
{
	const struct hierarchy *h;

	/* Without the controller nobody is limited and nobody preferred: what says no more than that holds by itself. Kubelets send the least
	 * share and the usual period for every container. */
	if (r->cpu_quota_us <= 0 && r->cpu_shares <= LEAST_SHARES && !roots_find(job->cgroup->roots, CONTROLLER_CPU))
		return 0;
	if (!r->cpu_shares && !r->cpu_quota_us && !r->cpu_period_us)
		return 0;
	h = job_need(job, CONTROLLER_CPU, err);
	return h ? h->version->put_cpu(job, h, r, err) : -1;
}

static int put_memory(struct cgroup_change *job, const struct resources *r, struct error *err)
{
	const struct hierarchy *h;

	if (!r->memory_limit_bytes && !r->memory_swap_limit_bytes && !r->memory_reservation_bytes && !r->set_memory_swappiness)
		return 0;
	h = job_need(job, CONTROLLER_MEMORY, err);
	return h ? h->version->put_memory(job, h, r, err) : -1;
}

static int put_pids(struct cgroup_change *job, const struct resources *r, struct error *err)
{
	const struct hierarchy *h;

	if (!r->pids_limit)
		return 0;
	h = job_need(job, CONTROLLER_PIDS, err);
	if (!h)
		return -1;
	if (r->pids_limit < 0)
		return job_put(job, h, err, "pids.max", "max");
	return job_put(job, h, err, "pids.max", "%" PRId64, r->pids_limit);
}

/* "0-3,8": anything else would be a second line or a word to the kernel. */
static int put_cpuset_file(struct cgroup_change *job, const char *file, const char *value, struct error *err)
{
	const struct hierarchy *h;

	if (!value || !*value)
		return 0;
	if (value[strspn(value, "0123456789,-")] || strlen(value) >= UNIFIED_VALUE_LEN)
		return error_set(err, ERR_INVALID, "%s: '%.100s' is not a list of numbers and ranges", file, value);
	h = job_need(job, CONTROLLER_CPUSET, err);
	return h ? job_put(job, h, err, file, "%s", value) : -1;
}

/* "64KB", "2MB", "1GB". */
static int check_page_size(const char *size, struct error *err)
{
	size_t digits = size ? strspn(size, "0123456789") : 0;

	if (digits == 0 || digits > 6 || size[0] == '0' ||
	    (strcmp(size + digits, "KB") && strcmp(size + digits, "MB") && strcmp(size + digits, "GB")))
		return error_set(err, ERR_INVALID, "hugepage_limits: '%.20s' is not a page size", size ? size : "");
	return 0;
}

static int put_hugepage(struct cgroup_change *job, const struct hugepage_limit *limit, struct error *err)
{
	const struct hierarchy *h = roots_find(job->cgroup->roots, CONTROLLER_HUGETLB);

	if (check_page_size(limit->page_size, err) < 0)
		return -1;
	/* Kubelet sends a zero limit for every size there is, on hosts without the controller too (see cgroup.h). */
	if (limit->limit_bytes == 0 && (!h || (h->version->unified && !cgroup_roots_unified(job->cgroup->roots))))
		return 0;
	h = job_need(job, CONTROLLER_HUGETLB, err);
	return h ? h->version->put_hugepage(job, h, limit, err) : -1;
}

static int put_hugepages(struct cgroup_change *job, const struct resources *r, struct error *err)
{
	if (r->n_hugepages > HUGEPAGES_MAX)
		return error_set(err, ERR_INVALID, "hugepage_limits: %zu of them, more than %d", r->n_hugepages, HUGEPAGES_MAX);
	for (size_t i = 0; i < r->n_hugepages; i++) {
		if (put_hugepage(job, &r->hugepages[i], err) < 0)
			return -1;
	}
	return 0;
}

/* A file of a controller, "memory.high", and nothing else: cgroup.* would move processes or hand the group over. */
static int parse_unified_name(const char *file, enum controller *ret_controller, struct error *err)
{
	size_t prefix = file ? strcspn(file, ".") : 0;
	int controller = prefix ? controller_parse(file, prefix) : -1;

	if (!file || strlen(file) > 64 || file[strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._")] ||
	    !file[prefix] || strstr(file, ".."))
		return error_set(err, ERR_INVALID, "unified: '%.64s' is not a file of a controller", file ? file : "");
	if (controller < 0 || !controller_name((enum controller)controller, &cgroup_v2))
		return error_set(err, ERR_INVALID, "unified: '%s' belongs to no known controller", file);
	*ret_controller = (enum controller)controller;
	return 0;
}

static int put_unified(struct cgroup_change *job, const struct unified_entry *entry, struct error *err)
{
	const struct hierarchy *h;
	enum controller controller = CONTROLLER_CPU;

	if (parse_unified_name(entry->file, &controller, err) < 0)
		return -1;
	if (!entry->value || !*entry->value || strlen(entry->value) > UNIFIED_VALUE_LEN)
		return error_set(err, ERR_INVALID, "unified: %s has an empty or overlong value", entry->file);
	for (const char *p = entry->value; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return error_set(err, ERR_INVALID, "unified: the value of %s holds a control byte", entry->file);
	}
	h = roots_find(job->cgroup->roots, controller);
	if (!h || !h->version->unified)
		return error_set(err, ERR_STATE,
				 "unified: %s needs that controller on cgroup version 2, which this host does not have",
				 entry->file);
	if (!job_need(job, controller, err))
		return -1;
	return job_put(job, h, err, entry->file, "%s", entry->value);
}

static int put_all_unified(struct cgroup_change *job, const struct resources *r, struct error *err)
{
	if (r->n_unified > UNIFIED_MAX)
		return error_set(err, ERR_INVALID, "unified: %zu entries, more than %d", r->n_unified, UNIFIED_MAX);
	/* io.max and its kin last: they hold a line for each device, which nothing takes away again, so nothing may fail after them. */
	for (int io = 0; io <= 1; io++) {
		for (size_t i = 0; i < r->n_unified; i++) {
			const char *file = r->unified[i].file;

			if ((file && !strncmp(file, "io.", 3)) == io && put_unified(job, &r->unified[i], err) < 0)
				return -1;
		}
	}
	return 0;
}

static int lay_out(struct cgroup_change *job, const struct resources *r, struct error *err)
{
	if (check_numbers(r, err) < 0 || put_more_before(job, r->more, err) < 0 || put_cpu(job, r, err) < 0 ||
	    put_memory(job, r, err) < 0 || put_pids(job, r, err) < 0)
		return -1;
	if (put_cpuset_file(job, "cpuset.cpus", r->cpuset_cpus, err) < 0 ||
	    put_cpuset_file(job, "cpuset.mems", r->cpuset_mems, err) < 0)
		return -1;
	if (put_hugepages(job, r, err) < 0 || put_more(job, r->more, err) < 0)
		return -1;
	return put_all_unified(job, r, err);
}

static int write_one(const struct cgroup *cgroup, const struct limit_write *w, const char *value, struct error *err)
{
	_cleanup_fd_ int fd = group_open(cgroup, w->hierarchy, w->file, O_WRONLY, err);

	if (fd < 0)
		return -1;
	if (write(fd, value, strlen(value)) >= 0)
		return 0;
	if (errno == EBUSY) /* version 1's memory, after an attempt to reclaim */
		return error_set(err, ERR_STATE, "set %s to '%s': more than that is in use", w->file, value);
	if (errno == EINVAL || errno == ERANGE)
		return error_set(err, ERR_INVALID, "set %s to '%s': the kernel refuses that value", w->file, value);
	return error_sys(err, errno, "set %s to '%s'", w->file, value);
}

static int write_all(struct cgroup_change *job, struct error *err)
{
	struct error ignored = ERROR_INIT;

	for (; job->n_done < job->n_writes; job->n_done++) {
		struct limit_write *w = &job->writes[job->n_done];

		if (!job->cgroup->fresh)
			w->old = group_read(job->cgroup, w->hierarchy, w->file, &job->arena, &ignored);
		if (write_one(job->cgroup, w, w->value, err) < 0)
			return -1;
	}
	return 0;
}

/* A file with a line for each device takes one at a time. */
static void put_back(const struct cgroup_change *job, const struct limit_write *w)
{
	struct error ignored = ERROR_INIT;
	char *rest = w->old, *line;

	if (w->unset)
		(void)write_one(job->cgroup, w, w->unset, &ignored);
	if (rest && !*rest)
		(void)write_one(job->cgroup, w, "\n", &ignored);
	while (rest && *rest && (line = strsep(&rest, "\n")))
		(void)write_one(job->cgroup, w, *line ? line : "\n", &ignored);
}

/* Backwards, so that pairs of limits pass through the same states. */
void cgroup_change_undo(struct cgroup_change *job)
{
	for (; job->n_done > 0; job->n_done--)
		put_back(job, &job->writes[job->n_done - 1]);
}

void cgroup_change_free(struct cgroup_change *job)
{
	if (!job)
		return;
	arena_release(&job->arena);
	free(job);
}

int cgroup_change(struct cgroup *cgroup, const struct resources *resources, struct cgroup_change **ret_change, struct error *err)
{
	struct cgroup_change *job = calloc(1, sizeof(*job));

	if (!job)
		return error_sys(err, ENOMEM, "cgroup %s", cgroup->path);
	job->cgroup = cgroup;
	if (lay_out(job, resources, err) < 0 || write_all(job, err) < 0) {
		cgroup_change_undo(job);
		cgroup_change_free(job);
		return error_prefix(err, "cgroup %s", cgroup->path);
	}
	*ret_change = job;
	return 0;
}

int cgroup_apply(struct cgroup *cgroup, const struct resources *resources, struct error *err)
{
	struct cgroup_change *change;
	int r = 0;

	if (cgroup_change(cgroup, resources, &change, err) < 0)
		return -1;
	/* Last: what devices a group had cannot be read back in a form to put back, and nothing after this can fail. */
	if (resources->restrict_devices && cgroup_restrict_devices(cgroup, resources->devices, resources->n_devices, err) < 0) {
		cgroup_change_undo(change);
		r = error_prefix(err, "cgroup %s", cgroup->path);
	}
	cgroup_change_free(change);
	cgroup->fresh = cgroup->fresh && r < 0;
	return r;
}

/* The number in the line "KEY N" of the file that counts what the OOM killer did; 0 when there is none. */
static uint64_t oom_count(const struct cgroup *cgroup, const char *key)
{
	const struct hierarchy *h = roots_find(cgroup->roots, CONTROLLER_MEMORY);
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error ignored = ERROR_INIT;
	const char *line = h ? group_read(cgroup, h, h->version->oom_file, &arena, &ignored) : NULL;
	size_t len = strlen(key);

	while (line && (strncmp(line, key, len) != 0 || line[len] != ' ')) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return line ? strtoull(line + len, NULL, 10) : 0;
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
	return oom_count(cgroup, "oom_kill");
}

bool cgroup_oom_killed_all(const struct cgroup *cgroup)
{
	return oom_count(cgroup, "oom_group_kill") > 0;
}
