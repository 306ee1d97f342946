/* The option parser: spellings, types, order, and mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/options.h"
#include "cli/command.h"

struct values {
	bool flag, other;
	const char *text;
	int64_t number, size, duration;
	struct text_list list;
};

static const struct option_row rows[] = {
	{ 'f', "flag", NULL, OPTION_FLAG, offsetof(struct values, flag), "", 0, 0 },
	{ 'o', "other", NULL, OPTION_FLAG, offsetof(struct values, other), "", 0, 0 },
	{ 't', "text", "T", OPTION_TEXT, offsetof(struct values, text), "", 0, 0 },
	{ 'n', "number", "N", OPTION_NUMBER, offsetof(struct values, number), "", 1, 10 },
	{ 's', "size", "S", OPTION_SIZE, offsetof(struct values, size), "", 0, 0 },
	{ 'd', "duration", "D", OPTION_DURATION, offsetof(struct values, duration), "", 0, 0 },
	{ 'l', "list", "L", OPTION_LIST, offsetof(struct values, list), "", 0, 0 },
	NO_MORE_OPTIONS,
};

#define MAX_WORDS 16

struct parsed {
	struct values values;
	struct arena arena;
	char *args[MAX_WORDS];
	int n_args;
	struct error err;
	int status;
};

/* Words end with NULL. */
static void parse(struct parsed *p, bool stop, const char *const *words)
{
	const struct option_table table = { rows, &p->values };
	const struct option_rules rules = { &table, 1, stop };
	char *argv[MAX_WORDS];
	int argc = 0;

	*p = (struct parsed){ .n_args = -1 };
	for (; words[argc]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	p->status = options_parse(&rules, argc, argv, &p->arena, p->args, &p->n_args, &p->err);
}

#define PARSE(p, stop, ...) parse((p), (stop), (const char *const[]){ __VA_ARGS__, NULL })

static void test_spellings(void **state)
{
	struct parsed p;

	(void)state;
	PARSE(&p, false, "-f", "--text=a=b", "--number", "7", "-s10k", "-l", "x", "--list=y", "-d", "1500ms", "arg");
	assert_int_equal(p.status, 0);
	assert_true(p.values.flag);
	assert_false(p.values.other);
	assert_string_equal(p.values.text, "a=b");
	assert_int_equal(p.values.number, 7);
	assert_int_equal(p.values.size, 10240);
	assert_int_equal(p.values.duration, 1500);
	assert_int_equal(p.values.list.n, 2);
	assert_string_equal(p.values.list.items[0], "x");
	assert_string_equal(p.values.list.items[1], "y");
	assert_int_equal(p.n_args, 1);
	assert_string_equal(p.args[0], "arg");
	arena_release(&p.arena);
}

static void test_letters_in_one_word(void **state)
{
	struct parsed p;

	(void)state;
	PARSE(&p, false, "-fot", "value", "-");
	assert_int_equal(p.status, 0);
	assert_true(p.values.flag && p.values.other);
	assert_string_equal(p.values.text, "value");
	assert_string_equal(p.args[0], "-");
	arena_release(&p.arena);
}

static void test_options_after_arguments(void **state)
{
	struct parsed p;

	(void)state;
	PARSE(&p, false, "one", "-f", "two", "--", "-o");
	assert_int_equal(p.status, 0);
	assert_true(p.values.flag);
	assert_false(p.values.other);
	assert_int_equal(p.n_args, 3);
	assert_string_equal(p.args[2], "-o");
	PARSE(&p, true, "-f", "one", "-o", "--text");
	assert_int_equal(p.status, 0);
	assert_true(p.values.flag);
	assert_false(p.values.other);
	assert_int_equal(p.n_args, 3);
	assert_string_equal(p.args[1], "-o");
	arena_release(&p.arena);
}

static void test_mistakes(void **state)
{
	static const char *const wrong[][2] = { { "--nothing", NULL },   { "-x", NULL },          { "--text", NULL },
						{ "-t", NULL },          { "--flag=1", NULL },    { "--number=0", NULL },
						{ "--number=11", NULL }, { "--number=1x", NULL }, { "--number=", NULL },
						{ "--size=-1", NULL },   { "--size=5q", NULL },   { "--size=9999999999g", NULL },
						{ "-d", "soon" },        { "--tex", "x" },        { "-fx", NULL } };
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		parse(&p, false, (const char *const[]){ wrong[i][0], wrong[i][1], NULL });
		assert_int_equal(p.status, -1);
		assert_int_equal(p.err.code, ERR_INVALID);
		assert_true(p.err.text[0]);
		arena_release(&p.arena);
	}
}

static void test_units(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} sizes[] = { { "0", 0 }, { "512", 512 }, { "64m", 64 << 20 }, { "2G", INT64_C(2) << 30 }, { "1Mi", 1 << 20 }, { "7b", 7 } },
	  times[] = { { "90", 90000 }, { "250ms", 250 }, { "2m", 120000 }, { "1h", 3600000 }, { "3s", 3000 } };
	struct error err = ERROR_INIT;
	int64_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(parse_size(sizes[i].text, &value, &err), 0);
		assert_int_equal(value, sizes[i].value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		assert_int_equal(parse_duration(times[i].text, &value, &err), 0);
		assert_int_equal(value, times[i].value);
	}
}

/* A letter or name that means two things would be caught by nobody else. */
static void test_no_command_has_an_ambiguous_option(void **state)
{
	(void)state;
	for (const struct command *const *c = commands; *c; c++) {
		const struct option_row *own = (*c)->options;

		for (const struct option_row *a = own; a && a->name; a++) {
			assert_true(a->offset < (*c)->options_size);
			assert_int_equal(a->kind == OPTION_FLAG, !a->argument);
			for (const struct option_row *b = a + 1; b->name; b++) {
				assert_string_not_equal(a->name, b->name);
				assert_true(!a->letter || a->letter != b->letter);
			}
			for (const struct option_row *g = global_options; g->name; g++) {
				assert_string_not_equal(a->name, g->name);
				assert_true(!a->letter || a->letter != g->letter);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_letters_in_one_word),
		cmocka_unit_test(test_options_after_arguments),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_no_command_has_an_ambiguous_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
