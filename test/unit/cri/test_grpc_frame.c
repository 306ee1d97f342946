/* The length-prefixed framing, with the bytes cut in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "cri/grpc_frame.h"

#include <cmocka.h>

/* Messages "abc", "" and "de", one after another. */
static const uint8_t wire[] = { 0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'd', 'e' };
static const char *const messages[] = { "abc", "", "de" };

static void check_complete(struct grpc_decoder *decoder, size_t *n)
{
	if (!grpc_decoder_complete(decoder))
		return;
	assert_true(*n < 3);
	assert_int_equal(decoder->message.len, strlen(messages[*n]));
	if (decoder->message.len > 0)
		assert_memory_equal(decoder->message.data, messages[*n], decoder->message.len);
	grpc_decoder_next(decoder);
	assert_true(grpc_decoder_empty(decoder));
	(*n)++;
}

static void feed(struct grpc_decoder *decoder, const uint8_t *data, size_t len, size_t *n)
{
	struct error err = ERROR_INIT;
	size_t at = 0;

	while (at < len) {
		ssize_t used = grpc_decoder_feed(decoder, data + at, len - at, &err);

		assert_true(used > 0);
		at += (size_t)used;
		check_complete(decoder, n);
	}
}

static void test_every_split(void **state)
{
	(void)state;
	for (size_t a = 0; a <= sizeof(wire); a++) {
		for (size_t b = a; b <= sizeof(wire); b++) {
			struct grpc_decoder decoder;
			size_t n = 0;

			grpc_decoder_init(&decoder, 16);
			feed(&decoder, wire, a, &n);
			feed(&decoder, wire + a, b - a, &n);
			feed(&decoder, wire + b, sizeof(wire) - b, &n);
			assert_int_equal(n, 3);
			grpc_decoder_release(&decoder);
		}
	}
}

static void test_complete_takes_no_more(void **state)
{
	struct grpc_decoder decoder;
	struct error err = ERROR_INIT;

	(void)state;
	grpc_decoder_init(&decoder, 16);
	assert_int_equal(grpc_decoder_feed(&decoder, wire, sizeof(wire), &err), 8);
	assert_true(grpc_decoder_complete(&decoder));
	assert_int_equal(grpc_decoder_feed(&decoder, wire + 8, sizeof(wire) - 8, &err), 0);
	assert_memory_equal(decoder.message.data, "abc", 3);
	grpc_decoder_release(&decoder);
}

static void expect_failure(const uint8_t *bytes, size_t len, enum error_code code)
{
	struct grpc_decoder decoder;
	struct error err = ERROR_INIT;

	grpc_decoder_init(&decoder, 16);
	assert_int_equal(grpc_decoder_feed(&decoder, bytes, len, &err), -1);
	assert_int_equal(err.code, code);
	assert_null(decoder.message.data); /* refused before anything was allocated */
	grpc_decoder_release(&decoder);
}

static void test_refused(void **state)
{
	(void)state;
	expect_failure((const uint8_t[]){ 0, 0, 0, 0, 17 }, 5, ERR_EXHAUSTED);
	expect_failure((const uint8_t[]){ 0, 0xff, 0xff, 0xff, 0xff }, 5, ERR_EXHAUSTED);
	expect_failure((const uint8_t[]){ 0, 0, 0, 0, 17, 'x' }, 6, ERR_EXHAUSTED);
	expect_failure((const uint8_t[]){ 1 }, 1, ERR_UNIMPLEMENTED);
	expect_failure((const uint8_t[]){ 2, 0, 0, 0, 0 }, 5, ERR_INVALID);
}

/* A length that is announced costs nothing; memory comes with the bytes. */
static void test_announced_length_costs_nothing(void **state)
{
	const uint8_t header[] = { 0, 0x3f, 0xff, 0xff, 0xff, 'x' };
	struct grpc_decoder decoder;
	struct error err = ERROR_INIT;

	(void)state;
	grpc_decoder_init(&decoder, (size_t)1 << 30);
	assert_int_equal(grpc_decoder_feed(&decoder, header, sizeof(header), &err), 6);
	assert_true(decoder.message.cap < 4096);
	assert_false(grpc_decoder_complete(&decoder));
	assert_false(grpc_decoder_empty(&decoder));
	grpc_decoder_release(&decoder);
}

static void test_encoder(void **state)
{
	uint8_t header[GRPC_FRAME_HEADER_SIZE];

	(void)state;
	grpc_frame_header(header, 0x01020304);
	assert_memory_equal(header, ((const uint8_t[]){ 0, 1, 2, 3, 4 }), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split), cmocka_unit_test(test_complete_takes_no_more),
		cmocka_unit_test(test_refused),     cmocka_unit_test(test_announced_length_costs_nothing),
		cmocka_unit_test(test_encoder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
