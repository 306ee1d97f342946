/* The CRI log format, for every way in which the same bytes can arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "task/log_lines.h"

#define TIME "2026-01-02T03:04:05.000000006Z"
#define TIME_NS ((INT64_C(1767323045) * 1000000000) + 6)

/* Feeds `text` in pieces of `step` bytes. */
static char *format(const char *text, size_t len, size_t step)
{
	struct buffer out = BUFFER_INIT((size_t)1 << 20);
	struct log_lines lines;
	struct error err = ERROR_INIT;

	log_lines_init(&lines, "stdout");
	for (size_t at = 0; at < len; at += step)
		assert_int_equal(log_lines_feed(&lines, text + at, len - at < step ? len - at : step, TIME_NS, &out, &err), 0);
	assert_int_equal(log_lines_end(&lines, TIME_NS, &out, &err), 0);
	log_lines_release(&lines);
	return out.data ? buffer_steal(&out) : strdup("");
}

static void expect(const char *text, const char *formatted)
{
	size_t len = strlen(text);

	for (size_t step = 1; step <= len + 1; step++) {
		_cleanup_free_
		char *out = format(text, len, step);

		assert_string_equal(out, formatted);
	}
}

static void test_lines(void **state)
{
	(void)state;
	expect("", "");
	expect("a\n", TIME " stdout F a\n");
	expect("\n", TIME " stdout F \n");
	expect("one\ntwo\n\nthree\n", TIME " stdout F one\n" TIME " stdout F two\n" TIME " stdout F \n" TIME " stdout F three\n");
	expect("tab\tand \r\n", TIME " stdout F tab\tand \r\n");
}

static void test_unterminated_end_is_partial(void **state)
{
	(void)state;
	expect("no newline", TIME " stdout P no newline\n");
	expect("a\nb", TIME " stdout F a\n" TIME " stdout P b\n");
}

static char *fill(size_t n, const char *tail)
{
	char *text = malloc(n + strlen(tail) + 1);

	assert_non_null(text);
	memset(text, 'x', n);
	memcpy(text + n, tail, strlen(tail) + 1);
	return text;
}

static size_t count(const char *out, const char *part)
{
	size_t n = 0;

	for (const char *p = strstr(out, part); p; p = strstr(p + 1, part))
		n++;
	return n;
}

/* A line of `n` bytes: so many P entries and one F, for many chunkings. */
static void expect_split(size_t n, size_t partial)
{
	static const size_t steps[] = { 1, 2, 1000, 4096, LOG_LINE_MAX - 1, LOG_LINE_MAX, LOG_LINE_MAX + 1, 100000 };
	_cleanup_free_
	char *text = fill(n, "\n");

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		_cleanup_free_
		char *out = format(text, n + 1, steps[i]);

		assert_int_equal(count(out, " stdout P x"), partial);
		assert_int_equal(count(out, " stdout F "), 1);
		assert_int_equal(count(out, "x"), n);
	}
}

static void test_long_lines_are_cut(void **state)
{
	(void)state;
	expect_split(LOG_LINE_MAX - 1, 0);
	expect_split(LOG_LINE_MAX, 0);
	expect_split(LOG_LINE_MAX + 1, 1);
	expect_split(2 * LOG_LINE_MAX, 1);
	expect_split(2 * LOG_LINE_MAX + 1, 2);
	expect_split(40000, 2);
}

static void test_nul_and_high_bytes_pass(void **state)
{
	static const char raw[] = "a\0b\xff\n";
	_cleanup_free_
	char *out = format(raw, 5, 2);

	(void)state;
	assert_memory_equal(out, TIME " stdout F a\0b\xff\n", sizeof(TIME) - 1 + 10 + 5);
}

static void test_limit_of_the_output_is_an_error(void **state)
{
	struct buffer out = BUFFER_INIT(60);
	struct log_lines lines;
	struct error err = ERROR_INIT;

	(void)state;
	log_lines_init(&lines, "stderr");
	assert_int_equal(log_lines_feed(&lines, "0123456789012345678901234567890123456789\n", 41, TIME_NS, &out, &err), -1);
	assert_int_equal(err.code, ERR_EXHAUSTED);
	assert_int_equal(out.len, 0);
	log_lines_release(&lines);
	buffer_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_unterminated_end_is_partial),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_nul_and_high_bytes_pass),
		cmocka_unit_test(test_limit_of_the_output_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
