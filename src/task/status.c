/*
 * Status: are we able to start pods? The network is asked each time, in its lane; when that lane is too busy to answer in time,
 * what it said last holds for a while.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "loop/lane.h"
#include "loop/loop.h"
#include "net/net.h"
#include "runtime/cgroup.h"
#include "task/machines.h"
#include "task/network_watch.h"
#include "task/node_impl.h"
#include "task/operation.h"

/* Kubelet asks every 5 s and waits 2 minutes; a storm of pod starts may keep the lane for seconds. */
#define ASK_DEADLINE_MS 2000
#define TRUST_US (INT64_C(60) * 1000000)

struct status {
	struct operation op;     /* first */
	struct network *network; /* for new pods */
	bool verbose;
	bool ready;
	char reason[256];
	char network_text[512]; /* for the verbose answer */
};

static step_fn ask_network;

static const struct step steps[] = {
	/* name         run          undo  deadline_ms */
	{ "network", ask_network, NULL, ASK_DEADLINE_MS },
};

const struct machine status_machine = MACHINE("status", steps);

/* One line. */
static void describe(struct net_engine *engine, char *text, size_t size)
{
	FILE *stream = fmemopen(text, size, "w");

	if (!stream)
		return;
	engine->ops->describe(engine, stream);
	(void)fclose(stream);
	text[size - 1] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int ask_network_work(struct task *task, struct error *err)
{
	struct status *op = container_of(task, struct status, op.task);
	struct net_engine *engine = op->network->engine;
	struct error reason = ERROR_INIT;

	(void)err;
	op->ready = engine->ops->ready(engine, &reason) == 0;
	(void)snprintf(op->reason, sizeof(op->reason), "%.255s", op->ready ? "" : reason.text);
	utf8_tidy(op->reason);
	if (op->verbose)
		describe(engine, op->network_text, sizeof(op->network_text));
	return 0;
}

static enum verdict ask_network(struct task *task, struct error *err)
{
	return task_run_in_lane(task, container_of(task, struct status, op.task)->network->lane, ask_network_work, err);
}

/* ---- the answer ---- */

static void init_condition(Cri__RuntimeCondition *condition, char *type, bool status, char *reason, char *message)
{
	cri__runtime_condition__init(condition);
	condition->type = type;
	condition->status = status;
	condition->reason = reason;
	condition->message = message;
}

static void add_lanes(cJSON *root, struct loop *loop)
{
	cJSON *lanes = cJSON_AddObjectToObject(root, "lanes"), *lag = cJSON_AddObjectToObject(root, "loopLag");
	struct lane_stats stats;

	lane_pool_stats(loop->lanes, &stats);
	(void)cJSON_AddNumberToObject(lanes, "threads", stats.threads);
	(void)cJSON_AddNumberToObject(lanes, "busy", stats.busy);
	(void)cJSON_AddNumberToObject(lanes, "stuck", stats.stuck);
	(void)cJSON_AddNumberToObject(lanes, "queued", stats.queued);
	(void)cJSON_AddNumberToObject(lag, "turns", (double)loop->lag.turns);
	(void)cJSON_AddNumberToObject(lag, "maxUs", (double)loop->lag.max_us);
	(void)cJSON_AddNumberToObject(lag, "totalUs", (double)loop->lag.total_us);
	(void)cJSON_AddNumberToObject(lag, "over1ms", (double)loop->lag.over_1ms);
	(void)cJSON_AddNumberToObject(lag, "over10ms", (double)loop->lag.over_10ms);
}

static void add_text(cJSON *root, const char *name, FILE *stream, char **text)
{
	size_t len;

	if (fclose(stream) != 0 || !*text)
		return;
	len = strlen(*text);
	while (len > 0 && (*text)[len - 1] == '\n')
		(*text)[--len] = '\0';
	(void)cJSON_AddStringToObject(root, name, *text);
}

static void add_engines(cJSON *root, const struct status *op)
{
	_cleanup_free_
	char *cgroups = NULL;
	size_t size;
	FILE *stream = open_memstream(&cgroups, &size);

	if (stream) {
		cgroup_roots_describe(op->op.node->cgroups, stream);
		add_text(root, "cgroups", stream, &cgroups);
	}
	(void)cJSON_AddStringToObject(root, "network", op->network_text);
}

static char *verbose_text(const struct status *op, struct arena *arena)
{
	const struct node *node = op->op.node;
	cJSON *root = cJSON_CreateObject();
	char *text, *copy;

	(void)cJSON_AddNumberToObject(root, "sandboxes", HASH_COUNT(node->sandboxes));
	(void)cJSON_AddNumberToObject(root, "containers", HASH_COUNT(node->containers));
	add_lanes(root, node->loop);
	add_engines(root, op);
	text = cJSON_PrintUnformatted(root);
	copy = arena_strdup(arena, text ? text : "{}");
	cJSON_free(text);
	cJSON_Delete(root);
	return copy;
}

/* One runtime, so each handler has the same features; "" is the default and comes first. */
static Cri__RuntimeHandler **list_handlers(const struct node *node, struct arena *arena, size_t *ret_n)
{
	Cri__RuntimeHandlerFeatures *features = arena_new(arena, Cri__RuntimeHandlerFeatures);
	const struct config_handler *handler = node->config->handlers;
	Cri__RuntimeHandler **list, *entries;
	size_t n = 1;

	for (const struct config_handler *h = handler; h; h = h->next)
		n++;
	list = arena_new_array(arena, Cri__RuntimeHandler *, n);
	entries = arena_new_array(arena, Cri__RuntimeHandler, n);
	*ret_n = arena_failed(arena) ? 0 : n;
	if (*ret_n == 0)
		return NULL;
	cri__runtime_handler_features__init(features);
	features->recursive_read_only_mounts = node->may_recursive_readonly;
	features->user_namespaces = node->user_namespaces;
	for (size_t i = 0; i < n; i++) {
		list[i] = &entries[i];
		cri__runtime_handler__init(list[i]);
		list[i]->features = features;
		if (i == 0)
			continue;
		list[i]->name = handler->name;
		handler = handler->next;
	}
	return list;
}

static void send_status(const struct status *op, struct call *call)
{
	static char runtime_ready[] = "RuntimeReady", network_ready[] = "NetworkReady", not_ready[] = "NetworkNotReady",
		    empty[] = "", info_key[] = "info";
	Cri__StatusResponse reply = CRI__STATUS_RESPONSE__INIT;
	Cri__RuntimeStatus status = CRI__RUNTIME_STATUS__INIT;
	Cri__RuntimeFeatures features = CRI__RUNTIME_FEATURES__INIT;
	Cri__StatusResponse__InfoEntry info = CRI__STATUS_RESPONSE__INFO_ENTRY__INIT, *infos[] = { &info };
	Cri__RuntimeCondition conditions[2], *list[] = { &conditions[0], &conditions[1] };
	struct network *network = op->network;

	init_condition(&conditions[0], runtime_ready, true, empty, empty);
	init_condition(&conditions[1], network_ready, network->is_ready, network->is_ready ? empty : not_ready, network->reason);
	status.conditions = list;
	status.n_conditions = ARRAY_SIZE(list);
	reply.status = &status;
	reply.runtime_handlers = list_handlers(op->op.node, &call->arena, &reply.n_runtime_handlers);
	features.supplemental_groups_policy = true;
	features.mount_options = true;
	reply.features = &features;
	info.key = info_key;
	info.value = op->verbose ? verbose_text(op, &call->arena) : NULL;
	reply.info = infos;
	reply.n_info = info.value ? 1 : 0;
	call_reply(call, &reply.base);
}

/* ---- the operation ---- */

static void settle(struct operation *base, int result, const struct error *err)
{
	struct status *op = container_of(base, struct status, op);
	struct network *network = op->network;

	if (result == 0) {
		network_learn(network, op->ready, op->reason);
	} else if (network->checked_us == 0 || clock_monotonic_us() - network->checked_us > TRUST_US) {
		network->is_ready = false;
		(void)snprintf(network->reason, sizeof(network->reason), "%.200s", err->text);
		utf8_tidy(network->reason);
	}
	/* The truth as we know it is the answer, also when the network did not say it. */
	if (base->call && result < 0)
		send_status(op, operation_take_call(base));
}

static void reply(struct operation *base, struct call *call)
{
	send_status(container_of(base, struct status, op), call);
}

static const struct operation_kind kind = {
	.machine = &status_machine,
	.size = sizeof(struct status),
	.settle = settle,
	.reply = reply,
};

void op_status(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;
	struct status *op = operation_new(node, &kind, call, &err);

	if (!op) {
		call_fail(call, &err);
		return;
	}
	op->network = &node->networks[network_for_new_pods(node)];
	op->verbose = ((const Cri__StatusRequest *)call->request)->verbose;
	operation_title(&op->op, "status");
	operation_begin(&op->op, NULL);
}
