#include "base/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strv.h"

/* 13 MB of cJSON nodes. The largest honest documents are configurations with a few thousand history entries of five values. */
#define MAX_VALUES 200000

#define MAX_EXACT 9007199254740991.0 /* 2^53 - 1 */

/* An upper bound of the number of values: each but the first follows a bracket, brace, comma or colon. Those inside strings count
 * too, which only makes the bound stricter. */
static size_t count_values(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += text[i] == ',' || text[i] == '[' || text[i] == '{';
	return n;
}

static int syntax_error(const char *text, const char *end, struct error *err)
{
	size_t line = 1, column = 1;

	for (const char *p = text; p < end; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	return error_set(err, ERR_INVALID, "line %zu, column %zu: not JSON", line, column);
}

static int parse(const char *text, size_t len, bool may_be_array, cJSON **ret_json, struct error *err)
{
	_cleanup_json_ cJSON *json = NULL;
	const char *end = text;

	if (count_values(text, len) > MAX_VALUES)
		return error_set(err, ERR_EXHAUSTED, "more than %d JSON values", MAX_VALUES);
	json = cJSON_ParseWithLengthOpts(text, len, &end, false);
	while (json && end < text + len && (*end == ' ' || *end == '\n' || *end == '\r' || *end == '\t'))
		end++;
	if (!json || end != text + len)
		return syntax_error(text, end, err);
	if (!cJSON_IsObject(json) && !(may_be_array && cJSON_IsArray(json)))
		return error_set(err, ERR_INVALID, "not a JSON object%s", may_be_array ? " or array" : "");
	*ret_json = steal_ptr(&json);
	return 0;
}

static int parse_named(const char *text, size_t len, const char *what, bool may_be_array, cJSON **ret_json, struct error *err)
{
	if (parse(text ? text : "", len, may_be_array, ret_json, err) == 0)
		return 0;
	return what ? error_prefix(err, "%s", what) : -1;
}

int json_parse(const char *text, size_t len, const char *what, cJSON **ret_json, struct error *err)
{
	return parse_named(text, len, what, true, ret_json, err);
}

int json_parse_object(const char *text, size_t len, const char *what, cJSON **ret_json, struct error *err)
{
	return parse_named(text, len, what, false, ret_json, err);
}

void json_cleanup(cJSON **json)
{
	cJSON_Delete(*json);
}

const char *json_string(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

int json_size(const cJSON *object, const char *key, uint64_t *ret_size, struct error *err)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= MAX_EXACT) ||
	    (double)(uint64_t)item->valuedouble != item->valuedouble)
		return error_set(err, ERR_INVALID, "'%s' is not a size", key);
	*ret_size = (uint64_t)item->valuedouble;
	return 0;
}

int json_strings(const cJSON *object, const char *key, char ***ret_list, struct error *err)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, key);
	_cleanup_strv_ char **list = NULL;
	size_t n = 0;

	if (array && !cJSON_IsNull(array) && !cJSON_IsArray(array))
		return error_set(err, ERR_INVALID, "'%s' is not a list", key);
	list = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(char *));
	if (!list)
		return error_set(err, ERR_EXHAUSTED, "out of memory for '%s'", key);
	for (const cJSON *item = array ? array->child : NULL; item; item = item->next) {
		if (!cJSON_IsString(item))
			return error_set(err, ERR_INVALID, "'%s' holds something that is not a string", key);
		list[n] = strdup(item->valuestring);
		if (!list[n++])
			return error_set(err, ERR_EXHAUSTED, "out of memory for '%s'", key);
	}
	*ret_list = steal_ptr(&list);
	return 0;
}

int json_add_strings(cJSON *object, const char *key, char *const *list, struct error *err)
{
	cJSON *array = cJSON_AddArrayToObject(object, key);

	for (; array && *list; list++) {
		cJSON *item = cJSON_CreateString(*list);

		if (!item || !cJSON_AddItemToArray(array, item))
			return error_set(err, ERR_EXHAUSTED, "out of memory for '%s'", key);
	}
	return array ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for '%s'", key);
}
