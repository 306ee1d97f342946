/*
 * The embedded bridge network: net_bridge_open() of net.h.
 *
 * Attaching a pod is the table below, from top to bottom; when a step fails, what the steps before it made is undone from there
 * upwards. Records come first and are removed last, so that a crash in between leaves something that sweep finds.
 *
 * Detaching leaves the veth pair to the end of the namespace, which the kernel takes down in the background: deleting it here would
 * wait for 15 to 25 ms. Until then the pair is without address, so that the address can be given to another pod.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/host_bridge.h"
#include "net/ipam.h"
#include "net/link_watch.h"
#include "net/net.h"
#include "net/netlink.h"
#include "net/netns.h"
#include "net/nft.h"
#include "net/pod_link.h"
#include "net/ports.h"
#include "net/sysctl.h"

struct bridge {
	struct net_engine engine;
	struct netns_id host_netns;
	struct host_bridge host;
	struct nft_network nft;
	struct ipam *ipam;
	struct ports ports;
	struct netlink *route;     /* rtnetlink */
	struct netlink *netfilter; /* nftables and connection tracking; NULL while the kernel has neither */
	int watch;                 /* of what is taken away from the host's namespace */
	bool loaded;               /* `ports` holds what the kernel's maps held */
	bool programmed;           /* this run has made the table, which a former one's version may differ from */
	bool damaged;              /* something of the bridge or its ports is missing and was not put back so far */
	bool checked;              /* the kernel said that it can do our table */
	bool warned;               /* about a host that drops what it forwards */
};

struct attachment {
	struct bridge *bridge;
	const struct net_request *request;
	struct pod_link link;
	bool is_new_address;
	bool is_new_link;
};

static int attach_table(struct attachment *a, struct error *err);
static int attach_bridge(struct attachment *a, struct error *err);
static int reserve_address(struct attachment *a, struct error *err);
static void release_address(struct attachment *a);
static int make_link(struct attachment *a, struct error *err);
static void delete_link(struct attachment *a);
static int configure_pod(struct attachment *a, struct error *err);
static int publish_ports(struct attachment *a, struct error *err);

/* clang-format off */
static const struct attach_step {
	const char *name;
	int (*run)(struct attachment *a, struct error *err);
	void (*undo)(struct attachment *a);
} attach_steps[] = {
	/* name        run              undo */
	{ "table",     attach_table,    NULL },
	{ "bridge",    attach_bridge,   NULL },
	{ "address",   reserve_address, release_address },
	{ "link",      make_link,       delete_link },
	{ "configure", configure_pod,   NULL },
	{ "ports",     publish_ports,   NULL },
};
/* clang-format on */

/* A kernel without nftables must not keep the daemon from starting: it is tried again, and reported by ready and attach. */
static int load_ports(struct bridge *br, struct error *err)
{
	if (br->loaded)
		return 0;
	if (fault_here("net_nft", "load"))
		return error_set(err, ERR_INTERNAL, "fault at load");
	if (!br->netfilter && netlink_open(NETLINK_NETFILTER, &br->netfilter, err) < 0)
		return -1;
	ports_release(&br->ports);
	if (ports_load(&br->ports, br->netfilter, &br->nft, err) < 0)
		return error_prefix(err, "ask nftables for host ports");
	br->loaded = true;
	return 0;
}

/* A host that drops forwarded packets cuts the pods off, and no rule of ours can change that. */
static void warn_about_forward_drop(struct bridge *br)
{
	char path[NFT_CHAIN_PATH_SIZE];
	struct error err = ERROR_INIT;

	if (br->warned)
		return;
	br->warned = true;
	if (nft_find_forward_drop(br->netfilter, path, &err) < 0)
		log_warn("net", "cannot see whether the host drops forwarded packets: %s", err.text);
	else if (path[0] != '\0')
		log_warn("net", "chain %s drops forwarded packets by default: pods reach other hosts only if it accepts link %s",
			 path, br->host.name);
}

