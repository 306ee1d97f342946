/*
 * Limits that an OCI configuration can ask for and the CRI cannot: Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst.
 *
 * What the host or the version of cgroups has no file for is refused by name: a limit that silently does not hold is none.
 */
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/cgroup_internal.h"

unsigned resources_hierarchies(const struct resources *resources)
{
	const struct more_resources *m = resources->more;

	if (!m)
		return 0;
	return (m->block_weight || m->block_leaf_weight || m->n_block_weights || m->n_block_throttles ? CGROUP_BLKIO : 0U) |
	       (m->set_net_class ? CGROUP_NET_CLS : 0U) | (m->n_net_priorities ? CGROUP_NET_PRIO : 0U) |
	       (m->n_rdma ? CGROUP_RDMA : 0U);
}

static int lacks(const struct hierarchy *h, const char *what, struct error *err)
{
	return error_set(err, ERR_STATE, "%s: %s has no such setting", what,
			 h->version->unified ? "cgroup version 2 of this kernel" : "this kernel");
}

/* --- cpu --------------------------------------------------------------------------------------------------------------- */

/* sched-rt-group.rst. The runtime is never above the period. */
static int put_realtime(struct cgroup_change *job, const struct hierarchy *h, const struct more_resources *m, struct error *err)
{
	static const char runtime[] = "cpu.rt_runtime_us", period[] = "cpu.rt_period_us";
	bool shrinks = m->cpu_realtime_period_us && !job->cgroup->fresh &&
		       group_number(job->cgroup, h, runtime) > (int64_t)m->cpu_realtime_period_us;

	if (!m->set_cpu_realtime_runtime && !m->cpu_realtime_period_us)
		return 0;
	if (!group_has(job->cgroup, h, runtime))
		return lacks(h, "cpu.realtimeRuntime and realtimePeriod", err);
	for (int i = 0; i < 2; i++) {
		bool is_runtime = shrinks ? i == 0 : i == 1;

		if (is_runtime && m->set_cpu_realtime_runtime &&
		    job_put(job, h, err, runtime, "%" PRId64, m->cpu_realtime_runtime_us) < 0)
			return -1;
		if (!is_runtime && m->cpu_realtime_period_us &&
		    job_put(job, h, err, period, "%" PRIu64, m->cpu_realtime_period_us) < 0)
			return -1;
	}
	return 0;
}

static int put_burst(struct cgroup_change *job, const struct hierarchy *h, const struct more_resources *m, struct error *err)
{
	const char *file = h->version->unified ? "cpu.max.burst" : "cpu.cfs_burst_us";

	if (!m->set_cpu_burst)
		return 0;
	if (!group_has(job->cgroup, h, file))
		return lacks(h, "cpu.burst", err);
	return job_put(job, h, err, file, "%" PRIu64, m->cpu_burst_us);
}

static int put_idle(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	const struct hierarchy *h = job_need(job, CONTROLLER_CPU, err);

	if (!h)
		return -1;
	if (!group_has(job->cgroup, h, "cpu.idle"))
		return lacks(h, "cpu.idle", err);
	return job_put(job, h, err, "cpu.idle", "%" PRId64, m->cpu_idle);
}

/* The kernel refuses shares for a group that is idle. */
int put_more_before(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	return m && m->set_cpu_idle && m->cpu_idle == 0 ? put_idle(job, m, err) : 0;
}

static int put_cpu(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	const struct hierarchy *h;

	if (m->set_cpu_idle && m->cpu_idle != 0 && put_idle(job, m, err) < 0)
		return -1;
	if (!m->set_cpu_realtime_runtime && !m->cpu_realtime_period_us && !m->set_cpu_burst)
		return 0;
	h = job_need(job, CONTROLLER_CPU, err);
	return !h || put_realtime(job, h, m, err) < 0 ? -1 : put_burst(job, h, m, err);
}

/* --- memory ------------------------------------------------------------------------------------------------------------ */

