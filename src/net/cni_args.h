/* What the runtime tells plugins about a pod: CNI_ARGS, and the capabilities that the ecosystem's CONVENTIONS.md names. */
#ifndef MONOPOD_NET_CNI_ARGS_H
#define MONOPOD_NET_CNI_ARGS_H

#include <cjson/cJSON.h>

#include "base/error.h"
#include "net/net.h"

/* "IgnoreUnknown=1;K8S_POD_NAMESPACE=...". The caller frees *ret_args. ERR_INVALID for a name that would end its value. */
int cni_args_text(const struct net_request *request, char **ret_args, struct error *err);

/* {"portMappings": [...], "bandwidth": {...}, "dns": {...}}, with the members that the pod has something for. */
int cni_args_capabilities(const struct net_request *request, cJSON **ret_json, struct error *err);

#endif
