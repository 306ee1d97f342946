#include "net/cni_args.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/mem.h"

/* Names of Kubernetes have at most 253 characters. */
#define MAX_ARGS_BYTES 4096

/* ---- CNI_ARGS ---- */

/* Pairs are separated by ';' and have no escape: a value that holds one would add a pair of its own. */
static int add_pair(struct buffer *b, const char *key, const char *value, struct error *err)
{
	if (!value || !*value)
		return 0;
	if (strpbrk(value, ";="))
		return error_set(err, ERR_INVALID, "%s '%.64s' holds ';' or '=', which CNI_ARGS cannot pass on", key, value);
	return buffer_printf(b, err, ";%s=%s", key, value);
}

int cni_args_text(const struct net_request *request, char **ret_args, struct error *err)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(MAX_ARGS_BYTES);

	if (buffer_append_str(&b, "IgnoreUnknown=1", err) < 0 || add_pair(&b, "K8S_POD_NAMESPACE", request->namespace, err) < 0 ||
	    add_pair(&b, "K8S_POD_NAME", request->name, err) < 0 ||
	    add_pair(&b, "K8S_POD_INFRA_CONTAINER_ID", request->pod_id, err) < 0 ||
	    add_pair(&b, "K8S_POD_UID", request->uid, err) < 0)
		return -1;
	*ret_args = buffer_steal(&b);
	return 0;
}

/* ---- capabilities ---- */

static bool add_port(cJSON *list, const struct port_mapping *port)
{
	static const char *const protocols[] = { [NET_TCP] = "tcp", [NET_UDP] = "udp", [NET_SCTP] = "sctp" };
	cJSON *item = cJSON_CreateObject();

	if (item && cJSON_AddItemToArray(list, item))
		return cJSON_AddNumberToObject(item, "hostPort", port->host_port) &&
		       cJSON_AddNumberToObject(item, "containerPort", port->container_port) &&
		       cJSON_AddStringToObject(item, "protocol", protocols[port->protocol]) &&
		       cJSON_AddStringToObject(item, "hostIP", port->host_ip ? port->host_ip : "");
	cJSON_Delete(item);
	return false;
}

static bool add_ports(cJSON *json, const struct net_request *request)
{
	cJSON *list = NULL;

	for (size_t i = 0; i < request->n_ports; i++) {
		if (request->ports[i].host_port == 0)
			continue;
		if (!list)
			list = cJSON_AddArrayToObject(json, "portMappings");
		if (!list || !add_port(list, &request->ports[i]))
			return false;
	}
	return true;
}

/* Rates in bits per second, bursts in bits: as large as the plugin takes, so that the rate alone limits. */
static bool add_rate(cJSON *json, const char *rate, const char *burst, uint64_t bits)
{
	return bits == 0 || (cJSON_AddNumberToObject(json, rate, (double)bits) && cJSON_AddNumberToObject(json, burst, UINT32_MAX));
}

static bool add_bandwidth(cJSON *json, const struct net_request *request)
{
	cJSON *limits;

	if (request->ingress_bits == 0 && request->egress_bits == 0)
		return true;
	limits = cJSON_AddObjectToObject(json, "bandwidth");
	return limits && add_rate(limits, "ingressRate", "ingressBurst", request->ingress_bits) &&
	       add_rate(limits, "egressRate", "egressBurst", request->egress_bits);
}

static bool add_texts(cJSON *json, const char *key, char *const *texts)
{
	cJSON *list;

	if (!texts || !*texts)
		return true;
	list = cJSON_AddArrayToObject(json, key);
	for (; list && *texts; texts++) {
		cJSON *item = cJSON_CreateString(*texts);

		if (!item || !cJSON_AddItemToArray(list, item))
			return false;
	}
	return list != NULL;
}

static bool add_dns(cJSON *json, const struct net_dns *dns)
{
	cJSON *members;

	if ((!dns->servers || !*dns->servers) && (!dns->searches || !*dns->searches) && (!dns->options || !*dns->options))
		return true;
	members = cJSON_AddObjectToObject(json, "dns");
	return members && add_texts(members, "servers", dns->servers) && add_texts(members, "searches", dns->searches) &&
	       add_texts(members, "options", dns->options);
}

int cni_args_capabilities(const struct net_request *request, cJSON **ret_json, struct error *err)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	if (!json || !add_ports(json, request) || !add_bandwidth(json, request) || !add_dns(json, &request->dns))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_json = steal_ptr(&json);
	return 0;
}
