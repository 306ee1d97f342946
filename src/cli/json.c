#include "cli/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/json_names.h"

#define MEMBER(type, message, at) (*(type const *)(const void *)((const char *)(message) + (at)))

static cJSON *number_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static cJSON *number_text(const char *fmt, ...)
{
	char text[32];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return cJSON_CreateString(text);
}

/* JSON has no word for them; the mapping spells them as strings. */
static cJSON *json_of_double(double value)
{
	if (isnan(value))
		return cJSON_CreateString("NaN");
	if (isinf(value))
		return cJSON_CreateString(value > 0 ? "Infinity" : "-Infinity");
	return cJSON_CreateNumber(value);
}

static cJSON *json_of_bytes(const ProtobufCBinaryData *bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	_cleanup_free_
	char *text = malloc((bytes->len + 2) / 3 * 4 + 1);
	char *out = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < bytes->len; i += 3) {
		size_t have = bytes->len - i;
		uint32_t triple = (uint32_t)bytes->data[i] << 16 | (have > 1 ? (uint32_t)bytes->data[i + 1] << 8 : 0) |
				  (have > 2 ? bytes->data[i + 2] : 0);

		*out++ = digits[triple >> 18];
		*out++ = digits[triple >> 12 & 63];
		*out++ = have > 1 ? digits[triple >> 6 & 63] : '=';
		*out++ = have > 2 ? digits[triple & 63] : '=';
	}
	*out = '\0';
	return cJSON_CreateString(text);
}

/* A value that the enum does not know (from a newer server) is its number, as the mapping asks. */
static cJSON *json_of_enum(const ProtobufCEnumDescriptor *descriptor, int value)
{
	const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(descriptor, value);

	return known ? cJSON_CreateString(known->name) : cJSON_CreateNumber(value);
}

static cJSON *json_of_value(const ProtobufCFieldDescriptor *field, const void *at)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return cJSON_CreateNumber(MEMBER(int32_t, at, 0));
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return cJSON_CreateNumber(MEMBER(uint32_t, at, 0));
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return number_text("%" PRId64, MEMBER(int64_t, at, 0));
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return number_text("%" PRIu64, MEMBER(uint64_t, at, 0));
	case PROTOBUF_C_TYPE_FLOAT:
		return json_of_double((double)MEMBER(float, at, 0));
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_of_double(MEMBER(double, at, 0));
	case PROTOBUF_C_TYPE_BOOL:
		return cJSON_CreateBool(MEMBER(protobuf_c_boolean, at, 0));
	case PROTOBUF_C_TYPE_ENUM:
		return json_of_enum(field->descriptor, MEMBER(int, at, 0));
	case PROTOBUF_C_TYPE_STRING:
		return cJSON_CreateString(MEMBER(char *, at, 0) ? MEMBER(char *, at, 0) : "");
	case PROTOBUF_C_TYPE_BYTES:
		return json_of_bytes(at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return json_of_message(MEMBER(ProtobufCMessage *, at, 0));
	}
	return NULL;
}

size_t json_value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		break;
	}
	return 4;
}

bool json_is_map(const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *entry = field->descriptor;
	size_t len;

	if (field->type != PROTOBUF_C_TYPE_MESSAGE || entry->n_fields != 2 || strcmp(entry->fields[0].name, "key") != 0)
		return false;
	len = strlen(entry->short_name);
	return len > 5 && strcmp(entry->short_name + len - 5, "Entry") == 0 && entry->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

/* Adds `item` under `key`, or to a list when key is NULL; takes it in any case. */
static int add(cJSON *parent, const char *key, cJSON *item)
{
	if (item && (key ? cJSON_AddItemToObject(parent, key, item) : cJSON_AddItemToArray(parent, item)))
		return 0;
	cJSON_Delete(item);
	return -1;
}

static int fill_map(cJSON *object, const ProtobufCFieldDescriptor *field, ProtobufCMessage *const *entries, size_t n)
{
	const ProtobufCFieldDescriptor *parts = ((const ProtobufCMessageDescriptor *)field->descriptor)->fields;

	for (size_t i = 0; i < n; i++) {
		const char *key = MEMBER(char *, entries[i], parts[0].offset);
		const void *value = (const char *)entries[i] + parts[1].offset;

		if (add(object, key ? key : "", json_of_value(&parts[1], value)) < 0)
			return -1;
	}
	return 0;
}

static int fill_list(cJSON *list, const ProtobufCFieldDescriptor *field, const char *items, size_t n)
{
	size_t step = json_value_size(field->type);

	for (size_t i = 0; i < n; i++) {
		if (add(list, NULL, json_of_value(field, items + i * step)) < 0)
			return -1;
	}
	return 0;
}

static cJSON *json_of_repeated(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	bool map = json_is_map(field);
	cJSON *json = map ? cJSON_CreateObject() : cJSON_CreateArray();
	size_t n = MEMBER(size_t, message, field->quantifier_offset);
	int status;

	if (!json)
		return NULL;
	if (map)
		status = fill_map(json, field, MEMBER(ProtobufCMessage **, message, field->offset), n);
	else
		status = fill_list(json, field, MEMBER(char *, message, field->offset), n);
	if (status == 0)
		return json;
	cJSON_Delete(json);
	return NULL;
}

void json_camel_case(char out[JSON_NAME_SIZE], const char *name)
{
	size_t n = 0;

	for (; *name && n + 1 < JSON_NAME_SIZE; name++) {
		bool boundary = *name == '_' && name[1] >= 'a' && name[1] <= 'z';

		if (boundary)
			name++;
		out[n++] = boundary ? (char)(*name - 'a' + 'A') : *name;
	}
	out[n] = '\0';
}

static int add_field(cJSON *object, const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	const void *at = (const char *)message + field->offset;
	char name[JSON_NAME_SIZE];

	json_camel_case(name, field->name);
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return add(object, name, json_of_repeated(field, message));
	if (field->type == PROTOBUF_C_TYPE_MESSAGE && !MEMBER(void *, at, 0))
		return 0;
	return add(object, name, json_of_value(field, at));
}

cJSON *json_of_message(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	cJSON *object = cJSON_CreateObject();

	for (unsigned i = 0; object && i < descriptor->n_fields; i++) {
		if (add_field(object, &descriptor->fields[i], message) < 0) {
			cJSON_Delete(object);
			return NULL;
		}
	}
	return object;
}

int json_print(cJSON *json, FILE *out, struct error *err)
{
	char *text = json ? cJSON_Print(json) : NULL;

	cJSON_Delete(json);
	if (!text)
		return error_set(err, ERR_EXHAUSTED, "print JSON: out of memory");
	(void)fprintf(out, "%s\n", text);
	cJSON_free(text);
	return 0;
}

int json_print_message(const ProtobufCMessage *message, FILE *out, struct error *err)
{
	return json_print(json_of_message(message), out, err);
}
