/* "linux.resources" of config.json, and the document that `update --resources` reads. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "oci/config.h"

#define RULES_MAX 1024
#define LIMITS_MAX 64

/* "kernel" limits what no kernel since 5.16 limits; the specification says to ignore it. "useHierarchy" says what they all do. */
static int parse_memory(const struct place *resources, struct resources *r, struct more_resources *more, struct error *err)
{
	struct place memory;
	int64_t swappiness = 0;
	int has_swappiness;

	if (member_object(resources, "memory", &memory, err) < 0)
		return -1;
	if (member_number(&memory, "limit", -1, INT64_MAX, &r->memory_limit_bytes, err) < 0 ||
	    member_number(&memory, "swap", -1, INT64_MAX, &r->memory_swap_limit_bytes, err) < 0 ||
	    member_number(&memory, "reservation", -1, INT64_MAX, &r->memory_reservation_bytes, err) < 0 ||
	    member_number(&memory, "kernelTCP", -1, INT64_MAX, &more->memory_kernel_tcp_bytes, err) < 0 ||
	    member_flag(&memory, "disableOOMKiller", &more->disable_oom_killer, err) < 0 ||
	    member_flag(&memory, "checkBeforeUpdate", &more->check_memory, err) < 0)
		return -1;
	more->set_oom_killer = member_get(&memory, "disableOOMKiller") != NULL;
	has_swappiness = member_number(&memory, "swappiness", 0, 100, &swappiness, err);
	r->set_memory_swappiness = has_swappiness > 0;
	r->memory_swappiness = (uint64_t)swappiness;
	return has_swappiness < 0 ? -1 : 0;
}

/* Those for which 0 is a value. */
static int parse_cpu_more(const struct place *cpu, struct more_resources *more, struct error *err)
{
	int runtime = member_number(cpu, "realtimeRuntime", INT64_MIN, INT64_MAX, &more->cpu_realtime_runtime_us, err), burst, idle;

	if (runtime < 0 || member_unsigned(cpu, "realtimePeriod", &more->cpu_realtime_period_us, err) < 0)
		return -1;
	burst = member_unsigned(cpu, "burst", &more->cpu_burst_us, err);
	idle = burst < 0 ? -1 : member_number(cpu, "idle", 0, 1, &more->cpu_idle, err);
	more->set_cpu_realtime_runtime = runtime > 0;
	more->set_cpu_burst = burst > 0;
	more->set_cpu_idle = idle > 0;
	return idle < 0 ? -1 : 0;
}

static int parse_cpu(const struct place *resources, struct resources *r, struct more_resources *more, struct error *err)
{
	struct place cpu;

	if (member_object(resources, "cpu", &cpu, err) < 0 || parse_cpu_more(&cpu, more, err) < 0)
		return -1;
	if (member_number(&cpu, "shares", 0, INT64_MAX, &r->cpu_shares, err) < 0 ||
	    member_number(&cpu, "quota", INT64_MIN, INT64_MAX, &r->cpu_quota_us, err) < 0 ||
	    member_number(&cpu, "period", 0, INT64_MAX, &r->cpu_period_us, err) < 0 ||
	    member_text(&cpu, "cpus", &r->cpuset_cpus, err) < 0 || member_text(&cpu, "mems", &r->cpuset_mems, err) < 0)
		return -1;
	return 0;
}

struct lists {
	struct hugepage_limit *hugepages;
	struct unified_entry *unified;
	struct device_rule *rules;
	size_t n;
	bool restricted;
};

static int on_hugepage(const struct place *place, size_t index, void *data, struct error *err)
{
	struct lists *lists = data;
	struct hugepage_limit *limit = &lists->hugepages[index];

	limit->page_size = "";
	return member_text(place, "pageSize", &limit->page_size, err) < 0 ||
			       member_unsigned(place, "limit", &limit->limit_bytes, err) < 0
		       ? -1
		       : 0;
}

