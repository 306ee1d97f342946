/* The commands of CNI over all plugins of a list, in the order and with the prevResult that SPEC.md section 3 asks for. All block. */
#ifndef MONOPOD_NET_CNI_CHAIN_H
#define MONOPOD_NET_CNI_CHAIN_H

#include <cjson/cJSON.h>

#include "base/error.h"
#include "net/cni_list.h"
#include "net/cni_plugin.h"

/* `call->command` is set by each of these. On failure cni_chain_del() has still to be called. *ret_result is that of the last plugin. */
int cni_chain_add(const struct cni_list *list, struct cni_call *call, cJSON **ret_result, struct error *err);

/* Every plugin, the last one first, also when one fails: the first error is returned. `result` may be NULL. */
int cni_chain_del(const struct cni_list *list, struct cni_call *call, const cJSON *result, struct error *err);

/* 0 at once where the version has no such command or the list forbids it. */
int cni_chain_check(const struct cni_list *list, struct cni_call *call, const cJSON *result, struct error *err);
int cni_chain_status(const struct cni_list *list, struct cni_call *call, struct error *err);

/* call->attachments are those that stay. Every plugin, as for DEL. */
int cni_chain_gc(const struct cni_list *list, struct cni_call *call, struct error *err);

#endif
