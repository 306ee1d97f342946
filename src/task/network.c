#include "task/network.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "net/cni.h"
#include "net/net.h"
#include "task/network_sweep.h"
#include "task/network_watch.h"
#include "task/node_impl.h"
#include "task/path.h"

/* ---- life ---- */

static int open_bridge(struct node *node, struct error *err)
{
	const struct config *config = node->config;
	char dir[PATH_MAX];
	const struct net_bridge_config bridge = {
		.bridge = config->bridge,
		.pod_cidr = config->pod_cidr,
		.mtu = config->mtu,
		.state_dir = dir,
	};

	if (path_format(dir, err, "%s/network", config->state_dir) < 0)
		return -1;
	return net_bridge_open(&bridge, &node->networks[NETWORK_BRIDGE].engine, err);
}

static int open_cni(struct node *node, struct error *err)
{
	const struct config *config = node->config;
	char dir[PATH_MAX];
	const struct net_cni_config cni = {
		.conf_dir = config->cni_conf_dir,
		.bin_dirs = config->cni_bin_dirs,
		.record_dir = dir,
	};

	if (path_format(dir, err, "%s/network", config->root_dir) < 0)
		return -1;
	return net_cni_open(&cni, &node->networks[NETWORK_CNI].engine, err);
}

static int open_lanes(struct node *node, struct error *err)
{
	struct lane_pool *pool = node->loop->lanes;
	struct network *cni = &node->networks[NETWORK_CNI];

	if (lane_open(pool, "network", &node->networks[NETWORK_BRIDGE].lane, err) < 0 ||
	    lane_open(pool, "cni", &cni->lane, err) < 0 || lane_open(pool, "cni sweep", &cni->sweep_lane, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(cni->plugins); i++) {
		if (lane_open(pool, "cni plugins", &cni->plugins[i], err) < 0)
			return -1;
	}
	return 0;
}

int networks_open(struct node *node, struct error *err)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++)
		node->networks[kind].node = node;
	return open_lanes(node, err) < 0 || open_bridge(node, err) < 0 ? -1 : open_cni(node, err);
}

void networks_close(struct node *node)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++) {
		struct network *network = &node->networks[kind];

		lane_close(network->lane);
		lane_close(network->sweep_lane);
		for (size_t i = 0; i < ARRAY_SIZE(network->plugins); i++)
			lane_close(network->plugins[i]);
		if (network->engine)
			network->engine->ops->close(network->engine);
	}
}

void networks_begin(struct node *node)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++) {
		struct error err = ERROR_INIT;

		if (network_watch_open(&node->networks[kind], &err) < 0)
			log_warn("net", "changes of the pod network are noticed late: %s", err.text);
	}
}

void networks_end(struct node *node)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++) {
		network_watch_close(&node->networks[kind]);
		network_sweep_stop(&node->networks[kind]);
	}
}

bool networks_have_ended(const struct node *node)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++) {
		if (node->networks[kind].watch || node->networks[kind].sweep)
			return false;
	}
	return true;
}

/* ---- choice ---- */

enum network_kind network_for_new_pods(const struct node *node)
{
	if (!strcmp(node->config->net_engine, "exec") || net_cni_is_configured(node->networks[NETWORK_CNI].engine))
		return NETWORK_CNI;
	return NETWORK_BRIDGE;
}

struct network *network_of(const struct sandbox *sandbox)
{
	return &sandbox->node->networks[sandbox->network];
}

struct lane *network_lane_of(const struct sandbox *sandbox)
{
	struct network *network = network_of(sandbox);

	return sandbox->network == NETWORK_CNI ? network->plugins[sandbox->network_turn % NET_CNI_PARALLEL] : network->lane;
}

/* ---- what is left over ---- */

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted; those that are being made are among them. NULL when memory is out. */
static const char **live_pods(const struct node *node, size_t *ret_n)
{
	const char **ids = calloc(HASH_COUNT(node->sandboxes) + 1, sizeof(*ids));
	struct sandbox *sandbox, *next;

	*ret_n = 0;
	if (!ids)
		return NULL;
	HASH_ITER (hh, node->sandboxes, sandbox, next)
		if (!sandbox->released)
			ids[(*ret_n)++] = sandbox->id;
	qsort(ids, *ret_n, sizeof(*ids), compare_ids);
	return ids;
}

int networks_sweep(struct node *node, struct error *err)
{
	struct net_engine *bridge = node->networks[NETWORK_BRIDGE].engine;
	size_t n;
	_cleanup_free_
	const char **ids = live_pods(node, &n);

	if (!ids)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (bridge->ops->sweep(bridge, ids, n, err) < 0)
		return -1;
	return network_sweep_start(&node->networks[NETWORK_CNI], ids, n, true, err);
}

/* Plugins that were not well may not have taken back what they failed to attach. */
static void sweep_again(struct network *network)
{
	struct error err = ERROR_INIT;
	size_t n;
	_cleanup_free_
	const char **ids = live_pods(network->node, &n);

	if (network->sweep || network->node->closing)
		return;
	if (ids && network_sweep_start(network, ids, n, false, &err) < 0)
		log_warn("net", "sweep the pod network: %s", err.text);
}

/* ---- how they are ---- */

bool network_serves(const struct network *network)
{
	return network == &network->node->networks[network_for_new_pods(network->node)];
}

void network_learn(struct network *network, bool is_ready, const char *reason)
{
	bool was_ready = network->is_ready, is_known = network->checked_us != 0;

	if (!is_ready && (was_ready || !is_known) && network_serves(network))
		log_warn("net", "the pod network is not ready: %s", reason);
	else if (is_ready && !was_ready && is_known && network_serves(network))
		log_info("net", "the pod network is ready again");
	network->checked_us = clock_monotonic_us();
	network->is_ready = is_ready;
	(void)snprintf(network->reason, sizeof(network->reason), "%s", is_ready ? "" : reason);
	utf8_tidy(network->reason);
	if (is_ready && !was_ready && is_known && network == &network->node->networks[NETWORK_CNI])
		sweep_again(network);
}
