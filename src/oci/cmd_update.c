/* update: other limits for a container that exists. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/container.h"

struct update_options {
	const char *resources, *cpuset_cpus, *cpuset_mems;
	const char *memory, *memory_swap;
	const char *memory_reservation;
	const char *cpu_period, *cpu_quota, *cpu_share, *cpu_burst, *cpu_idle, *cpu_rt_period, *cpu_rt_runtime;
	const char *pids_limit, *blkio_weight;
};

#define TEXT(member) OPTION_TEXT, offsetof(struct update_options, member)

static const struct option_row rows[] = {
	{ 'r', "resources", "FILE", TEXT(resources), "linux.resources as JSON; - is the standard input", 0, 0 },
	{ 0, "memory", "SIZE", TEXT(memory), "memory", 0, 0 },
	{ 0, "memory-swap", "SIZE", TEXT(memory_swap), "memory and swap; -1 for no limit", 0, 0 },
	{ 0, "memory-reservation", "SIZE", TEXT(memory_reservation), "what reclaim leaves; -1 for none", 0, 0 },
	{ 0, "cpu-period", "US", TEXT(cpu_period), "period of the CPU quota", 0, 0 },
	{ 0, "cpu-quota", "US", TEXT(cpu_quota), "CPU time within a period; -1 for no limit", 0, 0 },
	{ 0, "cpu-share", "N", TEXT(cpu_share), "relative weight", 0, 0 },
	{ 0, "cpu-burst", "US", TEXT(cpu_burst), "unused CPU time that may be saved up", 0, 0 },
	{ 0, "cpu-idle", "0|1", TEXT(cpu_idle), "whether it runs only when nobody else does", 0, 0 },
	{ 0, "cpu-rt-period", "US", TEXT(cpu_rt_period), "period of realtime CPU time", 0, 0 },
	{ 0, "cpu-rt-runtime", "US", TEXT(cpu_rt_runtime), "realtime CPU time within a period", 0, 0 },
	{ 0, "cpuset-cpus", "LIST", TEXT(cpuset_cpus), "CPUs", 0, 0 },
	{ 0, "cpuset-mems", "LIST", TEXT(cpuset_mems), "memory nodes", 0, 0 },
	{ 0, "blkio-weight", "N", TEXT(blkio_weight), "relative weight of block I/O, 10 to 1000", 0, 0 },
	{ 0, "pids-limit", "N", TEXT(pids_limit), "processes; -1 for no limit", 0, 0 },
	NO_MORE_OPTIONS,
};

static int read_input(struct buffer *text, struct error *err)
{
	char data[4096];
	ssize_t n;

	while ((n = read(STDIN_FILENO, data, sizeof(data))) > 0) {
		if (buffer_append(text, data, (size_t)n, err) < 0)
			return -1;
	}
	return n < 0 ? error_set(err, ERR_INTERNAL, "read standard input") : 0;
}

static int read_resources(const char *path, struct arena *arena, cJSON **ret_json, struct resources *ret_resources,
			  struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_BYTES_MAX);
	struct place place = { .name = "resources", .arena = arena };

	if (!strcmp(path, "-") ? read_input(&text, err) < 0 : io_read_file(AT_FDCWD, path, &text, err) < 0)
		return -1;
	if (json_parse_object(text.data, text.len, "resources", ret_json, err) < 0)
		return -1;
	place.object = *ret_json;
	/* rules of devices stay as the container was made with them */
	if (member_count(&place, "devices") > 0)
		return error_set(err, ERR_UNIMPLEMENTED, "resources.devices: device rules cannot be changed");
	return resources_parse(&place, ret_resources, err);
}

static int read_size(const char *text, int64_t *number, struct error *err)
{
	if (!text)
		return 0;
	if (!strcmp(text, "-1")) {
		*number = -1;
		return 0;
	}
	return parse_size(text, number, err);
}

static int read_number(const char *text, int64_t *number, struct error *err)
{
	return text ? parse_number(text, -1, INT64_MAX, number, err) : 0;
}

/* Returns 1 when it is given. */
static int read_unsigned(const char *text, const char *name, int64_t min, int64_t max, uint64_t *number, struct error *err)
{
	int64_t value;

	if (!text)
		return 0;
	if (parse_number(text, min, max, &value, err) < 0)
		return error_prefix(err, "--%s", name);
	*number = (uint64_t)value;
	return 1;
}

