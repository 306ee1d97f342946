/* What a request for a sandbox means: from the CRI's words to those of src/runtime and src/net. No side effects. */
#ifndef MONOPOD_TASK_SANDBOX_SPEC_H
#define MONOPOD_TASK_SANDBOX_SPEC_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "net/files.h"
#include "net/net.h"
#include "proto/cri.pb-c.h"
#include "runtime/namespaces.h"

/* An absent NamespaceOption means its defaults: everything is the pod's. */
Cri__NamespaceMode sandbox_pid_mode(const Cri__PodSandboxConfig *config);
bool sandbox_host_network(const Cri__PodSandboxConfig *config);
bool sandbox_host_ipc(const Cri__PodSandboxConfig *config);
Cri__UserNamespace *sandbox_user_options(const Cri__PodSandboxConfig *config); /* NULL when absent: see user_ns.h */

/* The pod's host name: what was asked for, else the node's. In the arena; NULL when memory is out. */
const char *sandbox_hostname(const Cri__PodSandboxConfig *config, struct arena *arena);

/* Namespaces and sysctls; strings are the config's or the arena's. The spawner is the caller's to name. */
int sandbox_ns_spec(const Cri__PodSandboxConfig *config, struct arena *arena, struct pod_ns_spec *ret_spec, struct error *err);

struct dns_config sandbox_dns(const Cri__PodSandboxConfig *config);
int sandbox_ports(const Cri__PodSandboxConfig *config, struct arena *arena, struct net_request *ret_request, struct error *err);

/* Refuses what this node cannot do (ERR_UNIMPLEMENTED) or what contradicts itself (ERR_INVALID), naming the field. */
int sandbox_check(const Cri__PodSandboxConfig *config, struct error *err);

#endif
