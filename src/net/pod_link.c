#include "net/pod_link.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/ipam.h"
#include "net/netns.h"
#include "net/sysctl.h"

#define NAME_PREFIX "mp"
#define NAME_DIGITS 11
#define ALIAS_PREFIX "monopod:"

/* How many groups of digits an id has to make names of: who meets that many collisions has filled the host with links on purpose. */
#define NAME_TRIES (ID_LEN / NAME_DIGITS)

static void make_name(char name[IFNAMSIZ], const char *pod_id, unsigned attempt)
{
	(void)snprintf(name, IFNAMSIZ, NAME_PREFIX "%.*s", NAME_DIGITS, pod_id + (size_t)attempt * NAME_DIGITS);
}

static void make_alias(char alias[LINK_ALIAS_SIZE], const char *pod_id)
{
	(void)snprintf(alias, LINK_ALIAS_SIZE, ALIAS_PREFIX "%s", pod_id);
}

static bool is_owner(const struct link_info *info, const char *pod_id)
{
	char alias[LINK_ALIAS_SIZE];

	make_alias(alias, pod_id);
	return !strcmp(info->alias, alias);
}

/* 1 when there is a link of that name, 0 when there is none. */
static int look_up(struct netlink *nl, const char *name, struct link_info *ret_info, struct error *err)
{
	struct error missing = ERROR_INIT;

	if (link_find(nl, name, ret_info, &missing) == 0)
		return 1;
	if (missing.sys_errno == ENODEV)
		return 0;
	*err = missing;
	return -1;
}

struct peer_check {
	int host_index;
	bool is_peer;
};

static int check_peer(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	struct peer_check *check = arg;
	struct link_info info;
	int r;

	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0)
		return -1;
	r = look_up(nl, POD_LINK_NAME, &info, err);
	check->is_peer = r == 1 && !strcmp(info.kind, "veth") && info.peer == check->host_index;
	return r < 0 ? -1 : 0;
}

/* Takes the pair into use, or deletes it. */
static int judge_own(const struct pod_link *link, struct netlink *nl, int index, bool *ret_adopted, struct error *err)
{
	struct peer_check check = { .host_index = index };

	if (netns_call(link->netns, check_peer, &check, err) < 0)
		return -1;
	*ret_adopted = check.is_peer;
	return check.is_peer ? 0 : link_delete(nl, index, err);
}

int pod_link_adopt(struct pod_link *link, struct netlink *nl, bool *ret_adopted, struct error *err)
{
	struct link_info info;

	*ret_adopted = false;
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		int r;

		make_name(link->name, link->pod_id, i);
		r = look_up(nl, link->name, &info, err);
		if (r < 0)
			return -1;
		if (r == 1 && is_owner(&info, link->pod_id))
			return judge_own(link, nl, info.index, ret_adopted, err);
	}
	return 0;
}

/* After EEXIST: whose is it? 0 to try the next name, 1 to try this one again because a left-over of this pod was deleted. */
static int resolve_collision(const struct pod_link *link, struct netlink *nl, struct error *err)
{
	struct link_info info;
	int r = look_up(nl, link->name, &info, err);

	if (r < 0)
		return -1;
	if (r == 0)
		return error_set(err, ERR_EXISTS, "the network namespace has a link %s already", POD_LINK_NAME);
	if (!is_owner(&info, link->pod_id))
		return 0;
	return link_delete(nl, info.index, err) < 0 ? -1 : 1;
}

static int create_pair(struct pod_link *link, struct netlink *nl, const struct host_bridge *hb, struct error *err)
{
	struct veth_spec spec = {
		.name = link->name,
		.peer_name = POD_LINK_NAME,
		.peer_netns = link->netns,
		.peer_address = link->address,
		.mtu = hb->mtu,
		.bridge = hb->index,
	};

	for (unsigned i = 0; i < NAME_TRIES;) {
		struct error failure = ERROR_INIT;
		int r;

		make_name(link->name, link->pod_id, i);
		if (link_create_veth(nl, &spec, &failure) == 0)
			return 0;
		if (failure.sys_errno != EEXIST) {
			*err = failure;
			return -1;
		}
		r = resolve_collision(link, nl, err);
		if (r < 0)
			return -1;
		i += r == 0;
	}
	return error_set(err, ERR_EXISTS, "all %d link names for this pod are taken", NAME_TRIES);
}

int pod_link_create(struct pod_link *link, struct netlink *nl, const struct host_bridge *hb, struct error *err)
{
	char alias[LINK_ALIAS_SIZE];
	struct port_spec port = { .name = link->name, .alias = alias, .bridge = hb->index, .address = link->address };
	struct error ignored;

	if (create_pair(link, nl, hb, err) < 0)
		return -1;
	make_alias(alias, link->pod_id);
	if (link_start_port(nl, &port, err) < 0) {
		(void)pod_link_delete(link, nl, &ignored);
		return -1;
	}
	return 0;
}

int pod_link_delete(const struct pod_link *link, struct netlink *nl, struct error *err)
{
	struct link_info info;
	int r = look_up(nl, link->name, &info, err);

	if (r <= 0)
		return r;
	return link_delete(nl, info.index, err);
}

struct configuration {
	struct ipv4_link link;
	const struct gateway *gateway;
};

static int configure(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	struct configuration *c = arg;

	c->link.index = (int)if_nametoindex(c->link.name);
	if (c->link.index == 0)
		return error_sys(err, errno, "find %s in the pod", c->link.name);
	/* Before the link comes up, so that it never sends a packet of duplicate address detection. The pod's lo keeps ::1. */
	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0 || sysctl_disable_ipv6(POD_LINK_NAME, err) < 0)
		return -1;
	if (link_configure_pod(nl, &c->link, c->gateway, err) < 0)
		return -1;
	return link_settle(nl, c->link.name, err);
}