static int read_more(const struct update_options *o, struct more_resources *m, struct error *err)
{
	uint64_t runtime = (uint64_t)m->cpu_realtime_runtime_us, idle = (uint64_t)m->cpu_idle;
	int has_burst = read_unsigned(o->cpu_burst, "cpu-burst", 0, INT64_MAX, &m->cpu_burst_us, err);
	int has_idle = has_burst < 0 ? -1 : read_unsigned(o->cpu_idle, "cpu-idle", 0, 1, &idle, err);
	int has_runtime = has_idle < 0 ? -1 : read_unsigned(o->cpu_rt_runtime, "cpu-rt-runtime", -1, INT64_MAX, &runtime, err);

	if (has_runtime < 0 ||
	    read_unsigned(o->cpu_rt_period, "cpu-rt-period", 1, INT64_MAX, &m->cpu_realtime_period_us, err) < 0 ||
	    read_unsigned(o->blkio_weight, "blkio-weight", 10, 1000, &m->block_weight, err) < 0)
		return -1;
	m->set_cpu_burst = m->set_cpu_burst || has_burst > 0;
	m->set_cpu_idle = m->set_cpu_idle || has_idle > 0;
	m->set_cpu_realtime_runtime = m->set_cpu_realtime_runtime || has_runtime > 0;
	m->cpu_idle = (int64_t)idle;
	m->cpu_realtime_runtime_us = (int64_t)runtime;
	return 0;
}

static int read_options(const struct update_options *o, struct resources *r, struct error *err)
{
	if (read_size(o->memory, &r->memory_limit_bytes, err) < 0 ||
	    read_size(o->memory_swap, &r->memory_swap_limit_bytes, err) < 0 ||
	    read_size(o->memory_reservation, &r->memory_reservation_bytes, err) < 0 ||
	    read_number(o->cpu_period, &r->cpu_period_us, err) < 0 || read_number(o->cpu_quota, &r->cpu_quota_us, err) < 0 ||
	    read_number(o->cpu_share, &r->cpu_shares, err) < 0 || read_number(o->pids_limit, &r->pids_limit, err) < 0)
		return -1;
	if (o->cpuset_cpus)
		r->cpuset_cpus = o->cpuset_cpus;
	if (o->cpuset_mems)
		r->cpuset_mems = o->cpuset_mems;
	return 0;
}

/* A process that is not in a hierarchy of version 1 would have to be moved there with all its children while they fork. */
static int check_hierarchies(const struct container *c, const struct resources *r, struct error *err)
{
	if (cgroup_roots_unified(c->roots) || !(resources_hierarchies(r) & ~resources_hierarchies(&c->config.resources)))
		return 0;
	return error_set(err, ERR_STATE,
			 "it was made without a limit of that controller (blockIO, network, rdma), and is in none of its groups on "
			 "cgroup version 1: give one when it is created");
}

static int apply(struct container *c, const struct update_options *options, struct more_resources *more, struct resources *r,
		 struct error *err)
{
	enum container_status status = container_status(c);

	if (!c->cgroup || status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(err, ERR_STATE, "it is %s", status_name(status));
	if (read_options(options, r, err) < 0 || read_more(options, more, err) < 0)
		return -1;
	r->more = more;
	r->restrict_devices = false;
	return check_hierarchies(c, r, err) < 0 ? -1 : container_limit(c, r, err);
}

static int run_update(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct update_options *options = opts;
	_cleanup_container_ struct container c;
	struct resources resources = { 0 };
	struct more_resources more = { 0 };
	cJSON *json = NULL;
	int result = 0;

	(void)n_args;
	container_init(&c, oci);
	if (options->resources)
		result = read_resources(options->resources, &oci->arena, &json, &resources, err);
	if (resources.more)
		more = *resources.more;
	if (result == 0)
		result = container_open(&c, args[0], true, err);
	if (result == 0 && apply(&c, options, &more, &resources, err) < 0)
		result = error_prefix(err, "update container %s", args[0]);
	cJSON_Delete(json);
	return result;
}

const struct oci_command oci_update = {
	.name = "update",
	.arguments = "ID",
	.summary = "change limits of a container",
	.options = rows,
	.options_size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_update,
};
