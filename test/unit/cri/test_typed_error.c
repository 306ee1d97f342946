#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cri/typed_error.h"

static const struct {
	const char *before, *after;
} texts[] = {
	{ "pull x: transfer: RegistryUnavailable: registry y: refused",
	  "RegistryUnavailable: pull x: transfer: registry y: refused" },
	{ "a: RROUnsupported: b", "RROUnsupported: a: b" },
	{ "RegistryUnavailable: first already", "RegistryUnavailable: first already" },
	{ "pull NotRegistryUnavailable: x", "pull NotRegistryUnavailable: x" },
	{ "start container web: mount", "start container web: mount" },
	{ "", "" },
};

static void words_move_to_the_front(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct error err = { .code = ERR_UNAVAILABLE };

		(void)snprintf(err.text, sizeof(err.text), "%s", texts[i].before);
		typed_error_to_front(&err);
		assert_string_equal(err.text, texts[i].after);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words_move_to_the_front) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
