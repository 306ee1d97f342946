/*
 * Field rules as data: a const table per message type, applied to the struct by offset. What relates two fields to each other stands in
 * code next to the table.
 */
#ifndef MONOPOD_CRI_RULE_H
#define MONOPOD_CRI_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "cri/field.h"
#include "cri/text.h"

enum rule_kind {
	RULE_TEXT,          /* char * */
	RULE_TEXTS,         /* repeated string; max: how many */
	RULE_MAP,           /* map<string, string>; max: bytes of all keys and values; keys must differ */
	RULE_INT32,         /* min..max */
	RULE_INT64,         /* min..max */
	RULE_INT64S,        /* repeated int64, each min..max; limit: how many */
	RULE_BOXED,         /* Int64Value *, min..max when it is there */
	RULE_NEEDED,        /* a message that must be there */
	RULE_REFUSED,       /* a message that must not: ERR_INVALID */
	RULE_LATER_MESSAGE, /* not built yet: ERR_UNIMPLEMENTED when there */
	RULE_LATER_LIST,    /* ... when not empty */
	RULE_LATER_FLAG,    /* ... when true */
};

struct rule {
	const char *name;
	enum rule_kind kind;
	size_t offset;
	size_t n_offset; /* lists: of their count */
	const struct text_rule *text;
	const struct text_rule *value; /* RULE_MAP */
	int64_t min, max;
	size_t limit;
	const char *why; /* REFUSED, LATER: the sentence */
};

#define TEXT(type, field, rule_of_it)                                                                                              \
	{                                                                                                                          \
		.name = #field, .kind = RULE_TEXT, .offset = offsetof(type, field), .text = &(rule_of_it)                          \
	}
#define TEXTS(type, field, most, rule_of_each)                                                                                     \
	{                                                                                                                          \
		.name = #field, .kind = RULE_TEXTS, .offset = offsetof(type, field), .n_offset = offsetof(type, n_##field),        \
		.text = &(rule_of_each), .limit = (most)                                                                           \
	}
#define MAP(type, field, most_bytes, rule_of_key, rule_of_value)                                                                   \
	{                                                                                                                          \
		.name = #field, .kind = RULE_MAP, .offset = offsetof(type, field), .n_offset = offsetof(type, n_##field),          \
		.text = &(rule_of_key), .value = &(rule_of_value), .limit = (most_bytes)                                           \
	}
#define NUMBER32(type, field, least, most)                                                                                         \
	{                                                                                                                          \
		.name = #field, .kind = RULE_INT32, .offset = offsetof(type, field), .min = (least), .max = (most)                 \
	}
#define NUMBER64(type, field, least, most)                                                                                         \
	{                                                                                                                          \
		.name = #field, .kind = RULE_INT64, .offset = offsetof(type, field), .min = (least), .max = (most)                 \
	}
#define NUMBERS64(type, field, how_many, least, most)                                                                              \
	{                                                                                                                          \
		.name = #field, .kind = RULE_INT64S, .offset = offsetof(type, field), .n_offset = offsetof(type, n_##field),       \
		.min = (least), .max = (most), .limit = (how_many)                                                                 \
	}
#define BOXED(type, field, least, most)                                                                                            \
	{                                                                                                                          \
		.name = #field, .kind = RULE_BOXED, .offset = offsetof(type, field), .min = (least), .max = (most)                 \
	}
#define NEEDED(type, field)                                                                                                        \
	{                                                                                                                          \
		.name = #field, .kind = RULE_NEEDED, .offset = offsetof(type, field)                                               \
	}
#define REFUSED(type, field, sentence)                                                                                             \
	{                                                                                                                          \
		.name = #field, .kind = RULE_REFUSED, .offset = offsetof(type, field), .why = (sentence)                           \
	}
#define LATER_MESSAGE(type, field, sentence)                                                                                       \
	{                                                                                                                          \
		.name = #field, .kind = RULE_LATER_MESSAGE, .offset = offsetof(type, field), .why = (sentence)                     \
	}
#define LATER_LIST(type, field, title, sentence)                                                                                   \
	{                                                                                                                          \
		.name = (title), .kind = RULE_LATER_LIST, .n_offset = offsetof(type, n_##field), .why = (sentence)                 \
	}
#define LATER_FLAG(type, field, sentence)                                                                                          \
	{                                                                                                                          \
		.name = #field, .kind = RULE_LATER_FLAG, .offset = offsetof(type, field), .why = (sentence)                        \
	}

/* Applies the rules in order to the struct `message`, which stands at `at` (NULL: it is the request itself). Stops at the first failure. */
int rules_apply(const struct field *at, const struct rule *rules, size_t n_rules, const void *message, struct error *err);

#define RULES_APPLY(at, table, message, err) rules_apply((at), (table), ARRAY_SIZE(table), (message), (err))

#endif
