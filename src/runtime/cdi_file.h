/*
 * A CDI Spec file as a tree: JSON by cJSON, YAML by libyaml, with bounds. Private to cdi*.c.
 *
 * In the tree of a YAML file what is written without quotes is a cJSON_Raw: whether `0666` is a text or a number is for the member to
 * say that it stands in. The readers below know that.
 */
#ifndef MONOPOD_RUNTIME_CDI_FILE_H
#define MONOPOD_RUNTIME_CDI_FILE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* A Spec of a node with sixteen accelerators, each cut in seven, has some 200 KiB. */
#define CDI_FILE_MAX ((size_t)1 << 20)

/* ERR_INVALID with line and column where it is neither. cJSON_Delete() the result; NULL on failure. */
cJSON *cdi_parse_json(const char *text, size_t len, struct error *err);
cJSON *cdi_parse_yaml(const char *text, size_t len, struct error *err);

/* The names in `known` are all that the object may have, each once; NULL-terminated. A missing object is fine. */
int cdi_check_members(const cJSON *object, const char *const *known, struct error *err);

/* NULL when it is absent or null. */
const cJSON *cdi_member(const cJSON *object, const char *name);

/* "" when it is absent; points into the tree. */
int cdi_text(const cJSON *object, const char *name, const char **ret_text, struct error *err);

/* A whole number; *ret_has is false when it is absent. */
int cdi_number(const cJSON *object, const char *name, int64_t min, int64_t max, bool *ret_has, int64_t *ret_number,
	       struct error *err);

/* NULL-terminated copies in the arena; an absent list is empty. */
int cdi_texts(const cJSON *object, const char *name, struct arena *arena, char ***ret_texts, size_t *ret_n, struct error *err);

/* The member as a list, perhaps empty. */
int cdi_list(const cJSON *object, const char *name, const cJSON **ret_list, struct error *err);

#endif
