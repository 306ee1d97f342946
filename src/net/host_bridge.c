#include "net/host_bridge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/link.h"
#include "net/overlap.h"
#include "net/sysctl.h"

/* The least that IPv4 demands of a link (RFC 791), and the most that the kernel lets a veth have. */
#define MTU_MIN 68
#define MTU_MAX 65535

#define MTU_ETHERNET 1500

static bool is_link_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len > 0 && len < IFNAMSIZ && name[len] == '\0' && name[0] != '.' && name[0] != '-';
}

int host_bridge_parse(struct host_bridge *hb, const char *name, const char *mtu, struct error *err)
{
	unsigned long number = 0;
	char *end = NULL;

	if (!is_link_name(name))
		return error_set(err, ERR_INVALID, "bridge '%.64s': not a link name of 1 to %d letters, digits, '.', '_', '-'",
				 name, IFNAMSIZ - 1);
	if (strcmp(mtu, "auto") != 0) {
		errno = 0;
		number = strtoul(mtu, &end, 10);
		if (mtu[0] < '0' || mtu[0] > '9' || *end != '\0' || errno != 0 || number < MTU_MIN || number > MTU_MAX)
			return error_set(err, ERR_INVALID, "mtu '%.64s': neither 'auto' nor a number from %d to %d", mtu, MTU_MIN,
					 MTU_MAX);
	}
	(void)snprintf(hb->name, sizeof(hb->name), "%s", name);
	hb->configured_mtu = (uint32_t)number;
	return 0;
}

static int take_default_link(int link, const struct ipv4_prefix *destination, void *arg, struct error *err)
{
	int *found = arg;

	(void)err;
	if (destination->length == 0 && link != 0 && *found == 0)
		*found = link;
	return 0;
}

/* That of the link with the default route. */
static int find_mtu(const struct host_bridge *hb, struct netlink *nl, uint32_t *ret_mtu, struct error *err)
{
	struct link_info info;
	int link = 0;

	if (hb->configured_mtu != 0) {
		*ret_mtu = hb->configured_mtu;
		return 0;
	}
	if (route_each(nl, take_default_link, &link, err) < 0)
		return -1;
	*ret_mtu = MTU_ETHERNET;
	if (link != 0 && link_find_index(nl, link, &info, err) < 0)
		return -1;
	if (link != 0 && info.mtu >= MTU_MIN && info.mtu <= MTU_MAX)
		*ret_mtu = info.mtu;
	return 0;
}

struct address_search {
	int index;
	uint32_t wanted;
	uint8_t length;
	bool has_wanted;
	bool has_other;
};

static int check_address(int link, uint32_t address, uint8_t prefix_length, void *arg, struct error *err)
{
	struct address_search *search = arg;

	(void)err;
	if (link != search->index)
		return 0;
	if (address == search->wanted && prefix_length == search->length)
		search->has_wanted = true;
	else
		search->has_other = true;
	return 0;
}

/* A bridge of ours has our address, or none when we died between making it and giving it one. */
static int check_bridge(const struct host_bridge *hb, struct netlink *nl, const struct link_info *info, struct error *err)
{
	struct address_search search = { .index = info->index, .wanted = hb->gateway.address, .length = hb->range.length };
	char address[IPV4_TEXT_SIZE];

	if (strcmp(info->kind, "bridge") != 0)
		return error_set(err, ERR_EXISTS, "link %s exists and is not a bridge", hb->name);
	if (address_each(nl, check_address, &search, err) < 0)
		return -1;
	if (search.has_wanted || !search.has_other)
		return 0;
	ipv4_format(address, hb->gateway.address);
	return error_set(err, ERR_EXISTS, "bridge %s exists with another address than %s/%u", hb->name, address, hb->range.length);
}

/* *ret_index is 0 when there is no link of that name. */
static int find_bridge(const struct host_bridge *hb, struct netlink *nl, int *ret_index, struct error *err)
{
	struct error missing = ERROR_INIT;
	struct link_info info;

	*ret_index = 0;
	if (link_find(nl, hb->name, &info, &missing) < 0) {
		if (missing.sys_errno == ENODEV)
			return 0;
		*err = missing;
		return -1;
	}
	*ret_index = info.index;
	return check_bridge(hb, nl, &info, err);
}

int host_bridge_check(const struct host_bridge *hb, struct netlink *nl, struct error *err)
{
	int index;

	if (find_bridge(hb, nl, &index, err) < 0)
		return -1;
	return check_overlap(nl, &hb->range, index, err);
}

static int allow_forwarding(struct error *err)
{
	bool changed;

	if (sysctl_allow_forwarding(&changed, err) < 0)
		return -1;
	if (changed)
		log_info("net", "turned on IPv4 forwarding (net.ipv4.ip_forward), which pod networks need");
	return 0;
}

static int create_bridge(const struct host_bridge *hb, struct netlink *nl, int *ret_index, struct error *err)
{
	struct bridge_spec spec = { .name = hb->name, .address = hb->gateway.address, .mtu = hb->mtu };

	if (link_create_bridge(nl, &spec, err) < 0)
		return -1;
	return find_bridge(hb, nl, ret_index, err);
}

static int make_bridge(struct host_bridge *hb, struct netlink *nl, struct error *err)
{
	struct ipv4_link link = { .name = hb->name, .address = hb->gateway.address, .prefix_length = hb->range.length };

	if (find_bridge(hb, nl, &link.index, err) < 0 || check_overlap(nl, &hb->range, link.index, err) < 0)
		return -1;
	if (find_mtu(hb, nl, &hb->mtu, err) < 0 || allow_forwarding(err) < 0)
		return -1;
	if (link.index == 0 && create_bridge(hb, nl, &link.index, err) < 0)
		return -1;
	if (sysctl_disable_ipv6(hb->name, err) < 0 || link_bring_up(nl, &link, err) < 0)
		return -1;
	hb->index = link.index;
	return 0;
}

int host_bridge_ensure(struct host_bridge *hb, struct netlink *nl, struct error *err)
{
	struct error missing = ERROR_INIT;
	struct link_info info;

	if (hb->index == 0 || link_find_index(nl, hb->index, &info, &missing) < 0 || strcmp(info.name, hb->name) != 0) {
		hb->index = 0;
		if (make_bridge(hb, nl, err) < 0 || link_find_index(nl, hb->index, &info, err) < 0)
			return error_prefix(err, "set up bridge %s", hb->name);
	}
	memcpy(hb->gateway.mac, info.mac, sizeof(hb->gateway.mac));
	return 0;
}

int host_bridge_delete(struct host_bridge *hb, struct netlink *nl, struct error *err)
{
	int index;

	hb->index = 0;
	if (find_bridge(hb, nl, &index, err) < 0)
		return -1;
	return index == 0 ? 0 : link_delete(nl, index, err);
}