int pod_link_configure(const struct pod_link *link, struct netlink *nl, const struct host_bridge *hb, struct error *err)
{
	struct configuration c = {
		.link = { .name = POD_LINK_NAME, .address = link->address, .prefix_length = hb->range.length },
		.gateway = &hb->gateway,
	};

	if (netns_call(link->netns, configure, &c, err) < 0 || link_settle(nl, link->name, err) < 0)
		return -1;
	/* The first port gives the bridge its carrier. */
	return link_settle(nl, hb->name, err);
}

static int silence(void *arg, struct error *err)
{
	_cleanup_netlink_ struct netlink *nl = NULL;
	struct ipv4_link *link = arg;

	link->index = (int)if_nametoindex(link->name);
	if (link->index == 0)
		return 0;
	if (netlink_open(NETLINK_ROUTE, &nl, err) < 0)
		return -1;
	return link_remove_address(nl, link, err);
}

int pod_link_silence(int netns, uint32_t address, uint8_t prefix_length, struct error *err)
{
	struct ipv4_link link = { .name = POD_LINK_NAME, .address = address, .prefix_length = prefix_length };

	return netns_call(netns, silence, &link, err);
}

struct stray {
	char name[IFNAMSIZ];
	char alias[LINK_ALIAS_SIZE];
	uint32_t address;
};

struct strays {
	const struct host_bridge *hb;
	const struct ipam *ipam;
	struct stray *list; /* room for as many as have addresses */
	size_t n, max;
};

static int collect_stray(const struct link_info *info, void *arg, struct error *err)
{
	struct strays *s = arg;
	const char *pod_id = info->alias + strlen(ALIAS_PREFIX);
	uint32_t address;

	(void)err;
	if (info->master == s->hb->index || strcmp(info->kind, "veth") != 0 || s->n == s->max ||
	    strncmp(info->alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) != 0 || !ipam_find(s->ipam, pod_id, &address))
		return 0;
	s->list[s->n] = (struct stray){ .address = address };
	memcpy(s->list[s->n].name, info->name, sizeof(info->name));
	memcpy(s->list[s->n].alias, info->alias, sizeof(info->alias));
	s->n++;
	return 0;
}

static int rejoin(struct netlink *nl, const struct host_bridge *hb, const struct stray *stray, struct error *err)
{
	const struct port_spec port = {
		.name = stray->name, .alias = stray->alias, .bridge = hb->index, .address = stray->address
	};

	if (link_join_bridge(nl, stray->name, hb->index, err) < 0 || link_start_port(nl, &port, err) < 0)
		return -1;
	return link_settle(nl, stray->name, err);
}

int pod_link_rejoin(struct netlink *nl, const struct host_bridge *hb, const struct ipam *ipam, size_t *ret_n, struct error *err)
{
	size_t max = ipam_used(ipam);
	_cleanup_free_
	struct stray *list = calloc(max + 1, sizeof(*list));
	struct strays strays = { .hb = hb, .ipam = ipam, .list = list, .max = max };

	if (!list)
		return error_sys(err, ENOMEM, "list the links of pods");
	if (link_each(nl, collect_stray, &strays, err) < 0)
		return -1;
	for (size_t i = 0; i < strays.n; i++) {
		if (rejoin(nl, hb, &list[i], err) < 0)
			return -1;
	}
	*ret_n = strays.n;
	return strays.n > 0 ? link_settle(nl, hb->name, err) : 0;
}

struct sweep {
	struct netlink *nl;
	int bridge;
	const char *const *live_pod_ids;
	size_t n;
	int indexes[256]; /* links to delete; more than that wait for the next round */
	size_t n_indexes;
};

static bool is_name_of_ours(const char *name)
{
	const char *digits = name + strlen(NAME_PREFIX);

	return !strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) && strlen(digits) == NAME_DIGITS &&
	       strspn(digits, "0123456789abcdef") == NAME_DIGITS;
}

/* A pair that lost its maker before it got its alias is ours by its name; no live pod can have it, for a pod that is live was
 * attached to the end. */
static bool is_leftover(const struct sweep *s, const struct link_info *info)
{
	size_t prefix = strlen(ALIAS_PREFIX);

	if (info->master != s->bridge || strcmp(info->kind, "veth") != 0)
		return false;
	if (info->alias[0] == '\0')
		return is_name_of_ours(info->name);
	return !strncmp(info->alias, ALIAS_PREFIX, prefix) && id_is_valid(info->alias + prefix) &&
	       !pod_id_in(info->alias + prefix, s->live_pod_ids, s->n);
}

static int collect(const struct link_info *info, void *arg, struct error *err)
{
	struct sweep *s = arg;

	(void)err;
	if (s->n_indexes < sizeof(s->indexes) / sizeof(s->indexes[0]) && is_leftover(s, info))
		s->indexes[s->n_indexes++] = info->index;
	return 0;
}

static int sweep_round(struct sweep *s, struct error *err)
{
	s->n_indexes = 0;
	if (link_each(s->nl, collect, s, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n_indexes; i++) {
		if (link_delete(s->nl, s->indexes[i], err) < 0)
			return -1;
	}
	return 0;
}

int pod_link_sweep(struct netlink *nl, const struct host_bridge *hb, const char *const *live_pod_ids, size_t n, struct error *err)
{
	struct sweep s = { .nl = nl, .bridge = (int)if_nametoindex(hb->name), .live_pod_ids = live_pod_ids, .n = n };

	if (s.bridge == 0)
		return 0;
	do {
		if (sweep_round(&s, err) < 0)
			return -1;
	} while (s.n_indexes > 0);
	return 0;
}
