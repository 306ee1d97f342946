/* Signals, names, turns, maps. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "task/message.h"
#include "task/names.h"
#include "task/signals.h"
#include "task/turn.h"

/* ---- signals ---- */

static void test_contract_values_become_linux_numbers(void **state)
{
	(void)state;
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGABRT), 6);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGKILL), 9);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGTERM), 15);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGUSR1), SIGUSR1);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGXFSZ), SIGXFSZ);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGRTMIN), 34);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGRTMINPLUS15), 49);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGRTMAXMINUS14), 50);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_SIGRTMAX), 64);
	assert_int_equal(signal_from_cri(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT), 0);
	assert_int_equal(signal_from_cri((Cri__Signal)66), 0);
}

/* Every one of the 66 values has a number, and goes there and back unless two names share it. */
static void test_all_contract_values(void **state)
{
	(void)state;
	for (int value = 1; value <= CRI__SIGNAL__SIGNAL_SIGRTMAX; value++) {
		int signo = signal_from_cri((Cri__Signal)value);

		assert_in_range(signo, 1, 64);
		assert_int_equal(signal_from_cri(signal_to_cri(signo)), signo);
	}
	assert_int_equal(signal_to_cri(0), CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT);
	assert_int_equal(signal_to_cri(33), CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT);
}