static int program_table(struct bridge *br, struct error *err)
{
	if (nft_program(br->netfilter, &br->nft, br->ports.list, br->ports.n, true, err) < 0)
		return error_prefix(err, "set up nftables");
	br->checked = br->programmed = true;
	warn_about_forward_drop(br);
	return 0;
}

/* Somebody may have flushed the ruleset since; then pods are masqueraded and host ports work again from here on. */
static int repair_table(struct bridge *br, struct error *err)
{
	struct error missing = ERROR_INIT;

	if (nft_find_table(br->netfilter, &br->nft, &missing) == 0)
		return 0;
	if (missing.sys_errno == ENOENT)
		return program_table(br, err);
	*err = missing;
	return -1;
}

/* The table of a former run may have been another version's, so that the first attach replaces it. */
static int ensure_table(struct bridge *br, struct error *err)
{
	if (load_ports(br, err) < 0)
		return -1;
	return br->programmed ? repair_table(br, err) : program_table(br, err);
}

static int attach_table(struct attachment *a, struct error *err)
{
	return ensure_table(a->bridge, err);
}

/* What hung on a bridge that is gone: the ports of running pods, and the sysctl by which host ports are reached from the host. */
static int restore_ports(struct bridge *br, struct error *err)
{
	size_t n = 0;

	if (pod_link_rejoin(br->route, &br->host, br->ipam, &n, err) < 0)
		return error_prefix(err, "put running pods back on bridge %s", br->host.name);
	if (br->ports.n > 0 && sysctl_route_loopback(br->host.name, err) < 0)
		return -1;
	if (n > 0)
		log_warn("net", "bridge %s was taken away or changed: put %zu running pods back on it", br->host.name, n);
	br->damaged = false;
	return 0;
}

static int ensure_bridge(struct bridge *br, struct error *err)
{
	int before = br->host.index;

	if (br->damaged)
		br->host.index = 0; /* look at all of it again */
	if (host_bridge_ensure(&br->host, br->route, err) < 0)
		return -1;
	br->damaged |= br->host.index != before;
	return br->damaged ? restore_ports(br, err) : 0;
}

static int attach_bridge(struct attachment *a, struct error *err)
{
	return ensure_bridge(a->bridge, err);
}

static int reserve_address(struct attachment *a, struct error *err)
{
	if (ipam_find(a->bridge->ipam, a->request->pod_id, &a->link.address))
		return 0;
	if (ipam_reserve(a->bridge->ipam, a->request->pod_id, &a->link.address, err) < 0)
		return -1;
	a->is_new_address = true;
	return 0;
}

static void release_address(struct attachment *a)
{
	struct error err = ERROR_INIT;

	if (a->is_new_address && ipam_release(a->bridge->ipam, a->request->pod_id, &err) < 0)
		log_warn("net", "undo attaching pod %s: %s", a->request->pod_name, err.text);
}

static int make_link(struct attachment *a, struct error *err)
{
	bool adopted = false;

	if (!a->is_new_address && pod_link_adopt(&a->link, a->bridge->route, &adopted, err) < 0)
		return -1;
	if (adopted)
		return 0;
	if (pod_link_create(&a->link, a->bridge->route, &a->bridge->host, err) < 0)
		return -1;
	a->is_new_link = true;
	return 0;
}

static void delete_link(struct attachment *a)
{
	struct error err = ERROR_INIT;

	if (a->is_new_link && pod_link_delete(&a->link, a->bridge->route, &err) < 0)
		log_warn("net", "undo attaching pod %s: %s", a->request->pod_name, err.text);
}

static int configure_pod(struct attachment *a, struct error *err)
{
	return pod_link_configure(&a->link, a->bridge->route, &a->bridge->host, err);
}

static int publish_ports(struct attachment *a, struct error *err)
{
	struct bridge *br = a->bridge;

	if (a->request->n_ports == 0)
		return 0;
	if (sysctl_route_loopback(br->host.name, err) < 0)
		return -1;
	return ports_publish(&br->ports, br->netfilter, &br->nft, a->request, a->link.address, err);
}

