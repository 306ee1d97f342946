#include "net/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conntrack.h"
#include "net/ipam.h"

static const struct {
	uint8_t number;
	const char *name;
} protocols[] = {
	[NET_TCP] = { IPPROTO_TCP, "tcp" },
	[NET_UDP] = { IPPROTO_UDP, "udp" },
	[NET_SCTP] = { IPPROTO_SCTP, "sctp" },
};

/* "80/tcp" or "192.0.2.7:80/tcp" */
#define PORT_TEXT_SIZE 32

static void format_port(char text[PORT_TEXT_SIZE], const struct nft_port *port)
{
	char address[IPV4_TEXT_SIZE + 1] = "";
	const char *protocol = "?";

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (protocols[i].number == port->protocol)
			protocol = protocols[i].name;
	}
	if (port->host_address != 0) {
		ipv4_format(address, port->host_address);
		(void)snprintf(text, PORT_TEXT_SIZE, "%s:%u/%s", address, port->host_port, protocol);
		return;
	}
	(void)snprintf(text, PORT_TEXT_SIZE, "%u/%s", port->host_port, protocol);
}

void ports_release(struct ports *ports)
{
	free(ports->list);
	*ports = (struct ports){ 0 };
}

static int append(struct ports *ports, const struct nft_port *port, struct error *err)
{
	if (ports->n == PORTS_MAX)
		return error_set(err, ERR_EXHAUSTED, "more than %d host ports", PORTS_MAX);
	if (ports->n == ports->cap) {
		size_t cap = ports->cap * 2 + 16;
		struct nft_port *list = realloc(ports->list, cap * sizeof(*list));

		if (!list)
			return error_sys(err, ENOMEM, "remember host ports");
		ports->list = list;
		ports->cap = cap;
	}
	ports->list[ports->n++] = *port;
	return 0;
}

static bool is_same_key(const struct nft_port *a, const struct nft_port *b)
{
	return a->protocol == b->protocol && a->host_port == b->host_port && a->host_address == b->host_address;
}

static bool is_conflict(const struct nft_port *a, const struct nft_port *b)
{
	return a->protocol == b->protocol && a->host_port == b->host_port &&
	       (a->host_address == b->host_address || a->host_address == 0 || b->host_address == 0);
}

static bool is_same(const struct nft_port *a, const struct nft_port *b)
{
	return is_same_key(a, b) && a->pod_address == b->pod_address && a->pod_port == b->pod_port && !strcmp(a->pod_id, b->pod_id);
}

static int take_loaded(const struct nft_port *port, void *arg, struct error *err)
{
	struct ports *ports = arg;

	for (size_t i = 0; i < ports->n; i++) {
		if (is_same_key(&ports->list[i], port))
			return 0;
	}
	return append(ports, port, err);
}

int ports_load(struct ports *ports, struct netlink *nl, const struct nft_network *net, struct error *err)
{
	return nft_each_port(nl, net, take_loaded, ports, err);
}

/* The kubelet sends "" or "0.0.0.0" for all addresses. */
static int parse_host_address(const struct port_mapping *mapping, uint32_t *ret_address, struct error *err)
{
	*ret_address = 0;
	if (!mapping->host_ip || mapping->host_ip[0] == '\0' || ipv4_parse(mapping->host_ip, ret_address))
		return 0;
	return error_set(err, ERR_INVALID, "host port %u: host address '%.46s' is not IPv4, the only family of this network",
			 mapping->host_port, mapping->host_ip);
}

static int convert(const struct port_mapping *mapping, const char *pod_id, uint32_t pod_address, struct nft_port *ret_port,
		   struct error *err)
{
	if ((unsigned)mapping->protocol >= ARRAY_SIZE(protocols))
		return error_set(err, ERR_INVALID, "host port %u: unknown protocol %d", mapping->host_port, (int)mapping->protocol);
	if (mapping->container_port == 0)
		return error_set(err, ERR_INVALID, "host port %u: the container's port is missing", mapping->host_port);
	*ret_port = (struct nft_port){
		.protocol = protocols[mapping->protocol].number,
		.host_port = mapping->host_port,
		.pod_port = mapping->container_port,
		.pod_address = pod_address,
	};
	(void)snprintf(ret_port->pod_id, sizeof(ret_port->pod_id), "%s", pod_id);
	return parse_host_address(mapping, &ret_port->host_address, err);
}

