/*
 * The engine that executes CNI plugins: whatever list the administrator put into the configuration directory. See net.h for what an
 * engine does; unlike the bridge, this one may be called from several threads at once, for different pods: a plugin takes its time.
 *
 * Nothing is kept in memory about pods. A pod is detached as it was attached, from its record (cni_record.h).
 */
#ifndef MONOPOD_NET_CNI_H
#define MONOPOD_NET_CNI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "net/net.h"

/* For all plugins of an ADD together, and again for taking away what a failed one left. A chain takes 0.1 to 2 s; kubelet gives up on
 * RunPodSandbox after four minutes. */
#define CNI_ATTACH_LIMIT_MS 60000
#define CNI_DETACH_LIMIT_MS 60000

/* Plugins of so many pods run at the same time: more would take every thread of the daemon when they hang, and with it the start of the
 * very pod that they wait for. */
#define NET_CNI_PARALLEL 16

struct net_cni_config {
	const char *conf_dir; /* of configurations; need not be there */
	const char *bin_dirs; /* of plugins, separated by commas, the first one that has it counts */
	const char
		*record_dir; /* ours; made when it is missing. Persistent, since plugins keep their addresses over a reboot, too */
};

/* Reads the configuration; that it is missing or wrong is told by ready(). */
int net_cni_open(const struct net_cni_config *config, struct net_engine **ret_engine, struct error *err);

/* Whether a configuration file is there, be it right or wrong: then the embedded bridge has to stand back. Any thread. */
bool net_cni_is_configured(struct net_engine *engine);

/* The pods that have a record and are not in the list (sorted ids), as a list of base/strv.h: what a crash or a reboot left. To be asked
 * before new pods are attached, and each to be given to detach(), which takes its time. */
int net_cni_leftovers(struct net_engine *engine, const char *const *live_pod_ids, size_t n, char ***ret_pod_ids, struct error *err);

/* Tells the plugins which attachments are valid (GC, since 1.1), which are those with a record. Attaches and detaches
 * wait meanwhile, as it waits for them. */
int net_cni_collect(struct net_engine *engine, struct error *err);

/* Asks the plugins whether the pod is still attached as it was (CHECK, since 0.4); 0 when they have no such command. */
int net_cni_check(struct net_engine *engine, const struct net_request *request, struct error *err);

#endif
