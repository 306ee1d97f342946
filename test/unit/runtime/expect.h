/* cmocka with our errors, and a directory per test. Included first by the tests of src/runtime. */
#ifndef MONOPOD_TEST_EXPECT_H
#define MONOPOD_TEST_EXPECT_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"

/* `call` names `err`; on failure the test says its text. Yields the result. */
#define expect_ok(call)                                                                                                            \
	({                                                                                                                         \
		struct error err = ERROR_INIT;                                                                                     \
		int _r = (call);                                                                                                   \
		if (_r < 0)                                                                                                        \
			fail_msg("%s: %s", #call, err.text);                                                                       \
		if (err.code != ERR_NONE)                                                                                          \
			fail_msg("%s: success, and yet the error %s", #call, err.text);                                            \
		_r;                                                                                                                \
	})

/* The call fails with this code, and the sentence holds `part`. */
#define expect_error(call, wanted, part)                                                                                           \
	do {                                                                                                                       \
		struct error err = ERROR_INIT;                                                                                     \
		if ((call) >= 0)                                                                                                   \
			fail_msg("%s: succeeded", #call);                                                                          \
		if (err.code != (wanted))                                                                                          \
			fail_msg("%s: %s instead of %s: %s", #call, error_code_name(err.code), error_code_name(wanted), err.text); \
		if (!strstr(err.text, (part)))                                                                                     \
			fail_msg("%s: '%s' does not say '%s'", #call, err.text, (part));                                           \
	} while (0)

/* An empty directory below /tmp, made before and removed after each test. */
struct place {
	char path[40];
};

static inline int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return -1;
	(void)snprintf(place->path, sizeof(place->path), "/tmp/kern-test-XXXXXX");
	*state = place;
	return mkdtemp(place->path) ? 0 : -1;
}

static inline int place_remove(void **state)
{
	struct place *place = *state;
	struct error err = ERROR_INIT;
	int r = io_remove_tree(AT_FDCWD, place->path, &err);

	if (r < 0)
		print_error("%s\n", err.text);
	free(place);
	return r;
}

/* "PLACE/rest"; every call has a buffer of its own, up to eight at a time. */
static inline const char *in_place(void **state, const char *rest)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", ((struct place *)*state)->path, rest);
	return path;
}

static inline void put_file(const char *path, const char *content)
{
	expect_ok(io_replace_file(AT_FDCWD, path, content, strlen(content), 0644, &err));
}

static inline void put_dir(const char *path)
{
	expect_ok(io_make_dirs(path, 0755, &err));
}

/* The whole file, cut at 4 KiB; valid until the next call. */
static inline const char *get_file(const char *path)
{
	static char text[4096];
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	text[n] = '\0';
	if (file)
		(void)fclose(file);
	return text;
}

#define skip_unless(condition, reason)                                                                                             \
	do {                                                                                                                       \
		if (!(condition)) {                                                                                                \
			print_message("skipped: %s\n", reason);                                                                    \
			skip();                                                                                                    \
		}                                                                                                                  \
	} while (0)

#endif
