/* Hostile encodings: each is refused with the path of the field, before protobuf-c sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cri/decode.h"
#include "cri/field.h"
#include "cri/wire_check.h"
#include "proto/cri.pb-c.h"

#include <cmocka.h>

#define RUN_POD (&cri__run_pod_sandbox_request__descriptor)
#define CREATE (&cri__create_container_request__descriptor)

static void test_refused(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *type;
		const char *bytes;
		size_t len;
		const char *text;
	} cases[] = {
		/* truncated in every kind of place */
		{ RUN_POD, "\x0a", 1, "config: cut off in the middle of a number" },
		{ RUN_POD, "\x8a", 1, "request: cut off in the middle of a number" },
		{ RUN_POD, "\x0a\x05\x12", 3, "config: cut off" },
		{ RUN_POD, "\x12\x7fx", 3, "runtime_handler: cut off" },
		{ RUN_POD, "\x12\xff\xff\xff\xff\x0f", 6, "runtime_handler: cut off" },
		{ RUN_POD, "\x0a\x02\x12\x05", 4, "config.hostname: cut off" },
		{ RUN_POD, "\x0a\x04\x0a\x02\x20\x80", 6, "config.metadata.attempt: cut off in the middle of a number" },
		/* malformed numbers, fields and types */
		{ RUN_POD, "\x80\x80\x80\x80\x80\x01", 6, "request: malformed number (too many bytes)" },
		{ RUN_POD, "\x0a\x80\x80\x80\x80\x80\x01", 7, "config: malformed number (too many bytes)" },
		{ RUN_POD, "\x0a\x0d\x0a\x0b\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 15,
		  "config.metadata.attempt: malformed number (too many bytes)" },
		{ RUN_POD, "\x02\x00", 2, "request: malformed field number" },
		{ RUN_POD, "\x0b\x0c", 2, "config: unknown wire type" },
		{ RUN_POD, "\x0e", 1, "config: unknown wire type" },
		{ RUN_POD, "\x08\x01", 2, "config: encoded as another type than the field has" },
		{ RUN_POD, "\x0a\x02\x10\x01", 4, "config.hostname: encoded as another type than the field has" },
		{ RUN_POD, "\x0a\x07\x0a\x05\x25\0\0\0\0", 9,
		  "config.metadata.attempt: encoded as another type than the field has" },
		{ RUN_POD, "\x0a\x04\x0a\x02\x22\x00", 6, "config.metadata.attempt: encoded as another type than the field has" },
		/* text that is none */
		{ RUN_POD, "\x0a\x05\x0a\x03\x0a\x01\xff", 7, "config.metadata.name: not valid UTF-8 text without NUL" },
		{ RUN_POD,
		  "\x0a\x07\x0a\x05\x0a\x03"
		  "a\0b",
		  9, "config.metadata.name: not valid UTF-8 text without NUL" },
		{ RUN_POD, "\x0a\x05\x32\x03\x0a\x01\x80", 7, "config.labels[0].key: not valid UTF-8 text without NUL" },
		{ RUN_POD, "\x0a\x0a\x32\x03\x0a\x01\x61\x32\x03\x12\x01\xc0", 12,
		  "config.labels[1].value: not valid UTF-8 text without NUL" },
		/* enums: a port's protocol, in a list */
		{ RUN_POD, "\x0a\x04\x2a\x02\x08\x03", 6,
		  "config.port_mappings[0].protocol: a value that this enum does not have" },
		{ RUN_POD, "\x0a\x08\x2a\x02\x08\x02\x2a\x02\x08\x7f", 10,
		  "config.port_mappings[1].protocol: a value that this enum does not have" },
		{ RUN_POD, "\x0a\x0d\x2a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 15,
		  "config.port_mappings[0].protocol: a value that this enum does not have" },
		/* twice what there is once */
		{ RUN_POD, "\x12\x00\x12\x00", 4, "runtime_handler: given twice" },
		{ RUN_POD, "\x0a\x00\x0a\x00", 4, "config: given twice" },
		{ CREATE, "\x12\x06\x3a\x04\x18\x01\x18\x00", 8, "config.mounts[0].readonly: given twice" },
		/* packed numbers: supplemental_groups */
		{ RUN_POD, "\x0a\x08\x42\x06\x12\x04\x2a\x02\x01\x80", 10,
		  "config.linux.security_context.supplemental_groups[0]: cut off in the middle of a number" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		print_message("%s\n", cases[i].text);
		assert_int_equal(wire_check(cases[i].type, (const uint8_t *)cases[i].bytes, cases[i].len, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.text, cases[i].text);
	}
}

static void test_accepted(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *type;
		const char *bytes;
		size_t len;
	} cases[] = {
		{ RUN_POD, "", 0 },
		{ RUN_POD, "\x0a\x00", 2 },
		{ RUN_POD, "\x0a\x05\x0a\x03\x0a\x01\x41", 7 },
		/* unknown fields of every wire type */
		{ RUN_POD,
		  "\x98\x06\x01\x99\x06"
		  "12345678"
		  "\x9a\x06\x01\xff\x9d\x06"
		  "1234",
		  23 },
		/* an environment value is bytes: no UTF-8, NULs and all */
		{ CREATE, "\x12\x08\x32\x06\x0a\x01\x41\x12\x01\xff", 10 },
		{ CREATE, "\x12\x08\x32\x06\x0a\x01\x41\x12\x01\x00", 10 },
		/* supplemental_groups packed and one by one */
		{ RUN_POD, "\x0a\x08\x42\x06\x12\x04\x2a\x02\x01\x02", 10 },
		{ RUN_POD, "\x0a\x08\x42\x06\x12\x04\x28\x01\x28\x02", 10 },
		/* a number of ten bytes: cpu_quota -1 */
		{ CREATE, "\x12\x0f\x7a\x0d\x0a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 17 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const ProtobufCMessage *message = NULL;
		struct arena arena = ARENA_INIT;
		struct error err = ERROR_INIT;
		size_t bytes = 0;
		int result = decode_message(cases[i].type, (const uint8_t *)cases[i].bytes, cases[i].len, &arena, &message, &bytes,
					    &err);

		if (result < 0)
			print_error("case %zu: %s\n", i, err.text);
		assert_int_equal(result, 0);
		assert_non_null(message);
		assert_true(protobuf_c_message_check(message));
		assert_true(bytes > 0 && bytes < 65536);
		arena_release(&arena);
	}
}

