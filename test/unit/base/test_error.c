#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void test_set(void **state)
{
	struct error err = { .sys_errno = 7 };

	(void)state;
	assert_int_equal(error_set(&err, ERR_STATE, "pod %d is %s", 3, "gone"), -1);
	assert_int_equal(err.code, ERR_STATE);
	assert_int_equal(err.sys_errno, 0);
	assert_string_equal(err.text, "pod 3 is gone");
}

static void test_sys(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_sys(&err, EACCES, "exec %s", "bridge"), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_int_equal(err.sys_errno, EACCES);
	assert_string_equal(err.text, "exec bridge: Permission denied");
}

static void test_prefix_reads_outermost_first(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	(void)error_sys(&err, ENOSPC, "write %s", "x");
	assert_int_equal(error_prefix(&err, "pull image %s", "a:b"), -1);
	assert_int_equal(error_prefix(&err, "run pod"), -1);
	assert_string_equal(err.text, "run pod: pull image a:b: write x: No space left on device");
	assert_int_equal(err.code, ERR_EXHAUSTED);
	assert_int_equal(err.sys_errno, ENOSPC);
}

static void test_prefix_may_quote_the_text(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	(void)error_set(&err, ERR_INVALID, "inner");
	(void)error_prefix(&err, "<%s>", err.text);
	assert_string_equal(err.text, "<inner>: inner");
}

static void test_long_texts_are_cut(void **state)
{
	struct error err = ERROR_INIT;
	char text[3 * ERROR_TEXT_SIZE];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)error_set(&err, ERR_INVALID, "%s", text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
	assert_string_equal(err.text + ERROR_TEXT_SIZE - 5, "x...");
	(void)error_sys(&err, ENOENT, "%s", text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
	(void)error_prefix(&err, "%s", text);
	assert_string_equal(err.text + ERROR_TEXT_SIZE - 5, "x...");
}

static void test_exact_fit_is_not_cut(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	(void)error_set(&err, ERR_INVALID, "%*s", ERROR_TEXT_SIZE - 1, "end");
	assert_string_equal(err.text + ERROR_TEXT_SIZE - 4, "end");
	(void)error_set(&err, ERR_INVALID, "%*s", ERROR_TEXT_SIZE, "end");
	assert_string_equal(err.text + ERROR_TEXT_SIZE - 4, "...");
}

/* Whatever the length, the cut text is still UTF-8: no continuation byte is left without its head, and no head alone. */
static void test_cut_keeps_characters_whole(void **state)
{
	(void)state;
	for (int pad = 0; pad < 4; pad++) {
		struct error err = ERROR_INIT;
		char text[2 * ERROR_TEXT_SIZE];
		size_t dots;

		memset(text, 'x', (size_t)pad);
		for (size_t i = (size_t)pad; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4);
		(void)error_set(&err, ERR_INVALID, "%s", text);
		dots = strlen(err.text) - 3;
		assert_string_equal(err.text + dots, "...");
		assert_int_equal((dots - (size_t)pad) % 3, 0);
	}
}

static void test_codes_have_names(void **state)
{
	(void)state;
	for (int code = 0; code < ERR_CODE_COUNT; code++)
		assert_non_null(error_code_name((enum error_code)code));
	assert_string_equal(error_code_name(ERR_NOT_FOUND), "NOT_FOUND");
	assert_string_equal(error_code_name(ERR_CODE_COUNT), "UNKNOWN");
	assert_int_equal(error_code_of_errno(ENOENT), ERR_NOT_FOUND);
	assert_int_equal(error_code_of_errno(EMFILE), ERR_EXHAUSTED);
	assert_int_equal(error_code_of_errno(EDOM), ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_sys),
		cmocka_unit_test(test_prefix_reads_outermost_first),
		cmocka_unit_test(test_prefix_may_quote_the_text),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_exact_fit_is_not_cut),
		cmocka_unit_test(test_cut_keeps_characters_whole),
		cmocka_unit_test(test_codes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
