/* Tables, and the texts in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/timeline.h"

static void test_table(void **state)
{
	static const char *const headings[] = { "ID", "NAME", "STATE", NULL };
	struct arena arena = ARENA_INIT;
	struct table table;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	table_init(&table, &arena, headings);
	table_cell(&table, "abc");
	table_cell(&table, "h\xc3\xbcte");
	table_cellf(&table, "%d%%", 7);
	table_cell(&table, "a-long-id");
	table_cell(&table, "");
	table_cell(&table, "x\x1b[31m\n");
	table_print(&table, out);
	(void)fclose(out);
	assert_string_equal(text, "ID         NAME  STATE\n"
				  "abc        h\xc3\xbcte  7%\n"
				  "a-long-id  -     x?[31m?\n");
	free(text);
	arena_release(&arena);
}

static void test_table_of_many_rows(void **state)
{
	static const char *const headings[] = { "A", "B", NULL };
	struct arena arena = ARENA_INIT;
	struct table table;

	(void)state;
	table_init(&table, &arena, headings);
	for (int i = 0; i < 2000; i++)
		table_cellf(&table, "%d", i);
	assert_int_equal(table.n_cells, 2002);
	assert_string_equal(table.cells[2 + 1999], "1999");
	arena_release(&arena);
}

/* What a pod's author may try on an operator's terminal. */
static void test_clean(void **state)
{
	static const char *const cases[][2] = {
		{ "plain", "plain" },
		{ "\t\r\x7f", "???" },
		{ "\xc2\x9b"
		  "1m",
		  "?1m" },
		{ "\xc0\xaf", "??" },
		{ "\xe2\x82\xac", "\xe2\x82\xac" },
		{ "\xf0\x9f\x90\xb3", "\xf0\x9f\x90\xb3" },
		{ "\xe2\x82", "??" },
		{ "\xff", "?" },
	};
	struct arena arena = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_clean(&arena, cases[i][0]), cases[i][1]);
	arena_release(&arena);
}

static void test_ages(void **state)
{
	const int64_t now = INT64_C(1700000000000000000);
	const int64_t second = 1000000000;
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{ 0, "0s" }, { 119, "119s" }, { 120, "2m" }, { 7199, "119m" }, { 7200, "2h" }, { 172800, "2d" }, { -5, "0s" }
	};
	char text[TEXT_AGE_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		text_age(text, now - cases[i].seconds * second, now);
		assert_string_equal(text, cases[i].text);
	}
	text_age(text, 0, now);
	assert_string_equal(text, "-");
}

static void test_amounts(void **state)
{
	char bytes[TEXT_BYTES_SIZE];
	char duration[TEXT_DURATION_SIZE];
	char id[TEXT_SHORT_ID_SIZE];

	(void)state;
	text_bytes(bytes, 1023);
	assert_string_equal(bytes, "1023B");
	text_bytes(bytes, 1536);
	assert_string_equal(bytes, "1.5KiB");
	text_bytes(bytes, UINT64_MAX);
	assert_string_equal(bytes, "16.0EiB");
	text_duration(duration, 999);
	assert_string_equal(duration, "999us");
	text_duration(duration, 3520);
	assert_string_equal(duration, "3.52ms");
	text_duration(duration, 1200000);
	assert_string_equal(duration, "1.20s");
	text_short_id(id, "sha256:0123456789abcdef");
	assert_string_equal(id, "0123456789ab");
}

static void test_timeline(void **state)
{
	static const char json[] = "{\"timeline\":{\"totalUs\":1000,\"steps\":[{\"name\":\"end\",\"startUs\":999,\"tookUs\":0},"
				   "{\"name\":\"spawn.mount\",\"startUs\":500,\"tookUs\":100},"
				   "{\"name\":\"spawn\",\"startUs\":500,\"tookUs\":490},"
				   "{\"name\":\"netns\",\"startUs\":0,\"tookUs\":500}]}}";
	struct arena arena = ARENA_INIT;
	struct timeline_view view = { 0 };
	struct error err = ERROR_INIT;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_int_equal(timeline_read(&arena, json, &view, &err), 0);
	assert_int_equal(view.n_steps, 4);
	assert_int_equal(view.steps[1].start_us, 500);
	view.title = "pod x";
	timeline_print(&view, &arena, out);
	(void)fclose(out);
	assert_string_equal(text, "pod x: 1000 us\n"
				  "  netns              500 us  |#########################     .         .         |\n"
				  "  spawn              490 us  |.         .         .    ######################## |\n"
				  "    spawn.mount      100 us  |.         .         .    #####.         .         |\n"
				  "  end                  0 us  |.         .         .         .         .        #|\n");
	free(text);
	arena_release(&arena);
}

static void test_wrong_timelines(void **state)
{
	static const char *const wrong[] = {
		"",
		"[",
		"{\"timeline\":{\"totalUs\":1,\"steps\":{}}}",
		"{\"timeline\":{\"steps\":[]}}",
		"{\"timeline\":{\"totalUs\":-1,\"steps\":[]}}",
		"{\"timeline\":{\"totalUs\":1e300,\"steps\":[]}}",
		"{\"timeline\":{\"totalUs\":1,\"steps\":[{\"name\":5}]}}",
		"{\"timeline\":{\"totalUs\":1,\"steps\":[{\"name\":\"x\",\"startUs\":\"0\",\"tookUs\":1}]}}",
		"{\"timeline\":{\"totalUs\":1,\"steps\":[1,2]}}"
	};
	struct arena arena = ARENA_INIT;
	struct timeline_view view;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(timeline_read(&arena, wrong[i], &view, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	for (size_t i = 0; i < 2; i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(timeline_read(&arena, i ? "{}" : "[]", &view, &err), -1);
		assert_int_equal(err.code, ERR_NOT_FOUND);
	}
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),           cmocka_unit_test(test_table_of_many_rows),
		cmocka_unit_test(test_clean),           cmocka_unit_test(test_ages),
		cmocka_unit_test(test_amounts),         cmocka_unit_test(test_timeline),
		cmocka_unit_test(test_wrong_timelines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