static int put_memory(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	static const char tcp[] = "memory.kmem.tcp.limit_in_bytes";
	const struct hierarchy *h;

	if (!m->memory_kernel_tcp_bytes && !m->set_oom_killer)
		return 0;
	h = job_need(job, CONTROLLER_MEMORY, err);
	if (!h)
		return -1;
	if (m->memory_kernel_tcp_bytes && !group_has(job->cgroup, h, tcp))
		return lacks(h, "memory.kernelTCP", err);
	if (m->memory_kernel_tcp_bytes && job_put(job, h, err, tcp, "%" PRId64, m->memory_kernel_tcp_bytes) < 0)
		return -1;
	/* version 2 always kills, so there is nothing to be done where that is wanted */
	if (!m->set_oom_killer || (h->version->unified && !m->disable_oom_killer))
		return 0;
	if (h->version->unified)
		return lacks(h, "memory.disableOOMKiller", err);
	return job_put(job, h, err, "memory.oom_control", "%d", m->disable_oom_killer);
}

/* --- block I/O --------------------------------------------------------------------------------------------------------- */

/* The scheduler's own name is in the file since it is not CFQ (Linux 5.0). NULL: no scheduler here knows weights. */
static const char *weight_file(const struct cgroup_change *job, const struct hierarchy *h, bool device)
{
	static const char *const v1[] = { "blkio.weight", "blkio.bfq.weight" }, *const v2[] = { "io.bfq.weight", "io.weight" },
				 *const of_device[] = { "blkio.weight_device", "blkio.bfq.weight_device" };
	const char *const *files = h->version->unified ? v2 : device ? of_device : v1;

	for (size_t i = 0; i < 2; i++) {
		if (group_has(job->cgroup, h, files[i]))
			return files[i];
	}
	return NULL;
}

/* 10 to 1000 of version 1 as the 1 to 10000 of io.weight, as other runtimes convert it; BFQ has one range on both. */
static uint64_t weight_in(const char *file, uint64_t weight)
{
	return strcmp(file, "io.weight") != 0 || weight < 10 ? weight : 1 + (weight - 10) * 9999 / 990;
}

static int put_weight(struct cgroup_change *job, const struct hierarchy *h, uint64_t weight, struct error *err)
{
	const char *file = weight_file(job, h, false);

	if (!weight)
		return 0;
	if (!file)
		return lacks(h, "blockIO.weight", err);
	return job_put(job, h, err, file, "%" PRIu64, weight_in(file, weight));
}

static int put_leaf_weight(struct cgroup_change *job, const struct hierarchy *h, uint64_t weight, struct error *err)
{
	if (!weight)
		return 0;
	if (!group_has(job->cgroup, h, "blkio.leaf_weight"))
		return lacks(h, "blockIO.leafWeight", err);
	return job_put(job, h, err, "blkio.leaf_weight", "%" PRIu64, weight);
}

/* A line for one device. `unset` takes it away again. */
static int put_device(struct cgroup_change *job, const struct hierarchy *h, const char *file, const char *line, const char *unset,
		      struct error *err)
{
	if (!line || !unset)
		return error_set(err, ERR_EXHAUSTED, "set limits: out of memory");
	if (job_put(job, h, err, file, "%s", line) < 0)
		return -1;
	job->writes[job->n_writes - 1].unset = unset;
	return 0;
}

static int put_device_weight(struct cgroup_change *job, const struct hierarchy *h, const struct block_weight *w, struct error *err)
{
	const char *file = weight_file(job, h, true), *leaf = "blkio.leaf_weight_device";
	const char *unset = arena_printf(&job->arena, h->version->unified ? "%u:%u default" : "%u:%u 0", w->major, w->minor);

	if (w->weight && !file)
		return lacks(h, "blockIO.weightDevice", err);
	if (w->leaf_weight && !group_has(job->cgroup, h, leaf))
		return lacks(h, "blockIO.weightDevice.leafWeight", err);
	if (w->weight &&
	    put_device(job, h, file, arena_printf(&job->arena, "%u:%u %" PRIu64, w->major, w->minor, weight_in(file, w->weight)),
		       unset, err) < 0)
		return -1;
	if (!w->leaf_weight)
		return 0;
	return put_device(job, h, leaf, arena_printf(&job->arena, "%u:%u %" PRIu64, w->major, w->minor, w->leaf_weight), unset,
			  err);
}

