/*
 * Reading JSON that somebody else wrote (a registry, an archive, an administrator, a plugin): cJSON with a budget.
 *
 * cJSON spends 64 bytes on a value that may take two bytes of text, so the number of values is bounded before parsing; depth is
 * bounded by cJSON itself (CJSON_NESTING_LIMIT, 1000).
 */
#ifndef MONOPOD_BASE_JSON_H
#define MONOPOD_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The whole text must be one JSON object or array. Errors give line and column and start with `what`, unless that is NULL.
 * `text` may be NULL when `len` is 0. Free with cJSON_Delete() or _cleanup_json_. */
int json_parse(const char *text, size_t len, const char *what, cJSON **ret_json, struct error *err);

/* The same for an object alone. */
int json_parse_object(const char *text, size_t len, const char *what, cJSON **ret_json, struct error *err);

void json_cleanup(cJSON **json);
#define _cleanup_json_ __attribute__((cleanup(json_cleanup)))

/* The member's string; NULL when it is absent or not a string. */
const char *json_string(const cJSON *object, const char *key);

/* A whole number from 0 to 2^53 - 1, beyond which cJSON's doubles are not exact. */
int json_size(const cJSON *object, const char *key, uint64_t *ret_size, struct error *err);

/* A list of strings; absent and null are the empty list. */
int json_strings(const cJSON *object, const char *key, char ***ret_list, struct error *err);

/* Adds a list of strings as member `key`. */
int json_add_strings(cJSON *object, const char *key, char *const *list, struct error *err);

#endif
