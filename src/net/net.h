/*
 * Pod networks. An engine attaches a network namespace to a network and detaches it again: the embedded bridge below, or plugins that are
 * executed (cni.h). A pod is detached by the engine that attached it.
 *
 * Everything blocks. Calls to the bridge must run on one thread at a time (the network lane): rtnl serialises the kernel's side anyhow
 * (limits.md lesson 15); those to plugins may run on several, for different pods. Detaching what is gone is success; the
 * bridge gives a pod that it has attached the same result again.
 */
#ifndef MONOPOD_NET_NET_H
#define MONOPOD_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct net_engine;

enum net_protocol { NET_TCP, NET_UDP, NET_SCTP };

struct port_mapping {
	enum net_protocol protocol;
	uint16_t container_port;
	uint16_t host_port;  /* 0: no mapping */
	const char *host_ip; /* "" or NULL: all addresses of the host */
};

struct net_dns { /* NULL-terminated lists, each may be NULL: CRI DNSConfig */
	char *const *servers, *const *searches, *const *options;
};

struct net_request {
	const char *pod_id;   /* 64 hexadecimal digits: names the link and the address record */
	const char *pod_name; /* for error texts: "namespace/name" */
	int netns;            /* descriptor; -1 in a detach whose namespace is gone */
	const struct port_mapping *ports;
	size_t n_ports;

	/* What CNI plugins are told besides; the embedded bridge reads none of it, and a detach needs none of it. */
	const char *netns_path; /* where `netns` is pinned; NULL when it is gone */
	const char *name, *namespace, *uid;
	struct net_dns dns;
	uint64_t ingress_bits, egress_bits; /* per second; 0: no limit */
};

#define NET_ADDRESS_SIZE 46 /* INET6_ADDRSTRLEN */
#define NET_MAX_ADDRESSES 8

struct net_result {
	char interface[16];                                  /* inside the pod: "eth0" */
	char addresses[NET_MAX_ADDRESSES][NET_ADDRESS_SIZE]; /* without prefix length; the first is the pod's IP */
	size_t n_addresses;
};

struct net_engine_ops {
	const char *name;
	/* `lo` is up afterwards too. On failure nothing of the pod stays. */
	int (*attach)(struct net_engine *engine, const struct net_request *request, struct net_result *ret_result,
		      struct error *err);
	/* Ports of the request are not looked at. The link in a namespace that lives on may stay, without address: it ends with the
	 * namespace, which the caller closes and unpins next. */
	int (*detach)(struct net_engine *engine, const struct net_request *request, struct error *err);
	/* 0 when pods can be attached now; else the reason, for Status' NetworkReady. The bridge also repairs here what somebody took
	 * away: its nftables table, the bridge itself with its address, the ports of running pods. Below 1 ms when nothing is
	 * missing. */
	int (*ready)(struct net_engine *engine, struct error *err);
	/* A descriptor that becomes readable when something may have been taken away, so that ready() should be called, which reads
	 * it; -1: none. It is the engine's. Any thread. */
	int (*watch_fd)(struct net_engine *engine);
	/* Removes links, addresses and nft elements of ours whose pod is not in the list (sorted ids): after a crash. 15 to 25 ms for
	 * each link that is left over. NULL where the kernel does not show what is ours (cni.h: net_cni_leftovers()). */
	int (*sweep)(struct net_engine *engine, const char *const *live_pod_ids, size_t n, struct error *err);
	void (*describe)(struct net_engine *engine, FILE *out);
	void (*close)(struct net_engine *engine);
};

/* Engines embed this as their first member. */
struct net_engine {
	const struct net_engine_ops *ops;
};

struct net_bridge_config {
	const char *bridge;    /* at most 15 characters */
	const char *pod_cidr;  /* IPv4, /8 to /30; the first address is the bridge's */
	const char *mtu;       /* "auto": of the link with the default route, else 1500 */
	const char *state_dir; /* address records, one file per address, named by it and holding the pod's id: on a tmpfs, for no
				* pod survives a reboot */
};

/* The embedded default: a bridge, veth pairs, routes, masquerading and host ports over netlink and nftables. The bridge is made
 * when the first pod is attached, and removed by nobody. An interface of that name that is not a bridge, or a bridge with another
 * address, is ERR_EXISTS at attach, as is a pod_cidr that overlaps a network of the host or a route to a part of it elsewhere.
 *
 * The engine belongs to the network namespace of the thread that opens it; all calls come from threads of that namespace. It turns
 * on net.ipv4.ip_forward with the first pod. Opening reads records and host ports and changes nothing but state_dir, so that commands
 * which only look may open one too. Firewall: the table `ip monopod-BRIDGE`, see nft.h. */
int net_bridge_open(const struct net_bridge_config *config, struct net_engine **ret_engine, struct error *err);

/* Takes the bridge, the nft table and the address records away: for `make demo` and tests. ERR_STATE when pods are attached. The
 * engine can only be closed afterwards. */
int net_bridge_destroy(struct net_engine *engine, struct error *err);

/* Brings `lo` up in the namespace. */
int net_loopback_up(int netns, struct error *err);

#endif