static int put_throttle(struct cgroup_change *job, const struct hierarchy *h, const struct block_throttle *t, struct error *err)
{
	static const char *const v1[] = { "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device",
					  "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device" };
	static const char *const v2[] = { "rbps", "wbps", "riops", "wiops" };
	const char *file = h->version->unified ? "io.max" : v1[t->what], *line, *unset;

	if (!group_has(job->cgroup, h, file))
		return lacks(h, "blockIO's throttles", err);
	if (h->version->unified) {
		unset = arena_printf(&job->arena, "%u:%u %s=max", t->major, t->minor, v2[t->what]);
		line = arena_printf(&job->arena, "%u:%u %s=%" PRIu64, t->major, t->minor, v2[t->what], t->rate);
	} else {
		unset = arena_printf(&job->arena, "%u:%u 0", t->major, t->minor);
		line = arena_printf(&job->arena, "%u:%u %" PRIu64, t->major, t->minor, t->rate);
	}
	return put_device(job, h, file, t->rate ? line : unset, unset, err);
}

static int put_block(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	const struct hierarchy *h;

	if (!m->block_weight && !m->block_leaf_weight && !m->n_block_weights && !m->n_block_throttles)
		return 0;
	h = job_need(job, CONTROLLER_IO, err);
	if (!h || put_weight(job, h, m->block_weight, err) < 0 || put_leaf_weight(job, h, m->block_leaf_weight, err) < 0)
		return -1;
	for (size_t i = 0; i < m->n_block_weights; i++) {
		if (put_device_weight(job, h, &m->block_weights[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < m->n_block_throttles; i++) {
		if (put_throttle(job, h, &m->block_throttles[i], err) < 0)
			return -1;
	}
	return 0;
}

/* --- network and RDMA -------------------------------------------------------------------------------------------------- */

/* A word, so that it stays the first of its line. */
static int check_word(const char *word, size_t max, const char *what, struct error *err)
{
	size_t length = word ? strlen(word) : 0;

	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)word[i] <= 0x20 || word[i] == 0x7f)
			return error_set(err, ERR_INVALID, "%s: a blank or control byte in a name", what);
	}
	return length == 0 || length > max ? error_set(err, ERR_INVALID, "%s: '%.64s' is no name", what, word ? word : "") : 0;
}

static int put_network(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	const struct hierarchy *h = m->set_net_class ? job_need(job, CONTROLLER_NET_CLS, err) : NULL;

	if (m->set_net_class && (!h || job_put(job, h, err, "net_cls.classid", "%" PRIu32, m->net_class) < 0))
		return error_prefix(err, "network.classID");
	h = m->n_net_priorities ? job_need(job, CONTROLLER_NET_PRIO, err) : NULL;
	if (m->n_net_priorities && !h)
		return error_prefix(err, "network.priorities");
	for (size_t i = 0; i < m->n_net_priorities; i++) {
		const struct net_priority *p = &m->net_priorities[i];

		if (check_word(p->interface, IF_NAMESIZE - 1, "network.priorities", err) < 0 ||
		    job_put(job, h, err, "net_prio.ifpriomap", "%s %" PRIu32, p->interface, p->priority) < 0)
			return -1;
	}
	return 0;
}

/* rdma.rst; a half that is not given stays as it is. */
static int put_rdma(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	const struct hierarchy *h = m->n_rdma ? job_need(job, CONTROLLER_RDMA, err) : NULL;

	if (m->n_rdma && !h)
		return error_prefix(err, "rdma");
	for (size_t i = 0; i < m->n_rdma; i++) {
		const struct rdma_limit *limit = &m->rdma[i];
		char handles[40] = "", objects[40] = "";

		/* IB_DEVICE_NAME_MAX */
		if (check_word(limit->device, 63, "rdma", err) < 0)
			return -1;
		if (limit->set_handles)
			(void)snprintf(handles, sizeof(handles), " hca_handle=%" PRIu32, limit->handles);
		if (limit->set_objects)
			(void)snprintf(objects, sizeof(objects), " hca_object=%" PRIu32, limit->objects);
		if (job_put(job, h, err, "rdma.max", "%s%s%s", limit->device, handles, objects) < 0)
			return -1;
	}
	return 0;
}

int put_more(struct cgroup_change *job, const struct more_resources *m, struct error *err)
{
	if (!m)
		return 0;
	if (put_cpu(job, m, err) < 0 || put_memory(job, m, err) < 0 || put_network(job, m, err) < 0 || put_rdma(job, m, err) < 0)
		return -1;
	return put_block(job, m, err);
}