static int run_step(struct attachment *a, const struct attach_step *step, struct error *err)
{
	if (fault_here("net_attach", step->name))
		return error_set(err, ERR_INTERNAL, "fault at %s", step->name);
	return step->run(a, err);
}

static int run_steps(struct attachment *a, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(attach_steps); i++) {
		if (run_step(a, &attach_steps[i], err) == 0)
			continue;
		while (i-- > 0) {
			if (attach_steps[i].undo)
				attach_steps[i].undo(a);
		}
		return -1;
	}
	return 0;
}

static void fill_result(const struct attachment *a, struct net_result *ret_result)
{
	*ret_result = (struct net_result){ .interface = POD_LINK_NAME, .n_addresses = 1 };
	ipv4_format(ret_result->addresses[0], a->link.address);
}

static int check_request(const struct bridge *br, const struct net_request *request, bool needs_namespace, struct error *err)
{
	if (!id_is_valid(request->pod_id))
		return error_set(err, ERR_INVALID, "pod id '%.80s' is not 64 hexadecimal digits", request->pod_id);
	if (request->netns < 0 && !needs_namespace)
		return 0;
	return netns_check_pod(request->netns, &br->host_netns, err);
}

static int bridge_attach(struct net_engine *engine, const struct net_request *request, struct net_result *ret_result,
			 struct error *err)
{
	struct bridge *br = container_of(engine, struct bridge, engine);
	struct attachment a = { .bridge = br, .request = request, .link = { .pod_id = request->pod_id, .netns = request->netns } };

	if (check_request(br, request, true, err) < 0 || run_steps(&a, err) < 0)
		return error_prefix(err, "attach %s to the pod network", request->pod_name);
	fill_result(&a, ret_result);
	return 0;
}

/* Without nftables no pod was attached, so that there is nothing to withdraw. */
static bool can_have_ports(struct bridge *br)
{
	struct error err = ERROR_INIT;

	if (load_ports(br, &err) == 0)
		return true;
	log_warn("net", "no host ports are withdrawn: %s", err.text);
	return false;
}

static int detach(struct bridge *br, const struct net_request *request, struct error *err)
{
	uint32_t address;

	if (can_have_ports(br) && ports_withdraw(&br->ports, br->netfilter, &br->nft, request->pod_id, err) < 0)
		return -1;
	if (!ipam_find(br->ipam, request->pod_id, &address))
		return 0;
	if (request->netns >= 0 && pod_link_silence(request->netns, address, br->host.range.length, err) < 0)
		return -1;
	return ipam_release(br->ipam, request->pod_id, err);
}

static int bridge_detach(struct net_engine *engine, const struct net_request *request, struct error *err)
{
	struct bridge *br = container_of(engine, struct bridge, engine);

	if (check_request(br, request, false, err) < 0 || detach(br, request, err) < 0)
		return error_prefix(err, "detach %s from the pod network", request->pod_name);
	return 0;
}

static int bridge_ready(struct net_engine *engine, struct error *err)
{
	struct bridge *br = container_of(engine, struct bridge, engine);

	br->damaged |= link_watch_drain(br->watch, br->host.index);
	if (br->host.index != 0 || ipam_used(br->ipam) > 0)
		return ensure_table(br, err) < 0 ? -1 : ensure_bridge(br, err);
	if (load_ports(br, err) < 0)
		return -1;
	if (!br->checked && nft_program(br->netfilter, &br->nft, br->ports.list, br->ports.n, false, err) < 0)
		return error_prefix(err, "nftables cannot do what the pod network needs");
	br->checked = true;
	return host_bridge_check(&br->host, br->route, err);
}

static int bridge_watch_fd(struct net_engine *engine)
{
	return container_of(engine, struct bridge, engine)->watch;
}

