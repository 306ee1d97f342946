/*
 * Port mappings. Two of one pod must not take the same port of the host: the same protocol and number, on one address or on all.
 *
 * Addresses are compared in sorted order, wildcards first, so that a hostile list costs no more than its sorting.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cri/check_parts.h"
#include "cri/rule.h"

static const struct rule rules[] = {
	NUMBER32(Cri__PortMapping, container_port, 1, 65535),
	NUMBER32(Cri__PortMapping, host_port, 0, 65535),
	TEXT(Cri__PortMapping, host_ip, text_host_ip),
};

/* Sorts by protocol, port, then from the widest scope to the narrowest. */
enum scope { SCOPE_ALL, SCOPE_ALL_V4, SCOPE_ALL_V6, SCOPE_ONE_V4, SCOPE_ONE_V6 };

struct taken_port {
	size_t index; /* in the request */
	int protocol;
	int port;
	enum scope scope;
	struct in6_addr address; /* zero but for SCOPE_ONE_* */
};

static bool is_zero(const void *data, size_t len)
{
	static const unsigned char zero[sizeof(struct in6_addr)];

	return !memcmp(data, zero, len);
}

static void set_address(struct taken_port *taken, const char *host_ip)
{
	struct in6_addr bytes = { 0 };

	if (host_ip[0] == '\0') {
		taken->scope = SCOPE_ALL;
	} else if (inet_pton(AF_INET, host_ip, &bytes) == 1) {
		taken->scope = is_zero(&bytes, sizeof(struct in_addr)) ? SCOPE_ALL_V4 : SCOPE_ONE_V4;
	} else {
		(void)inet_pton(AF_INET6, host_ip, &bytes);
		taken->scope = is_zero(&bytes, sizeof(bytes)) ? SCOPE_ALL_V6 : SCOPE_ONE_V6;
	}
	taken->address = bytes;
}

static int compare(const void *left, const void *right)
{
	const struct taken_port *a = left, *b = right;

	if (a->protocol != b->protocol)
		return a->protocol - b->protocol;
	if (a->port != b->port)
		return a->port - b->port;
	if (a->scope != b->scope)
		return (int)a->scope - (int)b->scope;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

static bool covers(const struct taken_port *wide, const struct taken_port *narrow)
{
	if (wide->scope == SCOPE_ALL)
		return true;
	if (wide->scope == SCOPE_ALL_V4)
		return narrow->scope == SCOPE_ALL_V4 || narrow->scope == SCOPE_ONE_V4;
	if (wide->scope == SCOPE_ALL_V6)
		return narrow->scope == SCOPE_ALL_V6 || narrow->scope == SCOPE_ONE_V6;
	return wide->scope == narrow->scope && !memcmp(&wide->address, &narrow->address, sizeof(wide->address));
}

static int report_clash(const struct field *at, const struct taken_port *a, const struct taken_port *b, struct error *err)
{
	size_t later = a->index > b->index ? a->index : b->index;
	size_t earlier = a->index > b->index ? b->index : a->index;

	return field_error(FIELD(ITEM(at, "port_mappings", later), "host_port"), err, ERR_INVALID,
			   "%d is taken by port_mappings[%zu]", a->port, earlier);
}

/* Within one protocol and port: at most three wildcards stand first, so each entry is held against those and its neighbour. */
static int find_clash(const struct field *at, const struct taken_port *taken, size_t n, struct error *err)
{
	size_t group = 0;

	for (size_t i = 1; i < n; i++) {
		if (taken[i].protocol != taken[group].protocol || taken[i].port != taken[group].port) {
			group = i;
			continue;
		}
		for (size_t k = group; k < i && k < group + 3; k++) {
			if (covers(&taken[k], &taken[i]))
				return report_clash(at, &taken[k], &taken[i], err);
		}
		if (covers(&taken[i - 1], &taken[i]))
			return report_clash(at, &taken[i - 1], &taken[i], err);
	}
	return 0;
}

static size_t collect(const Cri__PodSandboxConfig *config, struct taken_port *taken)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_port_mappings; i++) {
		const Cri__PortMapping *mapping = config->port_mappings[i];

		if (mapping->host_port == 0)
			continue;
		taken[n] = (struct taken_port){ .index = i, .protocol = (int)mapping->protocol, .port = mapping->host_port };
		set_address(&taken[n], mapping->host_ip);
		n++;
	}
	return n;
}

static int check_clashes(const struct field *at, const Cri__PodSandboxConfig *config, struct error *err)
{
	_cleanup_free_
	struct taken_port *taken = calloc(config->n_port_mappings + 1, sizeof(*taken));
	size_t n;

	if (!taken)
		return error_set(err, ERR_EXHAUSTED, "out of memory to check a request");
	n = collect(config, taken);
	qsort(taken, n, sizeof(taken[0]), compare);
	return find_clash(at, taken, n, err);
}

int check_ports(const struct field *at, const Cri__PodSandboxConfig *config, struct error *err)
{
	if (config->n_port_mappings > CHECK_MAX_ITEMS)
		return field_error(FIELD(at, "port_mappings"), err, ERR_INVALID, "has %zu items, the limit is %d",
				   config->n_port_mappings, CHECK_MAX_ITEMS);
	for (size_t i = 0; i < config->n_port_mappings; i++) {
		if (RULES_APPLY(ITEM(at, "port_mappings", i), rules, config->port_mappings[i], err) < 0)
			return -1;
	}
	return check_clashes(at, config, err);
}