/* Two bytes on the wire, a hundred in memory, millions of times. */
static void expect_too_many(uint8_t tag, uint8_t fill, const uint8_t *prefix, size_t prefix_len)
{
	size_t inner = 2 * (size_t)WIRE_MAX_FIELDS + 10;
	uint8_t *bytes = malloc(prefix_len + inner);
	struct error err = ERROR_INIT;

	if (prefix_len > 0)
		memcpy(bytes, prefix, prefix_len);
	for (size_t i = 0; i < inner; i += 2) {
		bytes[prefix_len + i] = tag;
		bytes[prefix_len + i + 1] = fill;
	}
	assert_int_equal(wire_check(CREATE, bytes, prefix_len + inner, &err), -1);
	print_message("%s\n", err.text);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "more than 100000 fields"));
	free(bytes);
}

static void test_too_many(void **state)
{
	/* CreateContainerRequest.config of 200,010 bytes */
	static const uint8_t config[] = { 0x12, 0xca, 0x9a, 0x0c };
	/* ... .linux.security_context.supplemental_groups, packed, of the same length */
	static const uint8_t packed[] = { 0x12, 0xd6, 0x9a, 0x0c, 0x7a, 0xd2, 0x9a, 0x0c,
					  0x12, 0xce, 0x9a, 0x0c, 0x42, 0xca, 0x9a, 0x0c };

	(void)state;
	expect_too_many(0x32, 0x00, config, sizeof(config)); /* empty envs */
	expect_too_many(0x1a, 0x00, config, sizeof(config)); /* empty command words */
	expect_too_many(0x78, 0x00, NULL, 0);                /* unknown fields, which protobuf-c keeps */
	expect_too_many(0x01, 0x01, packed, sizeof(packed));
}

/* What passes stays small: the worst messages within the limits. */
static void test_growth_is_bounded(void **state)
{
	size_t inner = 2 * 99990;
	size_t len = inner + 4;
	uint8_t *bytes = malloc(len);
	const ProtobufCMessage *message = NULL;
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	size_t used = 0;

	(void)state;
	memcpy(bytes, (const uint8_t[]){ 0x12, 0x80 | (inner & 0x7f), 0x80 | (inner >> 7 & 0x7f), (uint8_t)(inner >> 14) }, 4);
	for (size_t i = 0; i < inner; i += 2)
		memcpy(bytes + 4 + i, "\x3a\x00", 2); /* mounts, the largest struct that repeats */
	if (decode_message(CREATE, bytes, len, &arena, &message, &used, &err) < 0)
		fail_msg("%s", err.text);
	print_message("%zu bytes became %zu\n", len, used);
	assert_true(used < (size_t)40 * 1024 * 1024);
	arena_release(&arena);
	free(bytes);
}

static void test_utf8(void **state)
{
	static const char *const good[] = { "",
					    "plain",
					    "\xc2\x80",
					    "\xdf\xbf",
					    "\xe0\xa0\x80",
					    "\xed\x9f\xbf",
					    "\xee\x80\x80",
					    "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf",
					    "a\xc3\xa9z",
					    "\x7f\x01" };
	static const char *const bad[] = { "\x80",
					   "\xbf",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xc2",
					   "\xc2\x7f",
					   "\xc2\xc0",
					   "\xe0\x9f\xbf",
					   "\xe0\xa0",
					   "\xed\xa0\x80",
					   "\xed\xbf\xbf",
					   "\xe1\x80\x7f",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xf0\x90\x80",
					   "\xf0\x90\x80\xc0",
					   "\xfe",
					   "\xff",
					   "ok\xff" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(utf8_is_text((const uint8_t *)good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(utf8_is_text((const uint8_t *)bad[i], strlen(bad[i])));
	assert_false(utf8_is_text((const uint8_t *)"a\0b", 3));
	assert_false(utf8_is_text((const uint8_t *)"\0", 1));
}

static void test_field_paths(void **state)
{
	char text[32], tiny[12], quoted[FIELD_QUOTE_SIZE], lengthy[200];
	const struct field *at = ITEM(FIELD(FIELD(NULL, "config"), "linux"), "mounts", 12);

	(void)state;
	field_print(at, text, sizeof(text));
	assert_string_equal(text, "config.linux.mounts[12]");
	field_print(at, tiny, sizeof(tiny));
	assert_true(strlen(tiny) < sizeof(tiny));
	assert_string_equal(field_quote(quoted, "a\"b\nc"), "\"a'b?c\"");
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	lengthy[73] = '\xc3';
	lengthy[74] = '\xa9';
	(void)field_quote(quoted, lengthy);
	assert_true(utf8_is_text((const uint8_t *)quoted, strlen(quoted)));
	assert_string_equal(quoted + strlen(quoted) - 4, "...\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),           cmocka_unit_test(test_accepted), cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_growth_is_bounded), cmocka_unit_test(test_utf8),     cmocka_unit_test(test_field_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
