#include "runtime/cdi_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/json.h"
#include "base/mem.h"

/* A Spec nests eight deep. */
#define MAX_DEPTH 32

/* cJSON spends 64 bytes on a value, YAML three bytes of text. */
#define MAX_VALUES 100000

cJSON *cdi_parse_json(const char *text, size_t len, struct error *err)
{
	cJSON *json = NULL;

	return json_parse_object(text, len, NULL, &json, err) < 0 ? NULL : json;
}

/* ---- YAML ---- */

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool has_event;
	unsigned n_values;
};

static int next(struct reader *reader, struct error *err)
{
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	reader->has_event = yaml_parser_parse(&reader->parser, &reader->event) != 0;
	if (reader->has_event)
		return 0;
	return error_set(err, ERR_INVALID, "line %zu, column %zu: not YAML: %s", reader->parser.problem_mark.line + 1,
			 reader->parser.problem_mark.column + 1, reader->parser.problem ? reader->parser.problem : "out of memory");
}

/* The beginnings, or the ends, of the stream and of the document. */
static int next_two(struct reader *reader, struct error *err)
{
	return next(reader, err) < 0 ? -1 : next(reader, err);
}

static int refuse(const struct reader *reader, const char *what, struct error *err)
{
	return error_set(err, ERR_INVALID, "line %zu, column %zu: %s", reader->event.start_mark.line + 1,
			 reader->event.start_mark.column + 1, what);
}

static int read_value(struct reader *reader, unsigned depth, cJSON **ret_value, struct error *err);

static int read_scalar(struct reader *reader, cJSON **ret_value, struct error *err)
{
	const char *text = (const char *)reader->event.data.scalar.value;
	bool plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (strlen(text) != reader->event.data.scalar.length)
		return refuse(reader, "a NUL inside a text", err);
	*ret_value = plain ? cJSON_CreateRaw(text) : cJSON_CreateString(text);
	return *ret_value ? 0 : error_sys(err, ENOMEM, "read YAML");
}

static int read_sequence(struct reader *reader, unsigned depth, cJSON *list, struct error *err) /* NOLINT(misc-no-recursion) */
{
	while (next(reader, err) == 0) {
		cJSON *item;

		if (reader->event.type == YAML_SEQUENCE_END_EVENT)
			return 0;
		if (read_value(reader, depth, &item, err) < 0)
			return -1;
		(void)cJSON_AddItemToArray(list, item);
	}
	return -1;
}

static int read_pair(struct reader *reader, unsigned depth, cJSON *map, struct error *err) /* NOLINT(misc-no-recursion) */
{
	_cleanup_free_
	char *key = NULL;
	cJSON *value = NULL;

	if (reader->event.type != YAML_SCALAR_EVENT)
		return refuse(reader, "the name of a member is no text", err);
	key = strdup((const char *)reader->event.data.scalar.value);
	if (!key)
		return error_sys(err, ENOMEM, "read YAML");
	if (next(reader, err) < 0 || read_value(reader, depth, &value, err) < 0)
		return -1;
	if (cJSON_AddItemToObject(map, key, value))
		return 0;
	cJSON_Delete(value);
	return error_sys(err, ENOMEM, "read YAML");
}

