/* ps and events: what is in a container, and what it uses. */
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "oci/container.h"

/* --- ps ---------------------------------------------------------------------------------------------------------------- */

struct ps_options {
	const char *format;
};

static const struct option_row ps_rows[] = {
	{ 'f', "format", "FORMAT", OPTION_TEXT, offsetof(struct ps_options, format), "table, or json: the pids alone", 0, 0 },
	NO_MORE_OPTIONS,
};

static int print_json_pids(const pid_t *pids, size_t n, struct error *err)
{
	cJSON *list = cJSON_CreateArray();
	char *text = NULL;

	for (size_t i = 0; list && i < n; i++)
		(void)cJSON_AddItemToArray(list, cJSON_CreateNumber(pids[i]));
	text = list ? cJSON_PrintUnformatted(list) : NULL;
	if (text)
		(void)puts(text);
	cJSON_free(text);
	cJSON_Delete(list);
	return text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

/* Its command line, or its name in brackets as ps(1) has it; nothing that a terminal would act on. */
static void print_command(pid_t pid)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(65536);
	struct error ignored = ERROR_INIT;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	(void)io_read_file(AT_FDCWD, path, &text, &ignored);
	for (size_t i = 0; i + 1 < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		(void)putchar(c == '\0' ? ' ' : c < ' ' || c == 0x7f ? '?' : c);
	}
	if (text.len == 0)
		(void)fputs("[no command line]", stdout);
	(void)putchar('\n');
}

static int run_ps(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct ps_options *options = opts;
	bool json = options->format && !strcmp(options->format, "json");
	_cleanup_container_ struct container c;
	pid_t *pids = NULL;
	size_t n = 0;

	(void)n_args;
	container_init(&c, oci);
	if (options->format && !json && strcmp(options->format, "table") != 0)
		return error_set(err, ERR_INVALID, "--format is 'table' or 'json', not '%s'", options->format);
	if (container_open(&c, args[0], false, err) < 0)
		return -1;
	if (c.cgroup && cgroup_list_processes(c.cgroup, &oci->arena, &pids, &n, err) < 0)
		return -1;
	if (json)
		return print_json_pids(pids, n, err);
	(void)printf("%8s COMMAND\n", "PID");
	for (size_t i = 0; i < n; i++) {
		(void)printf("%8d ", pids[i]);
		print_command(pids[i]);
	}
	return 0;
}

const struct oci_command oci_ps = {
	.name = "ps",
	.arguments = "ID",
	.summary = "list the processes of a container",
	.options = ps_rows,
	.options_size = sizeof(struct ps_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_ps,
};

/* --- events ------------------------------------------------------------------------------------------------------------ */

struct events_options {
	bool stats;
	int64_t interval_ms;
};

static const struct option_row events_rows[] = {
	{ 0, "stats", NULL, OPTION_FLAG, offsetof(struct events_options, stats), "once, and no more", 0, 0 },
	{ 0, "interval", "TIME", OPTION_DURATION, offsetof(struct events_options, interval_ms), "between two; 5s", 0, 0 },
	NO_MORE_OPTIONS,
};

static void add_number(cJSON *object, const char *key, int64_t value)
{
	/* what is not to be had is left out rather than said to be 0 */
	if (object && value >= 0)
		(void)cJSON_AddNumberToObject(object, key, (double)value);
}

/* The shape that readers of other runtimes' events know. */
static void add_cpu(cJSON *data, const struct cgroup_stats *s)
{
	cJSON *cpu = cJSON_AddObjectToObject(data, "cpu");
	cJSON *usage = cpu ? cJSON_AddObjectToObject(cpu, "usage") : NULL;
	cJSON *throttling = cpu ? cJSON_AddObjectToObject(cpu, "throttling") : NULL;

	add_number(usage, "total", s->cpu_total_ns);
	add_number(usage, "user", s->cpu_user_ns);
	add_number(usage, "kernel", s->cpu_kernel_ns);
	add_number(throttling, "periods", s->cpu_periods);
	add_number(throttling, "throttledPeriods", s->cpu_throttled_periods);
	add_number(throttling, "throttledTime", s->cpu_throttled_ns);
}

static void add_memory(cJSON *data, const struct cgroup_stats *s)
{
	cJSON *memory = cJSON_AddObjectToObject(data, "memory");
	cJSON *usage = memory ? cJSON_AddObjectToObject(memory, "usage") : NULL;
	cJSON *kernel = memory ? cJSON_AddObjectToObject(memory, "kernel") : NULL;
	cJSON *raw = memory ? cJSON_AddObjectToObject(memory, "raw") : NULL;

	add_number(memory, "cache", s->memory_cache_bytes);
	add_number(usage, "usage", s->memory_usage_bytes);
	add_number(usage, "limit", s->memory_limit_bytes);
	add_number(usage, "max", s->memory_peak_bytes);
	add_number(usage, "failcnt", s->memory_failures);
	add_number(kernel, "usage", s->memory_kernel_bytes);
	add_number(raw, "rss", s->memory_rss_bytes);
}

static void add_pids(cJSON *data, const struct cgroup_stats *s)
{
	cJSON *pids = cJSON_AddObjectToObject(data, "pids");

	add_number(pids, "current", s->pids_current);
	/* 0 is "no limit" there */
	add_number(pids, "limit", s->pids_limit == INT64_MAX ? 0 : s->pids_limit);
}

static int print_stats(const struct container *c, struct error *err)
{
	struct cgroup_stats stats;
	cJSON *event = cJSON_CreateObject();
	cJSON *data = event && cJSON_AddStringToObject(event, "type", "stats") && cJSON_AddStringToObject(event, "id", c->store.id)
			      ? cJSON_AddObjectToObject(event, "data")
			      : NULL;
	char *text;

	cgroup_stats_read(c->cgroup, &stats);
	if (data) {
		add_cpu(data, &stats);
		add_memory(data, &stats);
		add_pids(data, &stats);
	}
	text = data ? cJSON_PrintUnformatted(event) : NULL;
	if (text)
		(void)puts(text);
	(void)fflush(stdout);
	cJSON_free(text);
	cJSON_Delete(event);
	return text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int run_events(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct events_options *options = opts;
	int64_t interval_ms = options->interval_ms > 0 ? options->interval_ms : 5000;
	_cleanup_container_ struct container c;
	enum container_status status;

	(void)n_args;
	container_init(&c, oci);
	if (container_open(&c, args[0], false, err) < 0)
		return -1;
	status = container_status(&c);
	if (!c.cgroup || status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(err, ERR_STATE, "container '%s' is %s", args[0], status_name(status));
	while (print_stats(&c, err) == 0) {
		if (options->stats || ferror(stdout))
			return 0;
		(void)poll(NULL, 0, interval_ms > INT32_MAX ? INT32_MAX : (int)interval_ms);
		if (container_status(&c) == STATUS_STOPPED)
			return 0;
	}
	return -1;
}

const struct oci_command oci_events = {
	.name = "events",
	.arguments = "ID",
	.summary = "print what a container uses, as JSON, until it ends",
	.options = events_rows,
	.options_size = sizeof(struct events_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_events,
};