static int bridge_sweep(struct net_engine *engine, const char *const *live_pod_ids, size_t n, struct error *err)
{
	struct bridge *br = container_of(engine, struct bridge, engine);

	if (pod_link_sweep(br->route, &br->host, live_pod_ids, n, err) < 0 ||
	    (can_have_ports(br) && ports_sweep(&br->ports, br->netfilter, &br->nft, live_pod_ids, n, err) < 0) ||
	    ipam_sweep(br->ipam, live_pod_ids, n, err) < 0)
		return error_prefix(err, "sweep the pod network");
	return 0;
}

static void bridge_describe(struct net_engine *engine, FILE *out)
{
	struct bridge *br = container_of(engine, struct bridge, engine);
	char gateway[IPV4_TEXT_SIZE];

	ipv4_format(gateway, br->host.gateway.address);
	(void)fprintf(out, "bridge %s, gateway %s/%u, %zu of %zu addresses in use, %zu host ports, nftables table ip %s\n",
		      br->host.name, gateway, br->host.range.length, ipam_used(br->ipam), ipam_size(br->ipam), br->ports.n,
		      br->nft.table);
}

static void bridge_close(struct net_engine *engine)
{
	struct bridge *br = container_of(engine, struct bridge, engine);

	ports_release(&br->ports);
	ipam_close(br->ipam);
	netlink_close(br->netfilter);
	netlink_close(br->route);
	close_fd(&br->watch);
	free(br);
}

static const struct net_engine_ops bridge_ops = {
	.name = "bridge",
	.attach = bridge_attach,
	.detach = bridge_detach,
	.ready = bridge_ready,
	.watch_fd = bridge_watch_fd,
	.sweep = bridge_sweep,
	.describe = bridge_describe,
	.close = bridge_close,
};

static int parse_config(struct bridge *br, const struct net_bridge_config *config, struct error *err)
{
	if (host_bridge_parse(&br->host, config->bridge, config->mtu, err) < 0 ||
	    ipv4_prefix_parse("pod_cidr", config->pod_cidr, &br->host.range, err) < 0)
		return -1;
	br->host.gateway.address = br->host.range.base + 1;
	br->nft.bridge = br->host.name;
	br->nft.range = br->host.range;
	(void)snprintf(br->nft.table, sizeof(br->nft.table), "monopod-%s", br->host.name);
	return 0;
}

static int open_parts(struct bridge *br, const struct net_bridge_config *config, struct error *err)
{
	if (parse_config(br, config, err) < 0 || netns_identify_self(&br->host_netns, err) < 0)
		return -1;
	if (netlink_open(NETLINK_ROUTE, &br->route, err) < 0 || link_watch_open(&br->watch, err) < 0)
		return -1;
	return ipam_open(config->state_dir, &br->host.range, &br->ipam, err);
}

int net_bridge_open(const struct net_bridge_config *config, struct net_engine **ret_engine, struct error *err)
{
	struct bridge *br = calloc(1, sizeof(*br));

	if (!br)
		return error_sys(err, ENOMEM, "open the pod network");
	br->engine.ops = &bridge_ops;
	br->watch = -1;
	if (open_parts(br, config, err) < 0) {
		bridge_close(&br->engine);
		return error_prefix(err, "open the pod network");
	}
	*ret_engine = &br->engine;
	return 0;
}

static int delete_table(struct bridge *br, struct error *err)
{
	return load_ports(br, err) < 0 ? -1 : nft_delete_table(br->netfilter, &br->nft, err);
}

int net_bridge_destroy(struct net_engine *engine, struct error *err)
{
	struct bridge *br = container_of(engine, struct bridge, engine);

	if (ipam_used(br->ipam) > 0)
		return error_set(err, ERR_STATE, "remove the pod network: %zu pods are attached", ipam_used(br->ipam));
	if (host_bridge_delete(&br->host, br->route, err) < 0 || delete_table(br, err) < 0 || ipam_destroy(br->ipam, err) < 0)
		return error_prefix(err, "remove the pod network");
	return 0;
}
