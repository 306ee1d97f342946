#include "task/network.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
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

int networks_open(struct node *node, struct error *err)
{
	struct lane_pool *pool = node->loop->lanes;

	for (int kind = 0; kind < NETWORK_COUNT; kind++)
		node->networks[kind].node = node;
	if (lane_open(pool, "network", &node->networks[NETWORK_BRIDGE].lane, err) < 0 ||
	    lane_open(pool, "cni", &node->networks[NETWORK_CNI].lane, err) < 0)
		return -1;
	return open_bridge(node, err) < 0 ? -1 : open_cni(node, err);
}

void networks_close(struct node *node)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++) {
		struct network *network = &node->networks[kind];

		lane_close(network->lane);
		if (network->engine)
			network->engine->ops->close(network->engine);
	}
}

int networks_begin(struct node *node, struct error *err)
{
	for (int kind = 0; kind < NETWORK_COUNT; kind++) {
		if (network_watch_open(&node->networks[kind], err) < 0)
			return -1;
	}
	return 0;
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
	return sandbox->network == NETWORK_CNI ? sandbox->lane : network_of(sandbox)->lane;
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
}

int networks_sweep(struct node *node, const char *const *live_pod_ids, size_t n, struct error *err)
{
	struct net_engine *bridge = node->networks[NETWORK_BRIDGE].engine;

	if (bridge->ops->sweep(bridge, live_pod_ids, n, err) < 0)
		return -1;
	return network_sweep_start(&node->networks[NETWORK_CNI], live_pod_ids, n, err);
}
