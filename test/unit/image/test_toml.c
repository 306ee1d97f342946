#include "image_fixture.h"

#include "image/toml.h"

static const struct toml *parse(const char *text, struct arena *arena)
{
	const struct toml *root = NULL;
	struct error err = ERROR_INIT;

	if (toml_parse(text, strlen(text), arena, &root, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return root;
}

/* "a.b.c" */
static const struct toml *find(const struct toml *node, const char *path)
{
	char copy[200], *save = NULL;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *part = strtok_r(copy, ".", &save); part && node; part = strtok_r(NULL, ".", &save))
		node = toml_get(node, part);
	return node;
}

static void strings(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ "x = \"plain\"", "plain" },
		{ "x=''", "" },
		{ "x = \"\"", "" },
		{ "x = 'C:\\raw \"text\"'", "C:\\raw \"text\"" },
		{ "x = \"\\b\\t\\n\\f\\r\\\"\\\\\"", "\b\t\n\f\r\"\\" },
		{ "x = \"\\u00e9\\u20AC\\U0001F600A\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
							"A" },
		{ "x = \"a\tb\"", "a\tb" },
		{ "x = \"# no comment\" # one", "# no comment" },
		{ "x = \"\"\"\nfirst\nsecond\"\"\"", "first\nsecond" },
		{ "x = \"\"\"a\r\nb\"\"\"\r\n", "a\nb" },
		{ "x = \"\"\"one \\\n   \n\t two\"\"\"", "one two" },
		{ "x = \"\"\"one \\  \n two\"\"\"", "one two" },
		{ "x = \"\"\"a \"quoted\" \"\"word\"\"\"\"\"", "a \"quoted\" \"\"word\"\"" },
		{ "x = '''\nraw \\n ''here'' '''", "raw \\n ''here'' " },
		{ "x = ''''quoted''''", "'quoted'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		const struct toml *x = toml_get(parse(cases[i].text, &arena), "x");

		assert_non_null(x);
		assert_int_equal(x->type, TOML_STRING);
		assert_string_equal(x->text, cases[i].value);
	}
}

static void numbers_and_booleans(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {
		{ "x = 0", 0 },
		{ "x = +99", 99 },
		{ "x = -17", -17 },
		{ "x = 1_000_000", 1000000 },
		{ "x = 0xDEAD_beef", 0xdeadbeef },
		{ "x = 0o755", 0755 },
		{ "x = 0b1101", 13 },
		{ "x = -0", 0 },
		{ "x = 9223372036854775807", INT64_MAX },
		{ "x = -9223372036854775808", INT64_MIN },
	};
	_cleanup_arena_ struct arena arena = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct toml *x = toml_get(parse(cases[i].text, &arena), "x");

		assert_int_equal(x->type, TOML_INTEGER);
		assert_true(x->integer == cases[i].value);
	}
	assert_true(toml_get(parse("x = true", &arena), "x")->boolean);
	assert_false(toml_get(parse("x = false", &arena), "x")->boolean);
	assert_int_equal(toml_get(parse("x = false", &arena), "x")->type, TOML_BOOLEAN);
}

