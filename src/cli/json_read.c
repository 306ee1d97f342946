#include "cli/json_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/json_names.h"

/* Far more than any pod's configuration (arbitrary). */
#define MAX_FILE ((size_t)4 << 20)

/* Doubles hold whole numbers exactly up to here. */
#define MAX_EXACT 9007199254740992.0

#define AT(type, message, offset) ((type *)(void *)((char *)(message) + (offset)))

static int read_value(const ProtobufCFieldDescriptor *field, const cJSON *json, void *at, struct arena *arena, struct error *err);

/* ---- numbers ---- */

/* "-17" or -17; whole. */
static int read_integer(const cJSON *json, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
	char *end = NULL;
	int64_t value;

	errno = 0;
	if (cJSON_IsString(json))
		value = strtoll(json->valuestring, &end, 10);
	else if (cJSON_IsNumber(json) && json->valuedouble == floor(json->valuedouble) && fabs(json->valuedouble) <= MAX_EXACT)
		value = (int64_t)json->valuedouble;
	else
		return error_set(err, ERR_INVALID, "must be a whole number");
	if (end && (end == json->valuestring || *end != '\0' || errno))
		return error_set(err, ERR_INVALID, "'%.32s' is no whole number", json->valuestring);
	if (value < min || value > max)
		return error_set(err, ERR_INVALID, "must be from %" PRId64 " to %" PRId64, min, max);
	*ret = value;
	return 0;
}

static int read_unsigned(const cJSON *json, uint64_t *ret, struct error *err)
{
	char *end;
	int64_t value;

	if (!cJSON_IsString(json)) {
		if (read_integer(json, 0, INT64_MAX, &value, err) < 0)
			return -1;
		*ret = (uint64_t)value;
		return 0;
	}
	errno = 0;
	*ret = strtoull(json->valuestring, &end, 10);
	if (json->valuestring[strspn(json->valuestring, "0123456789")] != '\0' || end == json->valuestring || errno)
		return error_set(err, ERR_INVALID, "'%.32s' is no whole number", json->valuestring);
	return 0;
}

static int read_small(const cJSON *json, int64_t min, int64_t max, uint32_t *ret, struct error *err)
{
	int64_t value;

	if (read_integer(json, min, max, &value, err) < 0)
		return -1;
	*ret = (uint32_t)value;
	return 0;
}

static int read_enum(const ProtobufCEnumDescriptor *type, const cJSON *json, void *at, struct error *err)
{
	const ProtobufCEnumValue *value =
		cJSON_IsString(json) ? protobuf_c_enum_descriptor_get_value_by_name(type, json->valuestring) : NULL;

	if (value) {
		*(int *)at = value->value;
		return 0;
	}
	if (cJSON_IsString(json))
		return error_set(err, ERR_INVALID, "'%.64s' is none of its values", json->valuestring);
	return read_small(json, INT32_MIN, INT32_MAX, at, err);
}

static int read_bool(const cJSON *json, protobuf_c_boolean *ret, struct error *err)
{
	if (!cJSON_IsBool(json))
		return error_set(err, ERR_INVALID, "must be true or false");
	*ret = cJSON_IsTrue(json);
	return 0;
}

/* ---- texts and messages ---- */

static int read_text(const cJSON *json, char **ret, struct arena *arena, struct error *err)
{
	if (!cJSON_IsString(json))
		return error_set(err, ERR_INVALID, "must be a text");
	*ret = arena_strdup(arena, json->valuestring);
	return *ret ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int read_bytes(const cJSON *json, ProtobufCBinaryData *ret, struct arena *arena, struct error *err)
{
	char *text;

	if (read_text(json, &text, arena, err) < 0)
		return -1;
	*ret = (ProtobufCBinaryData){ .len = strlen(text), .data = (uint8_t *)text };
	return 0;
}

static int read_submessage(const ProtobufCMessageDescriptor *type, const cJSON *json, ProtobufCMessage **ret, struct arena *arena,
			   struct error *err)
{
	ProtobufCMessage *message = arena_alloc(arena, type->sizeof_message);

	if (!message)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	protobuf_c_message_init(type, message);
	if (json_read_message(json, message, arena, err) < 0)
		return -1;
	*ret = message;
	return 0;
}

static int read_value(const ProtobufCFieldDescriptor *field, const cJSON *json, void *at, struct arena *arena, struct error *err)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return read_small(json, INT32_MIN, INT32_MAX, at, err);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return read_small(json, 0, UINT32_MAX, at, err);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return read_integer(json, INT64_MIN, INT64_MAX, at, err);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return read_unsigned(json, at, err);
	case PROTOBUF_C_TYPE_BOOL:
		return read_bool(json, at, err);
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(field->descriptor, json, at, err);
	case PROTOBUF_C_TYPE_STRING:
		return read_text(json, at, arena, err);
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(json, at, arena, err);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_submessage(field->descriptor, json, at, arena, err);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		break;
	}
	return error_set(err, ERR_UNIMPLEMENTED, "fields of this type cannot be read");
}

