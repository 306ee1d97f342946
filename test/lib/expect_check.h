/* For tests of request checks: one line per case, which says what it did when it fails. */
#ifndef MONOPOD_TEST_EXPECT_CHECK_H
#define MONOPOD_TEST_EXPECT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cri/check.h"

#include <cmocka.h>

/* protobuf-c's strings are not const. */
#define TEXT(s) ((char *)(uintptr_t)(s))

/* `len` letters, freed by free_fillers(). */
static char *fillers[64];
static size_t n_fillers;

static inline char *filler(size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	assert_true(n_fillers < sizeof(fillers) / sizeof(fillers[0]));
	memset(text, 'x', len);
	text[len] = '\0';
	fillers[n_fillers++] = text;
	return text;
}

static inline int free_fillers(void **state)
{
	(void)state;
	while (n_fillers > 0)
		free(fillers[--n_fillers]);
	return 0;
}

/* `start` is how the error's text must begin. */
static inline void expect_verdict(check_fn *check, const ProtobufCMessage *request, enum error_code code, const char *start,
				  const char *what)
{
	struct error err = ERROR_INIT;
	int result = check(request, &err);

	if (result != (code == ERR_NONE ? 0 : -1) || err.code != code || strncmp(err.text, start, strlen(start)) != 0)
		fail_msg("%s\n  expected %s \"%s...\"\n  got %s \"%s\"", what, error_code_name(code), start,
			 error_code_name(err.code), err.text);
}

#endif