static int read_mapping(struct reader *reader, unsigned depth, cJSON *map, struct error *err) /* NOLINT(misc-no-recursion) */
{
	while (next(reader, err) == 0) {
		if (reader->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (read_pair(reader, depth, map, err) < 0)
			return -1;
	}
	return -1;
}

static int read_collection(struct reader *reader, unsigned depth, cJSON **ret_value,
			   struct error *err) /* NOLINT(misc-no-recursion) */
{
	bool is_map = reader->event.type == YAML_MAPPING_START_EVENT;
	cJSON *value = is_map ? cJSON_CreateObject() : cJSON_CreateArray();
	int result;

	if (!value)
		return error_sys(err, ENOMEM, "read YAML");
	result = is_map ? read_mapping(reader, depth + 1, value, err) : read_sequence(reader, depth + 1, value, err);
	if (result < 0)
		cJSON_Delete(value);
	else
		*ret_value = value;
	return result;
}

/* The value whose first event is at hand. Aliases are refused: no generator of Specs writes them, and they multiply. */
static int read_value(struct reader *reader, unsigned depth, cJSON **ret_value, struct error *err) /* NOLINT(misc-no-recursion) */
{
	if (depth > MAX_DEPTH)
		return refuse(reader, "nested too deeply", err);
	if (++reader->n_values > MAX_VALUES)
		return refuse(reader, "too many values", err);
	switch ((int)reader->event.type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(reader, ret_value, err);
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		return read_collection(reader, depth, ret_value, err);
	case YAML_ALIAS_EVENT:
		return refuse(reader, "aliases are not supported", err);
	default:
		return refuse(reader, "a value is missing", err);
	}
}

/* One document and nothing behind it. */
static int read_stream(struct reader *reader, cJSON **ret_value, struct error *err)
{
	if (next_two(reader, err) < 0)
		return -1;
	if (reader->event.type != YAML_DOCUMENT_START_EVENT)
		return refuse(reader, "the file is empty", err);
	if (next(reader, err) < 0 || read_value(reader, 0, ret_value, err) < 0)
		return -1;
	if (next_two(reader, err) < 0)
		return -1;
	return reader->event.type == YAML_STREAM_END_EVENT ? 0 : refuse(reader, "more than one document", err);
}

cJSON *cdi_parse_yaml(const char *text, size_t len, struct error *err)
{
	struct reader reader = { .has_event = false };
	cJSON *value = NULL;

	if (!yaml_parser_initialize(&reader.parser)) {
		(void)error_sys(err, ENOMEM, "read YAML");
		return NULL;
	}
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
	if (read_stream(&reader, &value, err) < 0) {
		cJSON_Delete(value);
		value = NULL;
	}
	if (reader.has_event)
		yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	return value;
}

/* ---- members ---- */

static bool is_null(const cJSON *item)
{
	return cJSON_IsNull(item) || (cJSON_IsRaw(item) && (!*item->valuestring || !strcmp(item->valuestring, "~") ||
							    !strcmp(item->valuestring, "null")));
}

const cJSON *cdi_member(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;

	return item && !is_null(item) ? item : NULL;
}

static bool is_known(const char *const *known, const char *name)
{
	while (*known && strcmp(*known, name) != 0)
		known++;
	return *known != NULL;
}

int cdi_check_members(const cJSON *object, const char *const *known, struct error *err)
{
	const cJSON *item;

	if (!object)
		return 0;
	if (!cJSON_IsObject(object))
		return error_set(err, ERR_INVALID, "not an object");
	cJSON_ArrayForEach(item, object)
	{
		if (!is_known(known, item->string))
			return error_set(err, ERR_INVALID, "unknown member '%.64s'", item->string);
		if (cJSON_GetObjectItemCaseSensitive(object, item->string) != item)
			return error_set(err, ERR_INVALID, "member %s stands there twice", item->string);
	}
	return 0;
}

int cdi_text(const cJSON *object, const char *name, const char **ret_text, struct error *err)
{
	const cJSON *item = cdi_member(object, name);

	if (item && !cJSON_IsString(item) && !cJSON_IsRaw(item))
		return error_set(err, ERR_INVALID, "%s: not a text", name);
	*ret_text = item ? item->valuestring : "";
	return 0;
}

/* YAML 1.1: 0666 is octal, as 0o666; 0x1b6 is what it looks like. */
static bool parse_number(const char *text, int64_t *ret_number)
{
	int base = text[0] == '0' && (text[1] == 'o' || text[1] == 'O') ? 8 : 0;
	char *end;

	errno = 0;
	*ret_number = strtoll(base ? text + 2 : text, &end, base);
	return errno == 0 && end != text && *end == '\0';
}

int cdi_number(const cJSON *object, const char *name, int64_t min, int64_t max, bool *ret_has, int64_t *ret_number,
	       struct error *err)
{
	const cJSON *item = cdi_member(object, name);
	int64_t number = 0;
	bool good = true;

	if (cJSON_IsNumber(item)) {
		good = item->valuedouble >= (double)min && item->valuedouble <= (double)max;
		number = good ? (int64_t)item->valuedouble : 0;
		good = good && (double)number == item->valuedouble;
	} else if (item) {
		good = cJSON_IsRaw(item) && parse_number(item->valuestring, &number);
	}
	if (!good || (item && (number < min || number > max)))
		return error_set(err, ERR_INVALID, "%s: not a whole number from %lld to %lld", name, (long long)min,
				 (long long)max);
	*ret_has = item != NULL;
	*ret_number = number;
	return 0;
}

int cdi_list(const cJSON *object, const char *name, const cJSON **ret_list, struct error *err)
{
	const cJSON *item = cdi_member(object, name);

	if (item && !cJSON_IsArray(item))
		return error_set(err, ERR_INVALID, "%s: not a list", name);
	*ret_list = item;
	return 0;
}

int cdi_texts(const cJSON *object, const char *name, struct arena *arena, char ***ret_texts, size_t *ret_n, struct error *err)
{
	const cJSON *list, *item;
	char **texts;
	size_t n = 0;

	if (cdi_list(object, name, &list, err) < 0)
		return -1;
	texts = arena_new_array(arena, char *, (size_t)cJSON_GetArraySize(list) + 1);
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item) && !cJSON_IsRaw(item))
			return error_set(err, ERR_INVALID, "%s[%zu]: not a text", name, n);
		if (texts)
			texts[n++] = arena_strdup(arena, item->valuestring);
	}
	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret_texts = texts;
	*ret_n = n;
	return 0;
}
