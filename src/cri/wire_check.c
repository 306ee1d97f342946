/*
 * One level per nested message, on the C stack (WIRE_MAX_DEPTH bounds it): each knows the bytes it walks and the field it stands on, so
 * that the path of an error, with indexes, is worked out only when there is one.
 */
#include "cri/wire_check.h"

#include "base/utf8.h"
#include "cri/field.h"

/* Encoding, "Message Structure"; 3 and 4 were groups. */
enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

/* One field as it stands on the wire. */
struct lexeme {
	uint32_t number;
	unsigned wire_type;
	uint64_t varint;
	struct cursor bytes; /* WIRE_BYTES */
};

struct walk {
	size_t fields_left;
	struct error *err;
};

struct level {
	struct walk *walk;
	const struct level *parent;
	const ProtobufCMessageDescriptor *type;
	unsigned depth;
	const uint8_t *begin;
	const uint8_t *field_begin;
	const ProtobufCFieldDescriptor *field; /* NULL: none, or unknown */
	uint64_t seen;                         /* singular fields, by their index in the descriptor */
};

static size_t left_in(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* Bits past the 64th are dropped, as by every decoder. */
static const char *lex_number(struct cursor *c, unsigned max_bytes, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 7 * max_bytes; shift += 7) {
		uint8_t byte;

		if (c->at == c->end)
			return "cut off in the middle of a number";
		byte = *c->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return NULL;
		}
	}
	return "malformed number (too many bytes)";
}

static const char *lex_varint(struct cursor *c, uint64_t *ret_value)
{
	return lex_number(c, 10, ret_value);
}

/* Tags and lengths have 32 bits; protobuf-c takes no longer spelling either. */
static const char *lex_short(struct cursor *c, uint64_t *ret_value)
{
	return lex_number(c, 5, ret_value);
}

static const char *lex_skip(struct cursor *c, uint64_t len)
{
	if (len > left_in(c))
		return "cut off";
	c->at += len;
	return NULL;
}

static const char *lex_bytes(struct cursor *c, struct cursor *ret_bytes)
{
	uint64_t len;
	const char *problem = lex_short(c, &len);

	if (problem)
		return problem;
	ret_bytes->at = c->at;
	problem = lex_skip(c, len);
	ret_bytes->end = c->at;
	return problem;
}

static const char *lex_tag(struct cursor *c, struct lexeme *ret)
{
	uint64_t tag;
	const char *problem = lex_short(c, &tag);

	if (problem)
		return problem;
	if (tag > UINT32_MAX || tag >> 3 == 0)
		return "malformed field number";
	ret->number = (uint32_t)tag >> 3;
	ret->wire_type = tag & 7;
	return NULL;
}

static const char *lex_value(struct cursor *c, struct lexeme *ret)
{
	switch (ret->wire_type) {
	case WIRE_VARINT:
		return lex_varint(c, &ret->varint);
	case WIRE_FIXED64:
		return lex_skip(c, 8);
	case WIRE_BYTES:
		return lex_bytes(c, &ret->bytes);
	case WIRE_FIXED32:
		return lex_skip(c, 4);
	default:
		return "unknown wire type";
	}
}

/* How often the current field stood before it; the bytes up to here were lexed once already. */
static long index_of(const struct level *level)
{
	struct cursor c = { level->begin, level->field_begin };
	struct lexeme field;
	long index = 0;

	while (c.at < c.end && !lex_tag(&c, &field) && !lex_value(&c, &field)) {
		if (field.number == level->field->id)
			index++;
	}
	return index;
}

/* frames[0] is the innermost name. */
static int report(const struct level *level, const char *problem)
{
	struct field frames[WIRE_MAX_DEPTH + 1];
	struct error *err = level->walk->err;
	size_t n = 0;

	for (; level && n < WIRE_MAX_DEPTH + 1; level = level->parent) {
		if (!level->field)
			continue;
		frames[n] = (struct field){ .name = level->field->name, .index = FIELD_NO_INDEX };
		if (level->field->label == PROTOBUF_C_LABEL_REPEATED)
			frames[n].index = index_of(level);
		if (n > 0)
			frames[n - 1].parent = &frames[n];
		n++;
	}
	if (n == 0)
		return error_set(err, ERR_INVALID, "request: %s", problem);
	return field_error(&frames[0], err, ERR_INVALID, "%s", problem);
}

