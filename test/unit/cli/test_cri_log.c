/* The log format: parsing, times, and putting the output together again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cri_log.h"

static int parse(const char *text, struct cri_log_line *line)
{
	return cri_log_parse(text, strlen(text), line);
}

static void test_lines(void **state)
{
	struct cri_log_line line;

	(void)state;
	assert_int_equal(parse("2016-10-06T00:17:09.669794202Z stdout F log content 1", &line), 0);
	assert_int_equal(line.stream, CRI_LOG_STDOUT);
	assert_false(line.partial);
	assert_int_equal(line.time_len, 30);
	assert_int_equal(line.text_len, 13);
	assert_memory_equal(line.text, "log content 1", 13);
	assert_int_equal(parse("2016-10-06T00:17:09Z stderr P:TAG2  two", &line), 0);
	assert_int_equal(line.stream, CRI_LOG_STDERR);
	assert_true(line.partial);
	assert_int_equal(line.text_len, 4);
	assert_int_equal(parse("t stdout F ", &line), 0);
	assert_int_equal(line.text_len, 0);
}

static void test_not_lines(void **state)
{
	static const char *const wrong[] = { "",
					     " ",
					     "hello",
					     "t stdout",
					     "t stdout F",
					     "t stdxxx F a",
					     "t stdout X a",
					     "t stdout FF a",
					     "t stdout Fx a",
					     " t stdout F a",
					     "t  stdout F a",
					     "t stdout  F a" };
	struct cri_log_line line;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(parse(wrong[i], &line), -1);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2001-09-09T01:46:40.000000001Z", INT64_C(1000000000000000001) },
		{ "2001-09-09T01:46:40.5Z", INT64_C(1000000000500000000) },
		{ "2001-09-09T03:46:40+02:00", INT64_C(1000000000000000000) },
		{ "2001-09-08T20:16:40-05:30", INT64_C(1000000000000000000) },
		{ "2024-02-29T12:00:00Z", INT64_C(1709208000000000000) },
	};
	static const char *const wrong[] = { "",
					     "2001-09-09",
					     "2001-13-09T01:46:40Z",
					     "2001-09-09T25:46:40Z",
					     "2001-09-09T01:46:40",
					     "2001-09-09T01:46:40.Z",
					     "2001-09-09T01:46:40Zx",
					     "2001-09-09T01:46:40+0200",
					     "2001-09-09 01:46:40Z" };
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(rfc3339_parse(cases[i].text, strlen(cases[i].text), &ns), 0);
		assert_int_equal(ns, cases[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(rfc3339_parse(wrong[i], strlen(wrong[i]), &ns), -1);
}

struct output {
	char *text[2];
	size_t size[2];
	struct log_printer printer;
};

static void output_open(struct output *o)
{
	*o = (struct output){ 0 };
	for (int i = 0; i < 2; i++)
		o->printer.streams[i] = open_memstream(&o->text[i], &o->size[i]);
}

static void put(struct output *o, const char *line)
{
	log_printer_put(&o->printer, line, strlen(line));
}

static void output_check(struct output *o, const char *out, const char *err)
{
	for (int i = 0; i < 2; i++)
		(void)fclose(o->printer.streams[i]);
	assert_string_equal(o->text[0], out);
	assert_string_equal(o->text[1], err);
	free(o->text[0]);
	free(o->text[1]);
}

static void test_parts_are_joined(void **state)
{
	struct output o;

	(void)state;
	output_open(&o);
	put(&o, "2016-10-06T00:17:09Z stdout P one ");
	put(&o, "2016-10-06T00:17:09Z stderr F between");
	put(&o, "2016-10-06T00:17:09Z stdout F line");
	put(&o, "what is this");
	output_check(&o, "one line\nwhat is this\n", "between\n");
}

static void test_timestamps_stand_at_line_beginnings(void **state)
{
	struct output o;

	(void)state;
	output_open(&o);
	o.printer.timestamps = true;
	put(&o, "2016-10-06T00:17:09Z stdout P a");
	put(&o, "2016-10-06T00:17:10Z stdout F b");
	put(&o, "2016-10-06T00:17:11Z stdout F c");
	output_check(&o, "2016-10-06T00:17:09Z ab\n2016-10-06T00:17:11Z c\n", "");
}

static void test_since(void **state)
{
	struct output o;

	(void)state;
	output_open(&o);
	assert_int_equal(rfc3339_parse("2016-10-06T00:17:10Z", 20, &o.printer.since_ns), 0);
	put(&o, "2016-10-06T00:17:09.999999999Z stdout F old");
	put(&o, "2016-10-06T00:17:10.000000000Z stdout F new");
	output_check(&o, "new\n", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_not_lines),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_parts_are_joined),
		cmocka_unit_test(test_timestamps_stand_at_line_beginnings),
		cmocka_unit_test(test_since),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