static void test_spellings_of_images(void **state)
{
	static const struct {
		const char *text;
		int signo;
	} table[] = {
		{ "SIGTERM", 15 },  { "TERM", 15 },       { "term", 15 },      { "SigQuit", 3 },     { "15", 15 },
		{ "9", 9 },         { "64", 64 },         { "65", 0 },         { "0", 0 },           { "-1", 0 },
		{ "", 0 },          { "SIG", 0 },         { "SIGRTMIN", 34 },  { "RTMIN+3", 37 },    { "SIGRTMIN+3", 37 },
		{ "SIGRTMAX", 64 }, { "SIGRTMAX-1", 63 }, { "SIGRTMIN-1", 0 }, { "SIGRTMIN+31", 0 }, { "SIGRTMIN+", 0 },
		{ "SIGNOPE", 0 },   { "15x", 0 },         { "0x0f", 0 },       { "SIGRTMIN+3x", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (signal_parse(table[i].text) != table[i].signo)
			fail_msg("'%s' is %d, not %d", table[i].text, signal_parse(table[i].text), table[i].signo);
}

static void test_who_chooses_the_stop_signal(void **state)
{
	(void)state;
	assert_int_equal(signal_choose(CRI__SIGNAL__SIGNAL_SIGUSR2, "SIGQUIT"), SIGUSR2);
	assert_int_equal(signal_choose(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, "SIGQUIT"), SIGQUIT);
	assert_int_equal(signal_choose(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, ""), SIGTERM);
	assert_int_equal(signal_choose(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, "nonsense"), SIGTERM);
}

/* ---- names ---- */

static void test_names_are_taken_once(void **state)
{
	struct name_index index = { 0 };
	struct error err = ERROR_INIT;

	(void)state;
	assert_null(name_find(&index, "a"));
	assert_int_equal(name_take(&index, "a", "id1", &err), 0);
	assert_string_equal(name_find(&index, "a"), "id1");
	assert_int_equal(name_take(&index, "a", "id2", &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	name_drop(&index, "a", "id2"); /* not its owner */
	assert_string_equal(name_find(&index, "a"), "id1");
	name_drop(&index, "a", "id1");
	assert_null(name_find(&index, "a"));
	assert_int_equal(name_take(&index, "a", "id2", &err), 0);
	name_index_release(&index);
}

static void test_keys_do_not_run_together(void **state)
{
	const char *const one[] = { "ab", "c" }, *const two[] = { "a", "bc" };
	_cleanup_free_
	char *a = name_key(one, 2, 1);
	_cleanup_free_
	char *b = name_key(two, 2, 1);
	_cleanup_free_
	char *c = name_key(one, 2, 11);
	_cleanup_free_
	char *d = name_key(one, 2, 1);

	(void)state;
	assert_string_not_equal(a, b);
	assert_string_not_equal(a, c);
	assert_string_equal(a, d);
}

/* ---- turns ---- */

static char order[8];

static void note_a(struct turn *turn)
{
	(void)turn;
	order[strlen(order)] = 'a';
}

static void note_b(struct turn *turn)
{
	(void)turn;
	order[strlen(order)] = 'b';
}

static void test_turns_go_round_in_order(void **state)
{
	struct turn_queue queue = { 0 };
	struct turn first, a, b;

	(void)state;
	memset(order, 0, sizeof(order));
	assert_true(turn_take(&queue, &first, note_a));
	assert_false(turn_take(&queue, &a, note_a));
	assert_false(turn_take(&queue, &b, note_b));
	assert_int_equal(turn_count(&queue), 3);
	assert_string_equal(order, "");
	turn_give(&first);
	assert_string_equal(order, "a");
	assert_true(turn_is_held(&a));
	turn_give(&a);
	assert_string_equal(order, "ab");
	turn_give(&b);
	turn_give(&b); /* twice is harmless */
	assert_int_equal(turn_count(&queue), 0);
}

static void test_a_wide_queue_lets_several_hold(void **state)
{
	struct turn_queue queue = { .more = 1 };
	struct turn first, second, a, b, c;

	(void)state;
	memset(order, 0, sizeof(order));
	assert_true(turn_take(&queue, &first, note_a));
	assert_true(turn_take(&queue, &second, note_b));
	assert_false(turn_take(&queue, &a, note_a));
	assert_false(turn_take(&queue, &b, note_b));
	assert_false(turn_take(&queue, &c, note_a));
	turn_give(&b); /* out of the line */
	assert_string_equal(order, "");
	turn_give(&second);
	assert_string_equal(order, "a");
	assert_true(turn_is_held(&first) && turn_is_held(&a) && !turn_is_held(&c));
	turn_give(&first);
	assert_string_equal(order, "aa");
	turn_give(&a);
	turn_give(&c);
	assert_int_equal(turn_count(&queue), 0);
	assert_string_equal(order, "aa");
}

static void test_who_leaves_the_line_is_skipped(void **state)
{
	struct turn_queue queue = { 0 };
	struct turn first, a, b;

	(void)state;
	memset(order, 0, sizeof(order));
	assert_true(turn_take(&queue, &first, note_a));
	assert_false(turn_take(&queue, &a, note_a));
	assert_false(turn_take(&queue, &b, note_b));
	turn_give(&a);
	assert_string_equal(order, "");
	turn_give(&first);
	assert_string_equal(order, "b");
	turn_give(&b);
}

/* ---- maps ---- */

static struct map_entry entry(char *key, char *value)
{
	return (struct map_entry){ .key = key, .value = value };
}

static void test_maps(void **state)
{
	char a[] = "a", b[] = "b", one[] = "1", two[] = "2";
	struct map_entry a1 = entry(a, one), b2 = entry(b, two), a2 = entry(a, two);
	struct map_entry *there[] = { &b2, &a1 }, *both[] = { &a1, &b2 }, *other[] = { &a2 };

	(void)state;
	assert_true(map_contains(there, 2, both, 2));
	assert_true(map_contains(there, 2, NULL, 0));
	assert_false(map_contains(there, 2, other, 1));
	assert_false(map_contains(NULL, 0, both, 1));
	map_sort(there, 2);
	assert_ptr_equal(there[0], &a1);
	assert_ptr_equal(there[1], &b2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contract_values_become_linux_numbers),
		cmocka_unit_test(test_all_contract_values),
		cmocka_unit_test(test_spellings_of_images),
		cmocka_unit_test(test_who_chooses_the_stop_signal),
		cmocka_unit_test(test_names_are_taken_once),
		cmocka_unit_test(test_keys_do_not_run_together),
		cmocka_unit_test(test_turns_go_round_in_order),
		cmocka_unit_test(test_a_wide_queue_lets_several_hold),
		cmocka_unit_test(test_who_leaves_the_line_is_skipped),
		cmocka_unit_test(test_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
