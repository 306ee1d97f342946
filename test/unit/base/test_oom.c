/* Every function of base that allocates, with each of its allocations failing once. The sanitizer finds what leaks. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/config.h"
#include "base/io.h"
#include "failing.h"

static void test_config_init(void **state)
{
	long n;

	(void)state;
	for (n = 0; fails_at(n); n++) {
		struct config config;
		struct error err = ERROR_INIT;
		int rc = config_init(&config, &err);
		bool failed = failure_happened();

		assert_int_equal(rc, failed ? -1 : 0);
		if (failed) {
			assert_int_equal(err.code, ERR_EXHAUSTED);
			assert_null(config.socket);
		}
		config_release(&config);
	}
	assert_true(n > 10); /* one for each text */
}

static void test_config_set(void **state)
{
	struct config config;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(config_init(&config, &err), 0);
	for (long n = 0; fails_at(n); n++) {
		int rc = config_set(&config, "net.bridge", "br7", &err);
		bool failed = failure_happened();

		assert_int_equal(rc, failed ? -1 : 0);
		assert_string_equal(config.bridge, failed ? "monopod0" : "br7");
	}
	config_release(&config);
}

static void test_config_read(void **state)
{
	char path[] = "/tmp/loop-oom-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "[net]\nbridge = br1\nmtu = 1400\n";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	(void)close(fd);
	for (long n = 0; fails_at(n); n++) {
		struct config config = { 0 };
		struct error err = ERROR_INIT;
		int rc = config_read(&config, path, &err);
		bool failed = failure_happened();

		assert_int_equal(rc, failed ? -1 : 0);
		if (failed)
			assert_int_equal(err.code, ERR_EXHAUSTED);
		config_release(&config);
	}
	(void)unlink(path);
}

static void test_buffer(void **state)
{
	(void)state;
	for (long n = 0; fails_at(n); n++) {
		_cleanup_buffer_ struct buffer b = BUFFER_INIT(100000);
		struct error err = ERROR_INIT;
		size_t appended = 0;
		bool failed;

		for (int i = 0; i < 100; i++)
			appended += buffer_append(&b, "0123456789", 10, &err) == 0 ? 10 : 0;
		appended += buffer_printf(&b, &err, "%5000d", 1) == 0 ? 5000 : 0;
		failed = failure_happened();
		assert_int_equal(b.len, appended); /* what failed left it as it was */
		if (failed)
			assert_int_equal(err.code, ERR_EXHAUSTED);
		else
			assert_int_equal(b.len, 6000);
		assert_int_equal(strlen(b.data ? b.data : ""), b.len);
	}
}

static void test_arena(void **state)
{
	(void)state;
	for (long n = 0; fails_at(n); n++) {
		_cleanup_arena_ struct arena a = ARENA_INIT;
		bool missing = false;

		missing |= !arena_strdup(&a, "x");
		missing |= !arena_alloc(&a, 10000);
		missing |= !arena_printf(&a, "%4000d", 1);
		missing |= !arena_memdup(&a, "abc", 3);
		assert_int_equal(failure_happened(), missing);
		assert_int_equal(arena_failed(&a), missing);
	}
}

static void test_read_file(void **state)
{
	(void)state;
	for (long n = 0; fails_at(n); n++) {
		_cleanup_buffer_ struct buffer b = BUFFER_INIT(1 << 20);
		struct error err = ERROR_INIT;
		int rc = io_read_file(AT_FDCWD, "/proc/self/status", &b, &err);
		bool failed = failure_happened();

		assert_int_equal(rc, failed ? -1 : 0);
		if (failed)
			assert_non_null(strstr(err.text, "/proc/self/status"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_init), cmocka_unit_test(test_config_set), cmocka_unit_test(test_config_read),
		cmocka_unit_test(test_buffer),      cmocka_unit_test(test_arena),      cmocka_unit_test(test_read_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
