#include "task/network_sweep.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"
#include "net/cni.h"
#include "task/node_impl.h"

/* Five hundred pods at half a second each, twice. */
#define SWEEP_LIMIT_MS (10 * 60 * 1000)

struct network_sweep {
	struct job job;
	struct network *network;
	char **leftovers, **live;
	bool after_start;
	atomic_bool stop;
};

static struct network_sweep *sweep_of(struct job *job)
{
	return container_of(job, struct network_sweep, job);
}

static void free_sweep(struct network_sweep *sweep)
{
	strv_free(sweep->leftovers);
	strv_free(sweep->live);
	free(sweep);
}

/* A pod of another network has no record, and one that has ended meanwhile has none any more. */
static void check(struct net_engine *engine, const char *id)
{
	const struct net_request request = { .pod_id = id, .pod_name = id, .netns = -1 };
	struct error err = ERROR_INIT;

	if (net_cni_check(engine, &request, &err) < 0 && err.code != ERR_NOT_FOUND)
		log_warn("net", "pod %.12s is not attached as it was: %s", id, err.text);
}

static void detach(struct net_engine *engine, const char *id)
{
	const struct net_request request = { .pod_id = id, .pod_name = id, .netns = -1 };
	struct error err = ERROR_INIT;

	if (engine->ops->detach(engine, &request, &err) < 0)
		log_warn("net", "detach pod %.12s, which is gone: %s", id, err.text);
	else
		log_info("net", "detached pod %.12s, which is gone", id);
}

static int work(struct job *job, struct error *err)
{
	struct network_sweep *sweep = sweep_of(job);
	struct net_engine *engine = sweep->network->engine;

	for (char **id = sweep->leftovers; *id && !atomic_load(&sweep->stop); id++)
		detach(engine, *id);
	if (!sweep->after_start)
		return 0;
	if (!atomic_load(&sweep->stop) && net_cni_collect(engine, err) < 0)
		log_warn("net", "collect what is left over: %s", err->text);
	for (char **id = sweep->live; *id && !atomic_load(&sweep->stop); id++)
		check(engine, *id);
	return 0;
}

static void on_done(struct job *job, int result, const struct error *err)
{
	(void)job;
	if (result < 0)
		log_warn("net", "sweep the pod network: %s", err->text);
}

static void on_released(struct job *job)
{
	struct network_sweep *sweep = sweep_of(job);
	struct node *node = sweep->network->node;

	sweep->network->sweep = NULL;
	free_sweep(sweep);
	node_advance_close(node);
}

static int copy_ids(char ***ret_ids, const char *const *ids, size_t n, struct error *err)
{
	*ret_ids = strv_new();
	if (!*ret_ids)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < n; i++) {
		if (strv_append(ret_ids, ids[i], err) < 0)
			return -1;
	}
	return 0;
}

int network_sweep_start(struct network *network, const char *const *live_pod_ids, size_t n, bool after_start, struct error *err)
{
	struct network_sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	sweep->network = network;
	sweep->after_start = after_start;
	sweep->job = (struct job){ .name = "sweep the pod network",
				   .work = work,
				   .done = on_done,
				   .release = on_released,
				   .deadline_ms = SWEEP_LIMIT_MS };
	if (net_cni_leftovers(network->engine, live_pod_ids, n, &sweep->leftovers, err) == 0 &&
	    copy_ids(&sweep->live, live_pod_ids, n, err) == 0 && lane_submit(network->sweep_lane, &sweep->job, err) == 0) {
		network->sweep = sweep;
		return 0;
	}
	free_sweep(sweep);
	return -1;
}

void network_sweep_stop(struct network *network)
{
	if (network->sweep)
		atomic_store(&network->sweep->stop, true);
}
