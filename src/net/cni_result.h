/*
 * What plugins answer to ADD (SPEC.md section 5), in every version since 0.1: as it is, for the next plugin, and as addresses.
 */
#ifndef MONOPOD_NET_CNI_RESULT_H
#define MONOPOD_NET_CNI_RESULT_H

#include <cjson/cJSON.h>

#include "base/error.h"
#include "net/cni_list.h"
#include "net/net.h"

/* The largest seen hold a few KiB: each route of a pod stands in it. */
#define CNI_RESULT_MAX_BYTES ((size_t)1 << 20)

/* The answer of one plugin that was asked in `version`. One that is in another version is rewritten, since the next plugin gets it as
 * its prevResult; ERR_UNAVAILABLE when it is none, or in a version that cannot be. */
int cni_result_parse(const char *text, size_t len, enum cni_version version, cJSON **ret_result, struct error *err);

/* The addresses of `interface`. ERR_UNAVAILABLE when there is none, or one that is no address. */
int cni_result_read(const cJSON *result, const char *interface, struct net_result *ret_result, struct error *err);

#endif
