#include "oci/member.h"

#include <limits.h>
#include <string.h>

/* The first double above 2^64 - 2^11. */
#define BEYOND_UINT64 18446744073709551615.0

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

const cJSON *member_get(const struct place *place, const char *key)
{
	const cJSON *item = place->object ? cJSON_GetObjectItemCaseSensitive(place->object, key) : NULL;

	return cJSON_IsNull(item) ? NULL : item;
}

const char *place_join(const struct place *place, const char *key)
{
	const char *name = arena_printf(place->arena, "%s%s%s", place->name, *place->name ? "." : "", key);

	return name ? name : "";
}

static int not_a(const struct place *place, const char *key, const char *type, struct error *err)
{
	return error_set(err, ERR_INVALID, "%s is not %s", place_join(place, key), type);
}

int member_text(const struct place *place, const char *key, const char **ret_text, struct error *err)
{
	const cJSON *item = member_get(place, key);

	if (!item)
		return 0;
	if (!cJSON_IsString(item))
		return not_a(place, key, "a string", err);
	*ret_text = item->valuestring;
	return 0;
}

int member_flag(const struct place *place, const char *key, bool *ret_flag, struct error *err)
{
	const cJSON *item = member_get(place, key);

	if (!item)
		return 0;
	if (!cJSON_IsBool(item))
		return not_a(place, key, "true or false", err);
	*ret_flag = cJSON_IsTrue(item);
	return 0;
}

int member_number(const struct place *place, const char *key, int64_t min, int64_t max, int64_t *ret_number, struct error *err)
{
	const cJSON *item = member_get(place, key);
	double value;
	int64_t number;

	if (!item)
		return 0;
	value = item->valuedouble;
	if (!cJSON_IsNumber(item) || !(value >= -9.2e18 && value <= 1.9e19))
		return not_a(place, key, "a whole number", err);
	number = value >= 9223372036854775807.0 ? INT64_MAX : (int64_t)value;
	if (value > -EXACT_MAX && value < EXACT_MAX && (double)number != value)
		return not_a(place, key, "a whole number", err);
	if (number < min || number > max)
		return error_set(err, ERR_INVALID, "%s is %lld, not within %lld and %lld", place_join(place, key),
				 (long long)number, (long long)min, (long long)max);
	*ret_number = number;
	return 1;
}

int member_unsigned(const struct place *place, const char *key, uint64_t *ret_number, struct error *err)
{
	const cJSON *item = member_get(place, key);
	double value;

	if (!item)
		return 0;
	value = item->valuedouble;
	if (!cJSON_IsNumber(item) || !(value >= 0 && value <= 1.9e19))
		return not_a(place, key, "a whole number from 0 on", err);
	if (value < EXACT_MAX && (double)(uint64_t)value != value)
		return not_a(place, key, "a whole number from 0 on", err);
	*ret_number = value >= BEYOND_UINT64 ? UINT64_MAX : (uint64_t)value;
	return 1;
}

size_t member_count(const struct place *place, const char *key)
{
	return (size_t)cJSON_GetArraySize(member_get(place, key));
}

int member_texts(const struct place *place, const char *key, const char *const **ret_texts, struct error *err)
{
	const cJSON *list = member_get(place, key), *item;
	const char **texts;
	size_t n = 0;

	if (!list)
		return 0;
	if (!cJSON_IsArray(list))
		return not_a(place, key, "a list", err);
	texts = arena_new_array(place->arena, const char *, member_count(place, key) + 1);
	if (!texts)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item))
			return not_a(place, key, "a list of strings", err);
		texts[n++] = item->valuestring;
	}
	*ret_texts = texts;
	return 0;
}

int member_object(const struct place *place, const char *key, struct place *ret_place, struct error *err)
{
	const cJSON *item = member_get(place, key);

	if (item && !cJSON_IsObject(item))
		return not_a(place, key, "an object", err);
	*ret_place = (struct place){ item, place_join(place, key), place->arena };
	return 0;
}

int member_objects(const struct place *place, const char *key, place_visit *visit, void *data, struct error *err)
{
	const cJSON *list = member_get(place, key), *item;
	size_t i = 0;

	if (!list)
		return 0;
	if (!cJSON_IsArray(list))
		return not_a(place, key, "a list", err);
	cJSON_ArrayForEach(item, list)
	{
		const char *name = arena_printf(place->arena, "%s[%zu]", place_join(place, key), i);
		const struct place entry = { item, name ? name : "", place->arena };

		if (!cJSON_IsObject(item))
			return error_set(err, ERR_INVALID, "%s is not an object", entry.name);
		if (visit(&entry, i++, data, err) < 0)
			return -1;
	}
	return 0;
}

/* False, 0, "", [] and {} ask for nothing. */
static bool asks_for_nothing(const cJSON *item)
{
	if (!item || cJSON_IsFalse(item))
		return true;
	if (cJSON_IsArray(item) || cJSON_IsObject(item))
		return item->child == NULL;
	return cJSON_IsString(item) && item->valuestring[0] == '\0';
}

int member_refuse(const struct place *place, const struct refused_member *members, struct error *err)
{
	for (; members->key; members++) {
		if (!asks_for_nothing(member_get(place, members->key)))
			return error_set(err, ERR_UNIMPLEMENTED, "%s: %s", place_join(place, members->key), members->reason);
	}
	return 0;
}
