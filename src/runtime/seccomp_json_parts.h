/* The words of a seccomp profile in JSON: actions, operators, architectures, flags. Private to seccomp_json*.c. */
#ifndef MONOPOD_RUNTIME_SECCOMP_JSON_PARTS_H
#define MONOPOD_RUNTIME_SECCOMP_JSON_PARTS_H

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/seccomp_policy.h"

/* NULL when it is absent. Case matters. */
static inline const cJSON *json_member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A list of strings, or nothing. */
int json_check_strings(const cJSON *list, struct error *err);

int json_seccomp_arg(const cJSON *item, struct seccomp_arg *ret_arg, struct error *err);

/* "action" with "errnoRet" or "errno", and "defaultAction" with its own. */
int json_seccomp_rule_action(const cJSON *entry, uint32_t *ret_action, struct error *err);
int json_seccomp_default_action(const cJSON *profile, uint32_t *ret_action, struct error *err);

/* SCMP_ARCH_* of "architectures", or of the native entry of "archMap"; the native one always stands first. */
int json_seccomp_abis(const cJSON *profile, struct arena *arena, const uint32_t **ret_abis, size_t *ret_n, struct error *err);

int json_seccomp_flags(const cJSON *profile, unsigned *ret_flags, struct error *err);

#endif