static int spend_fields(const struct level *level, size_t count)
{
	if (count > level->walk->fields_left)
		return report(level, "more than 100000 fields in one request");
	level->walk->fields_left -= count;
	return 0;
}
_Static_assert(WIRE_MAX_FIELDS == 100000, "the sentence above says so");

static unsigned wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_FIXED32;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_FIXED64;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_ENUM:
		return WIRE_VARINT;
	}
	return WIRE_VARINT;
}

/* Enums are 32 bits wide; the rest of the number is dropped, as protobuf-c does. */
static int check_number(const struct level *level, uint64_t value)
{
	if (level->field->type != PROTOBUF_C_TYPE_ENUM)
		return 0;
	if (!protobuf_c_enum_descriptor_get_value(level->field->descriptor, (int)(uint32_t)value))
		return report(level, "a value that this enum does not have");
	return 0;
}

static int check_packed_numbers(const struct level *level, struct cursor packed)
{
	while (packed.at < packed.end) {
		uint64_t value;
		const char *problem = lex_varint(&packed, &value);

		if (problem)
			return report(level, problem);
		if (spend_fields(level, 1) < 0 || check_number(level, value) < 0)
			return -1;
	}
	return 0;
}

static int check_packed(const struct level *level, struct cursor packed)
{
	unsigned wire_type = wire_type_of(level->field->type);
	size_t item_size = wire_type == WIRE_FIXED64 ? 8 : 4;

	if (wire_type == WIRE_VARINT)
		return check_packed_numbers(level, packed);
	if (left_in(&packed) % item_size != 0)
		return report(level, "cut off");
	return spend_fields(level, left_in(&packed) / item_size);
}

static int check_message(const struct level *level, struct cursor bytes);

static int check_bytes(const struct level *level, struct cursor bytes)
{
	if (level->field->type == PROTOBUF_C_TYPE_MESSAGE)
		return check_message(level, bytes);
	if (level->field->type == PROTOBUF_C_TYPE_STRING && !utf8_is_text(bytes.at, left_in(&bytes)))
		return report(level, "not valid UTF-8 text without NUL");
	return 0;
}

static int check_once(struct level *level)
{
	size_t index = (size_t)(level->field - level->type->fields);

	if (level->field->label == PROTOBUF_C_LABEL_REPEATED || index >= 64)
		return 0;
	if (level->seen & UINT64_C(1) << index)
		return report(level, "given twice");
	level->seen |= UINT64_C(1) << index;
	return 0;
}

static int check_field(struct level *level, const struct lexeme *lexeme)
{
	unsigned due = wire_type_of(level->field->type);

	if (check_once(level) < 0)
		return -1;
	if (lexeme->wire_type == WIRE_BYTES && due != WIRE_BYTES && level->field->label == PROTOBUF_C_LABEL_REPEATED)
		return check_packed(level, lexeme->bytes);
	if (lexeme->wire_type != due)
		return report(level, "encoded as another type than the field has");
	return due == WIRE_BYTES ? check_bytes(level, lexeme->bytes) : check_number(level, lexeme->varint);
}

static int check_fields(struct level *level, struct cursor bytes)
{
	while (bytes.at < bytes.end) {
		struct lexeme lexeme = { 0 };
		const char *problem;

		level->field = NULL;
		level->field_begin = bytes.at;
		problem = lex_tag(&bytes, &lexeme);
		if (problem)
			return report(level, problem);
		level->field = protobuf_c_message_descriptor_get_field(level->type, lexeme.number);
		problem = lex_value(&bytes, &lexeme);
		if (problem)
			return report(level, problem);
		if (spend_fields(level, 1) < 0 || (level->field && check_field(level, &lexeme) < 0))
			return -1;
	}
	return 0;
}

static int check_message(const struct level *parent, struct cursor bytes)
{
	struct level level = {
		.walk = parent->walk,
		.parent = parent,
		.type = parent->field->descriptor,
		.depth = parent->depth + 1,
		.begin = bytes.at,
	};

	if (level.depth > WIRE_MAX_DEPTH)
		return report(parent, "nested too deeply");
	return check_fields(&level, bytes);
}

int wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, struct error *err)
{
	struct walk walk = { .fields_left = WIRE_MAX_FIELDS, .err = err };
	struct level level = { .walk = &walk, .type = type, .depth = 1, .begin = data };

	if (len == 0)
		return 0;
	return check_fields(&level, (struct cursor){ data, data + len });
}
