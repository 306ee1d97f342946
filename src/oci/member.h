/*
 * Members of JSON objects, by name, type and range. An absent or null member leaves *ret as it is; one of another type is ERR_INVALID and
 * is named with its place: "linux.resources.memory.limit is not a whole number".
 *
 * cJSON holds numbers as doubles: whole numbers are exact up to 2^53, and what is beyond 2^64 - 2^11 is the largest number (RLIM_INFINITY).
 */
#ifndef MONOPOD_OCI_MEMBER_H
#define MONOPOD_OCI_MEMBER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* An object and its place, "" for the document itself. */
struct place {
	const cJSON *object; /* NULL: has no members */
	const char *name;
	struct arena *arena;
};

/* Absent and null are NULL. */
const cJSON *member_get(const struct place *place, const char *key);

int member_text(const struct place *place, const char *key, const char **ret_text, struct error *err);
int member_flag(const struct place *place, const char *key, bool *ret_flag, struct error *err);

/* Returns 1 when the member is there. */
int member_number(const struct place *place, const char *key, int64_t min, int64_t max, int64_t *ret_number, struct error *err);
int member_unsigned(const struct place *place, const char *key, uint64_t *ret_number, struct error *err);

/* A list of strings, NULL-terminated, in the arena; absent is left. */
int member_texts(const struct place *place, const char *key, const char *const **ret_texts, struct error *err);

/* The place of an object below; its object is NULL when it is absent. */
int member_object(const struct place *place, const char *key, struct place *ret_place, struct error *err);

/* A list of objects: calls `visit` for each with its place, "mounts[2]". Returns how many, in *ret_n when that is not NULL. */
typedef int place_visit(const struct place *place, size_t index, void *data, struct error *err);
int member_objects(const struct place *place, const char *key, place_visit *visit, void *data, struct error *err);

/* How many entries the list has; 0 when it is none. */
size_t member_count(const struct place *place, const char *key);

/* "linux.seccomp": in the arena, "" when memory is out (arena_failed() tells). */
const char *place_join(const struct place *place, const char *key);

/* Refuses what the specification knows and we do not do; rows end with one whose key is NULL. */
struct refused_member {
	const char *key;
	const char *reason;
};
int member_refuse(const struct place *place, const struct refused_member *members, struct error *err);

#endif