static void keys_and_tables(void **state)
{
	static const char text[] = "# a file\n"
				   "top = 1\n"
				   "\"quoted key\" = 2\n"
				   "'' = 3\n"
				   "1234 = 4\n"
				   "a.b . 'c' = 5\n"
				   "a.b.d = 6\n"
				   "\n"
				   "[ host . \"https://m.example\" ] # a mirror\n"
				   "capabilities = [\"pull\"]\n"
				   "  [host.\"https://m.example\".header]\n"
				   "  x = [ 'a', # with a comment\n"
				   "        'b',\n"
				   "      ]\n"
				   "[host]\n"
				   "late = true\n"
				   "[deep.below.here]\n"
				   "[deep]\n"
				   "x.y = 1\n"
				   "[deep.x.z]\n"
				   "inline = { a = 1, b.c = [[1, 2], [{ d = 'e' }]], \"f\" = {} }";
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const struct toml *root = parse(text, &arena), *node;

	(void)state;
	assert_int_equal(find(root, "top")->integer, 1);
	assert_int_equal(find(root, "quoted key")->integer, 2);
	assert_int_equal(toml_get(root, "")->integer, 3);
	assert_int_equal(find(root, "1234")->integer, 4);
	assert_int_equal(find(root, "a.b.c")->integer, 5);
	assert_int_equal(find(root, "a.b.d")->integer, 6);
	node = toml_get(find(root, "host"), "https://m.example");
	assert_int_equal(node->line, 9);
	assert_string_equal(toml_get(node, "capabilities")->first->text, "pull");
	node = find(node, "header.x");
	assert_int_equal(node->type, TOML_ARRAY);
	assert_string_equal(node->first->text, "a");
	assert_string_equal(node->first->next->text, "b");
	assert_null(node->first->next->next);
	assert_true(find(root, "host.late")->boolean);
	assert_int_equal(find(root, "deep.below.here")->type, TOML_TABLE);
	assert_int_equal(find(root, "deep.x.y")->integer, 1);
	node = find(root, "deep.x.z.inline");
	assert_int_equal(find(node, "a")->integer, 1);
	assert_int_equal(find(node, "b.c")->first->first->next->integer, 2);
	assert_string_equal(find(find(node, "b.c")->first->next->first, "d")->text, "e");
	assert_int_equal(find(node, "f")->type, TOML_TABLE);
	assert_null(find(root, "nothing"));
	assert_int_equal(parse("", &arena)->type, TOML_TABLE);
	assert_null(parse("# nothing", &arena)->first);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *why;
	} cases[] = {
		{ "x", 1, "'=' is missing" },
		{ "x =", 1, "a value is missing" },
		{ "\n= 1", 2, "a name is missing" },
		{ "a. = 1", 1, "a name is missing" },
		{ ".a = 1", 1, "a name is missing" },
		{ "\xc3\xa9 = 1", 1, "a name is missing" },
		{ "x = yes", 1, "strings need quotes" },
		{ "x = pull", 1, "strings need quotes" },
		{ "x = 1.5", 1, "whole ones" },
		{ "x = 1e3", 1, "whole ones" },
		{ "x = inf", 1, "whole ones" },
		{ "x = 1979-05-27T07:32:00Z", 1, "dates" },
		{ "x = 01", 1, "is no value" },
		{ "x = 1__0", 1, "is no value" },
		{ "x = _1", 1, "is no value" },
		{ "x = 1_", 1, "is no value" },
		{ "x = +0x1", 1, "is no value" },
		{ "x = 0xg", 1, "is no value" },
		{ "x = +", 1, "is no value" },
		{ "x = 9223372036854775808", 1, "is no value" },
		{ "x = True", 1, "is no value" },
		{ "x = 1 y = 2", 1, "each setting has a line" },
		{ "x = 'a' 'b'", 1, "each setting has a line" },
		{ "[a] x = 1", 1, "each setting has a line" },
		{ "x = 1\rx", 1, "each setting has a line" },
		{ "x = \"open", 1, "does not end" },
		{ "x = \"open\n\"", 1, "does not end" },
		{ "x = 'open", 1, "does not end" },
		{ "x = \"\"\"open\n\n", 3, "does not end" },
		{ "x = '''open''", 1, "does not end" },
		{ "x = \"\\", 1, "unknown escape" },
		{ "x = \"\\x41\"", 1, "unknown escape" },
		{ "x = \"\\u12\" 1", 1, "4 hexadecimal digits" },
		{ "x = \"\\u12", 1, "does not end" },
		{ "x = \"\\U0011FFFF\"", 1, "is no character" },
		{ "x = \"\\ud800\"", 1, "is no character" },
		{ "x = \"\\u0000\"", 1, "is no character" },
		{ "x = \"a\x01\"", 1, "control character" },
		{ "x = '''a\rb'''", 1, "control character" },
		{ "# a\x01", 1, "control character" },
		{ "x = \"\"\"a\"\"\"\"\"\"", 1, "too many quotes" },
		{ "\"\"\"x\"\"\" = 1", 1, "several lines" },
		{ "x = [1, 2", 1, "missing in a list" },
		{ "x = [1 2]", 1, "missing in a list" },
		{ "x = [,]", 1, "a value is missing" },
		{ "x = [\n1,\n,]", 3, "a value is missing" },
		{ "x = {a = 1", 1, "missing in a table" },
		{ "x = {a = 1,}", 1, "a name is missing" },
		{ "x = {a = 1,\nb = 2}", 1, "a name is missing" },
		{ "x = {a = 1 b = 2}", 1, "missing in a table" },
		{ "[a", 1, "']' is missing" },
		{ "[]", 1, "a name is missing" },
		{ "[[a]]", 1, "lists of tables" },
		{ "x = 1\nx = 2", 2, "defined already, in line 1" },
		{ "x = 1\n'x' = 2", 2, "defined already" },
		{ "[a]\n[a]", 2, "defined already" },
		{ "[a.b]\n[a]\n[a]", 3, "defined already" },
		{ "a = 1\n[a]", 2, "defined already" },
		{ "a = 1\n[a.b]", 2, "defined already" },
		{ "a = 1\na.b = 1", 2, "defined already" },
		{ "a = {}\n[a.b]", 2, "defined already" },
		{ "a = {}\na.b = 1", 2, "defined already" },
		{ "a = { b = 1, b.c = 2 }", 1, "defined already" },
		{ "a = []\n[a]", 2, "defined already" },
		{ "a.b = 1\n[a]", 2, "defined already" },
		{ "[a.b.c]\nz = 9\n[a]\nb.c.t = 1", 4, "defined already" },
		{ "[a.b]\n[a]\nb.x = 1", 3, "defined already" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		const struct toml *root = NULL;
		struct error err = ERROR_INIT;
		char prefix[32];

		if (toml_parse(cases[i].text, strlen(cases[i].text), &arena, &root, &err) == 0)
			fail_msg("taken: %s", cases[i].text);
		assert_null(root);
		(void)snprintf(prefix, sizeof(prefix), "line %d: ", cases[i].line);
		if (err.code != ERR_INVALID || strncmp(err.text, prefix, strlen(prefix)) != 0 || !strstr(err.text, cases[i].why))
			fail_msg("%s: %s: %s, not %s%s", cases[i].text, error_code_name(err.code), err.text, prefix, cases[i].why);
	}
}