/* ---- lists and maps ---- */

static int read_list(const ProtobufCFieldDescriptor *field, const cJSON *json, char *items, struct arena *arena, struct error *err)
{
	size_t step = json_value_size(field->type), i = 0;
	const cJSON *item;

	cJSON_ArrayForEach(item, json)
	{
		if (read_value(field, item, items + i * step, arena, err) < 0)
			return error_prefix(err, "[%zu]", i);
		i++;
	}
	return 0;
}

static int read_entry(const ProtobufCMessageDescriptor *type, const cJSON *json, ProtobufCMessage **ret, struct arena *arena,
		      struct error *err)
{
	ProtobufCMessage *entry = arena_alloc(arena, type->sizeof_message);

	if (!entry)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	protobuf_c_message_init(type, entry);
	*AT(char *, entry, type->fields[0].offset) = arena_strdup(arena, json->string);
	if (!*AT(char *, entry, type->fields[0].offset))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	*ret = entry;
	return read_value(&type->fields[1], json, AT(char, entry, type->fields[1].offset), arena, err);
}

static int read_map(const ProtobufCFieldDescriptor *field, const cJSON *json, char *items, struct arena *arena, struct error *err)
{
	ProtobufCMessage **entry = (ProtobufCMessage **)(void *)items;
	const cJSON *item;

	cJSON_ArrayForEach(item, json)
	{
		if (read_entry(field->descriptor, item, entry++, arena, err) < 0)
			return error_prefix(err, "%.64s", item->string);
	}
	return 0;
}

static int read_repeated(const ProtobufCFieldDescriptor *field, const cJSON *json, ProtobufCMessage *message, struct arena *arena,
			 struct error *err)
{
	bool map = json_is_map(field);
	int n = cJSON_GetArraySize(json);
	char *items;

	if (map ? !cJSON_IsObject(json) : !cJSON_IsArray(json))
		return error_set(err, ERR_INVALID, map ? "must be an object" : "must be a list");
	items = arena_alloc(arena, ((size_t)n + 1) * json_value_size(field->type));
	if (!items)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (map ? read_map(field, json, items, arena, err) < 0 : read_list(field, json, items, arena, err) < 0)
		return -1;
	*AT(char *, message, field->offset) = items;
	*AT(size_t, message, field->quantifier_offset) = (size_t)n;
	return 0;
}

/* ---- a message ---- */

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type, const char *name)
{
	char camel[JSON_NAME_SIZE];

	for (unsigned i = 0; i < type->n_fields; i++) {
		json_camel_case(camel, type->fields[i].name);
		if (!strcmp(type->fields[i].name, name) || !strcmp(camel, name))
			return &type->fields[i];
	}
	return NULL;
}

static int read_field(const cJSON *json, ProtobufCMessage *message, struct arena *arena, struct error *err)
{
	const ProtobufCFieldDescriptor *field = find_field(message->descriptor, json->string);

	if (!field)
		return error_set(err, ERR_INVALID, "there is no such field");
	if (cJSON_IsNull(json))
		return 0;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return read_repeated(field, json, message, arena, err);
	return read_value(field, json, AT(char, message, field->offset), arena, err);
}

int json_read_message(const cJSON *json, ProtobufCMessage *message, struct arena *arena, struct error *err)
{
	const cJSON *item;

	if (!cJSON_IsObject(json))
		return error_set(err, ERR_INVALID, "must be an object");
	cJSON_ArrayForEach(item, json)
	{
		if (read_field(item, message, arena, err) < 0)
			return error_prefix(err, "%.64s", item->string);
	}
	return 0;
}

static int read_all(const char *path, struct buffer *text, struct error *err)
{
	return io_read_file(AT_FDCWD, strcmp(path, "-") != 0 ? path : "/proc/self/fd/0", text, err);
}

int json_read_file(const char *path, ProtobufCMessage *message, struct arena *arena, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MAX_FILE);
	cJSON *json;
	int result;

	if (read_all(path, &text, err) < 0)
		return -1;
	json = text.len > 0 ? cJSON_ParseWithLength(text.data, text.len) : NULL;
	if (!json)
		return error_set(err, ERR_INVALID, "%s: is not JSON", path);
	result = json_read_message(json, message, arena, err);
	cJSON_Delete(json);
	return result < 0 ? error_prefix(err, "%s", path) : 0;
}