static int parse_hugepages(const struct place *resources, struct resources *r, struct error *err)
{
	size_t n = member_count(resources, "hugepageLimits");
	struct lists lists = { .hugepages = arena_new_array(resources->arena, struct hugepage_limit, n + 1) };

	if (n > LIMITS_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s.hugepageLimits has %zu entries, limit %d", resources->name, n, LIMITS_MAX);
	if (!lists.hugepages)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	r->hugepages = lists.hugepages;
	r->n_hugepages = n;
	return member_objects(resources, "hugepageLimits", on_hugepage, &lists, err);
}

static int parse_unified(const struct place *resources, struct resources *r, struct error *err)
{
	size_t n = member_count(resources, "unified"), i = 0;
	struct unified_entry *entries = arena_new_array(resources->arena, struct unified_entry, n + 1);
	struct place unified;
	const cJSON *item;

	if (member_object(resources, "unified", &unified, err) < 0)
		return -1;
	if (n > LIMITS_MAX || !entries)
		return error_set(err, ERR_EXHAUSTED, "%s has %zu entries, limit %d", unified.name, n, LIMITS_MAX);
	cJSON_ArrayForEach(item, unified.object)
	{
		if (!cJSON_IsString(item))
			return error_set(err, ERR_INVALID, "%s.%.64s is not a string", unified.name, item->string);
		entries[i++] = (struct unified_entry){ item->string, item->valuestring };
	}
	r->unified = entries;
	r->n_unified = n;
	return 0;
}

/* "wr" is "rw". */
static const char *clean_access(const struct place *place, const char *access)
{
	char clean[4];
	size_t n = 0;

	for (const char *p = "rwm"; *p; p++) {
		if (strchr(access, *p))
			clean[n++] = *p;
	}
	clean[n] = '\0';
	return n == 0 || access[strspn(access, "rwm")] ? NULL : arena_strdup(place->arena, clean);
}

static int read_rule(const struct place *place, struct device_rule *rule, bool *allow, struct error *err)
{
	int64_t major = -1, minor = -1;
	const char *type = "a", *access = "rwm";

	if (member_flag(place, "allow", allow, err) < 0 || member_text(place, "type", &type, err) < 0 ||
	    member_text(place, "access", &access, err) < 0 || member_number(place, "major", -1, INT32_MAX, &major, err) < 0 ||
	    member_number(place, "minor", -1, INT32_MAX, &minor, err) < 0)
		return -1;
	*rule = (struct device_rule){ *type ? type[0] : 'a', (int)major, (int)minor, clean_access(place, access) };
	if (!strchr("acb", rule->type) || (*type && type[1]))
		return error_set(err, ERR_INVALID, "%s.type: unknown device type '%.16s'", place->name, type);
	return rule->access ? 0 : error_set(err, ERR_INVALID, "%s.access: '%.16s' is not of r, w and m", place->name, access);
}

static bool is_for_all(const struct device_rule *rule)
{
	return rule->type == 'a' && rule->major < 0 && rule->minor < 0 && !strcmp(rule->access, "rwm");
}

static bool are_equal(const struct device_rule *a, const struct device_rule *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor && !strcmp(a->access, b->access);
}

/* Rules take effect in their order; what is in force afterwards is a list of exceptions from "none". */
static int on_rule(const struct place *place, size_t index, void *data, struct error *err)
{
	struct lists *lists = data;
	struct device_rule rule;
	bool allow = false;

	(void)index;
	if (read_rule(place, &rule, &allow, err) < 0)
		return -1;
	if (is_for_all(&rule)) {
		lists->restricted = !allow;
		lists->n = 0;
		return 0;
	}
	if (allow && lists->restricted)
		lists->rules[lists->n++] = rule;
	if (allow)
		return 0;
	for (size_t i = 0; lists->restricted && i < lists->n; i++) {
		if (are_equal(&lists->rules[i], &rule)) {
			lists->rules[i] = lists->rules[--lists->n];
			return 0;
		}
	}
	return error_set(err, ERR_UNIMPLEMENTED, "%s: a rule that denies part of what is allowed is not supported", place->name);
}

/* Without a rule nothing but the default devices is allowed, as with every runtime. */
static int parse_devices(const struct place *resources, struct resources *r, struct error *err)
{
	size_t n = member_count(resources, "devices");
	struct lists lists = { .rules = arena_new_array(resources->arena, struct device_rule, n + 1), .restricted = true };

	if (n > RULES_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s.devices has %zu entries, limit %d", resources->name, n, RULES_MAX);
	if (!lists.rules)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (member_objects(resources, "devices", on_rule, &lists, err) < 0)
		return -1;
	r->restrict_devices = lists.restricted;
	r->devices = lists.rules;
	r->n_devices = lists.n;
	return 0;
}

int resources_parse(const struct place *place, struct resources *ret_resources, struct error *err)
{
	struct more_resources *more = arena_new(place->arena, struct more_resources);
	struct resources *r = ret_resources;
	struct place pids;

	if (!more)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*r = (struct resources){ .more = more };
	if (parse_memory(place, r, more, err) < 0 || parse_cpu(place, r, more, err) < 0 || io_parse(place, more, err) < 0 ||
	    parse_hugepages(place, r, err) < 0 || parse_unified(place, r, err) < 0 || parse_devices(place, r, err) < 0)
		return -1;
	if (member_object(place, "pids", &pids, err) < 0 ||
	    member_number(&pids, "limit", INT64_MIN, INT64_MAX, &r->pids_limit, err) < 0)
		return -1;
	/* every negative number is "no limit" there, -1 alone here */
	r->pids_limit = r->pids_limit < 0 ? -1 : r->pids_limit;
	r->cpu_quota_us = r->cpu_quota_us < 0 ? -1 : r->cpu_quota_us;
	return 0;
}