static int parse_repeated(const char *head, const char *body, size_t n, const char *tail, struct error *err)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(1 << 24);
	const struct toml *root;

	assert_int_equal(buffer_append_str(&text, head, err), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buffer_append_str(&text, body, err), 0);
	assert_int_equal(buffer_append_str(&text, tail, err), 0);
	return toml_parse(text.data, text.len, &arena, &root, err);
}

static void limits(void **state)
{
	static const char invalid[] = "x = \"\xff\"", nul[] = "x = 1\0";
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const struct toml *root;
	struct error err = ERROR_INIT;

	(void)state;
	assert_ok(parse_repeated("x = ", "[", TOML_MAX_DEPTH - 1, "1]]]]]]]]]]]]]]]", &err), &err);
	assert_failed(parse_repeated("x = ", "[", TOML_MAX_DEPTH, "1", &err), &err, ERR_EXHAUSTED, "in each other");
	assert_failed(parse_repeated("x = ", "[", 100000, "", &err), &err, ERR_EXHAUSTED, "in each other");
	assert_failed(parse_repeated("x = ", "{a=", 10000, "", &err), &err, ERR_EXHAUSTED, "in each other");
	assert_ok(parse_repeated("", "a.", TOML_MAX_DEPTH - 1, "a = 1", &err), &err);
	assert_failed(parse_repeated("", "a.", TOML_MAX_DEPTH, "a = 1", &err), &err, ERR_EXHAUSTED, "parts");
	assert_ok(parse_repeated("x = [", "1,", TOML_MAX_NODES - 2, "]", &err), &err);
	assert_failed(parse_repeated("x = [", "1,", TOML_MAX_NODES - 1, "]", &err), &err, ERR_EXHAUSTED, "more than 4096 values");
	assert_failed(parse_repeated("", "#\n", TOML_MAX_BYTES / 2, "#", &err), &err, ERR_EXHAUSTED, "longer than");
	assert_failed(toml_parse(invalid, sizeof(invalid) - 1, &arena, &root, &err), &err, ERR_INVALID, "UTF-8");
	assert_failed(toml_parse(nul, sizeof(nul) - 1, &arena, &root, &err), &err, ERR_INVALID, "UTF-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings),         cmocka_unit_test(numbers_and_booleans),
		cmocka_unit_test(keys_and_tables), cmocka_unit_test(what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
