/*
 * The veth pair of one pod: "mp" and eleven digits of the pod's id on the bridge, "eth0" in the pod. The host's end carries the
 * alias "monopod:POD_ID" as the mark of its owner, since eleven digits may collide.
 */
#ifndef MONOPOD_NET_POD_LINK_H
#define MONOPOD_NET_POD_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"
#include "net/host_bridge.h"
#include "net/link.h"
#include "net/netlink.h"

struct ipam;

#define POD_LINK_NAME "eth0"

struct pod_link {
	const char *pod_id;
	int netns;
	uint32_t address;
	char name[IFNAMSIZ]; /* of the host's end; set by pod_link_create() and pod_link_adopt() */
};

/* True when the pod's pair is there, with its other end in the pod's namespace. A pair of this pod that leads elsewhere, such as
 * one whose namespace is just being taken down, is deleted. */
int pod_link_adopt(struct pod_link *link, struct netlink *nl, bool *ret_adopted, struct error *err);

/* Creates the pair and starts the host's end. On failure nothing of it stays. */
int pod_link_create(struct pod_link *link, struct netlink *nl, const struct host_bridge *hb, struct error *err);

/* Address, routes and no IPv6 in the pod, both ends ready for the first packet. What is set already is fine. */
int pod_link_configure(const struct pod_link *link, struct netlink *nl, const struct host_bridge *hb, struct error *err);

/* Takes the pod's address away in its namespace, so that nobody answers for it any more while the namespace is taken down. */
int pod_link_silence(int netns, uint32_t address, uint8_t prefix_length, struct error *err);

int pod_link_delete(const struct pod_link *link, struct netlink *nl, struct error *err);

/* Makes the host's ends of attached pods (those with an address) ports of the bridge again, after it was deleted and made anew or somebody
 * took them out of it. */
int pod_link_rejoin(struct netlink *nl, const struct host_bridge *hb, const struct ipam *ipam, size_t *ret_n, struct error *err);

/* Deletes the ports of the bridge that are ours by name or alias and whose pod is not in the sorted list. */
int pod_link_sweep(struct netlink *nl, const struct host_bridge *hb, const char *const *live_pod_ids, size_t n, struct error *err);

#endif