/* 1 when the list has this very port already, 0 when it is free. */
static int check_against(const struct nft_port *list, size_t n, const struct nft_port *port, struct error *err)
{
	char text[PORT_TEXT_SIZE];

	for (size_t i = 0; i < n; i++) {
		const struct nft_port *other = &list[i];

		if (is_same(other, port))
			return 1;
		if (!is_conflict(other, port))
			continue;
		format_port(text, other);
		if (!strcmp(other->pod_id, port->pod_id))
			return error_set(err, ERR_INVALID, "host port %s is asked for twice", text);
		return error_set(err, ERR_EXISTS, "host port %s is taken by pod %s", text,
				 other->pod_id[0] ? other->pod_id : "(unknown)");
	}
	return 0;
}

/* Appends the request's new ports to the list; those from the former ports->n on are new then. */
static int plan(struct ports *ports, const struct net_request *request, uint32_t pod_address, struct error *err)
{
	struct nft_port port;

	if (request->n_ports > PORTS_MAX_PER_POD)
		return error_set(err, ERR_INVALID, "%zu port mappings; a pod can have %d", request->n_ports, PORTS_MAX_PER_POD);
	for (size_t i = 0; i < request->n_ports; i++) {
		int r;

		if (request->ports[i].host_port == 0)
			continue;
		if (convert(&request->ports[i], request->pod_id, pod_address, &port, err) < 0)
			return -1;
		r = check_against(ports->list, ports->n, &port, err);
		if (r < 0 || (r == 0 && append(ports, &port, err) < 0))
			return -1;
	}
	return 0;
}

/* Flows from before the change would keep to what was true then. Failing at this leaves them to their timeout. */
static void forget_flows(struct netlink *nl, const struct nft_port *list, size_t n)
{
	struct port_set udp = { 0 };
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < n; i++) {
		if (list[i].protocol == IPPROTO_UDP)
			port_set_add(&udp, list[i].host_port);
	}
	if (udp.count > 0 && conntrack_forget_udp(nl, &udp, &err) < 0)
		log_warn("net", "UDP flows to %u host ports are not forgotten: %s", udp.count, err.text);
}

int ports_publish(struct ports *ports, struct netlink *nl, const struct nft_network *net, const struct net_request *request,
		  uint32_t pod_address, struct error *err)
{
	size_t before = ports->n;

	if (plan(ports, request, pod_address, err) < 0)
		goto failed;
	if (ports->n == before)
		return 0;
	if (nft_add_ports(nl, net, ports->list + before, ports->n - before, err) < 0)
		goto failed;
	forget_flows(nl, ports->list + before, ports->n - before);
	return 0;
failed:
	ports->n = before;
	return -1;
}

/* Removes from the kernel what lies behind `kept` in the list. When the table was replaced or flushed by somebody else, some of it
 * is gone: then the table is made anew from what stays. */
static int remove_tail(struct ports *ports, struct netlink *nl, const struct nft_network *net, size_t kept, struct error *err)
{
	struct error first = ERROR_INIT;

	if (nft_remove_ports(nl, net, ports->list + kept, ports->n - kept, &first) < 0) {
		if (first.sys_errno != ENOENT) {
			*err = first;
			return -1;
		}
		if (nft_program(nl, net, ports->list, kept, true, err) < 0)
			return -1;
	}
	forget_flows(nl, ports->list + kept, ports->n - kept);
	ports->n = kept;
	return 0;
}

typedef bool keep_fn(const struct nft_port *port, const void *arg);

/* Moves the ports to keep to the front and returns their number. */
static size_t partition(struct ports *ports, keep_fn *keep, const void *arg)
{
	size_t kept = 0;

	for (size_t i = 0; i < ports->n; i++) {
		struct nft_port port = ports->list[i];

		if (!keep(&port, arg))
			continue;
		ports->list[i] = ports->list[kept];
		ports->list[kept++] = port;
	}
	return kept;
}

static bool is_of_other_pod(const struct nft_port *port, const void *pod_id)
{
	return strcmp(port->pod_id, pod_id) != 0;
}

int ports_withdraw(struct ports *ports, struct netlink *nl, const struct nft_network *net, const char *pod_id, struct error *err)
{
	size_t kept = partition(ports, is_of_other_pod, pod_id);

	return kept == ports->n ? 0 : remove_tail(ports, nl, net, kept, err);
}

struct live_pods {
	const char *const *ids;
	size_t n;
};

/* An element without a pod's id is somebody else's. */
static bool is_live(const struct nft_port *port, const void *arg)
{
	const struct live_pods *live = arg;

	return port->pod_id[0] == '\0' || pod_id_in(port->pod_id, live->ids, live->n);
}

int ports_sweep(struct ports *ports, struct netlink *nl, const struct nft_network *net, const char *const *live_pod_ids, size_t n,
		struct error *err)
{
	struct live_pods live = { .ids = live_pod_ids, .n = n };
	size_t kept = partition(ports, is_live, &live);

	return kept == ports->n ? 0 : remove_tail(ports, nl, net, kept, err);
}
