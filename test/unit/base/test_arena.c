#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void test_zeroed_and_aligned(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT;

	(void)state;
	for (size_t size = 0; size < 300; size++) {
		unsigned char *p = arena_alloc(&a, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xee, size);
	}
	assert_false(arena_failed(&a));
}

/* Nothing overlaps, whatever the mix of small and large. */
static void test_pieces_are_apart(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT;
	unsigned char *pieces[200];
	size_t sizes[200];

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		sizes[i] = i % 7 == 0 ? 5000 + i : i;
		pieces[i] = arena_alloc(&a, sizes[i]);
		assert_non_null(pieces[i]);
		memset(pieces[i], (int)i, sizes[i]);
	}
	for (size_t i = 0; i < 200; i++) {
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i);
	}
}

static void test_large_piece_leaves_room_for_small_ones(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT;
	const struct arena_chunk *first;

	(void)state;
	assert_non_null(arena_alloc(&a, 16));
	first = a.chunks;
	assert_non_null(arena_alloc(&a, 100000));
	assert_ptr_equal(a.chunks, first);
	assert_non_null(arena_alloc(&a, 16));
	assert_ptr_equal(a.chunks, first);
}

static void test_strings(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT;
	const char unterminated[3] = { 'a', 'b', 'c' };

	(void)state;
	assert_string_equal(arena_strdup(&a, ""), "");
	assert_string_equal(arena_strdup(&a, "hello"), "hello");
	assert_string_equal(arena_strndup(&a, "hello", 2), "he");
	assert_string_equal(arena_strndup(&a, "hello", 100), "hello");
	assert_string_equal(arena_strndup(&a, unterminated, 3), "abc");
	assert_string_equal(arena_printf(&a, "%s/%d", "x", 5), "x/5");
	assert_memory_equal(arena_memdup(&a, "a\0b", 3), "a\0b", 3);
	assert_non_null(arena_memdup(&a, NULL, 0));
	assert_non_null(arena_new_array(&a, uint64_t, 5));
}

static void test_long_text(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT;
	const char *text = arena_printf(&a, "%10000d", 1);

	(void)state;
	assert_int_equal(strlen(text), 10000);
	assert_int_equal(text[9999], '1');
}

static void test_overflow_fails(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT;

	(void)state;
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	assert_true(arena_failed(&a));
	arena_release(&a);
	assert_false(arena_failed(&a));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_true(arena_failed(&a));
	assert_non_null(arena_alloc(&a, 8)); /* and goes on */
	assert_true(arena_failed(&a));
	assert_null(arena_new_array(&a, uint64_t, SIZE_MAX / 8 + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed_and_aligned),
		cmocka_unit_test(test_pieces_are_apart),
		cmocka_unit_test(test_large_piece_leaves_room_for_small_ones),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_overflow_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
