#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

static void test_append_and_consume(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(100);
	struct error err = ERROR_INIT;

	(void)state;
	assert_null(b.data);
	assert_int_equal(buffer_append(&b, "abc", 3, &err), 0);
	assert_int_equal(buffer_append_str(&b, "def", &err), 0);
	assert_int_equal(buffer_printf(&b, &err, "-%d", 42), 0);
	assert_string_equal(b.data, "abcdef-42");
	assert_int_equal(b.len, 9);
	buffer_consume(&b, 3);
	assert_string_equal(b.data, "def-42");
	buffer_consume(&b, 6);
	assert_string_equal(b.data, "");
	assert_int_equal(b.len, 0);
}

static void test_limit(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(10);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buffer_append(&b, "0123456789", 10, &err), 0);
	assert_int_equal(buffer_append(&b, "", 0, &err), 0);
	assert_int_equal(buffer_append(&b, "x", 1, &err), -1);
	assert_int_equal(err.code, ERR_EXHAUSTED);
	assert_int_equal(buffer_printf(&b, &err, "%s", "x"), -1);
	assert_string_equal(b.data, "0123456789");
	assert_int_equal(b.len, 10);
	buffer_clear(&b);
	assert_int_equal(buffer_printf(&b, &err, "%010d", 7), 0);
	assert_string_equal(b.data, "0000000007");
}

static void test_capacity_stays_near_the_limit(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(1000);
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buffer_append(&b, "x", 1, &err), 0);
	assert_int_equal(b.len, 1000);
	assert_int_equal(b.cap, 1001);
	assert_int_equal(strlen(b.data), 1000);
}

static void test_absurd_sizes(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(SIZE_MAX);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buffer_append_str(&b, "x", &err), 0);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX, &err), -1);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 1, &err), -1);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 2, &err), -1);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX / 2, &err), -1);
	assert_int_equal(err.code, ERR_EXHAUSTED);
	assert_string_equal(b.data, "x");
}

static void test_empty_limit(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buffer_append_str(&b, "", &err), 0);
	assert_int_equal(buffer_append_str(&b, "x", &err), -1);
	assert_int_equal(b.len, 0);
}

static void test_binary(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(1 << 20);
	struct error err = ERROR_INIT;
	unsigned char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	for (int i = 0; i < 100; i++)
		assert_int_equal(buffer_append(&b, bytes, sizeof(bytes), &err), 0);
	buffer_consume(&b, 99 * sizeof(bytes));
	assert_int_equal(b.len, sizeof(bytes));
	assert_memory_equal(b.data, bytes, sizeof(bytes));
	assert_int_equal(b.data[b.len], 0);
}

static void test_steal(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT(10);
	struct error err = ERROR_INIT;
	char *taken;

	(void)state;
	assert_null(buffer_steal(&b));
	assert_int_equal(buffer_append_str(&b, "mine", &err), 0);
	taken = buffer_steal(&b);
	assert_string_equal(taken, "mine");
	free(taken);
	assert_null(b.data);
	assert_int_equal(b.max, 10);
	assert_int_equal(buffer_append_str(&b, "again", &err), 0);
	buffer_clear(&b);
	assert_null(buffer_steal(&b)); /* empty, though it has memory */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_capacity_stays_near_the_limit),
		cmocka_unit_test(test_absurd_sizes),
		cmocka_unit_test(test_empty_limit),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_steal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
