/* What a pull looks like: on terminals of any size, played through a small terminal, and as lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/progress.h"

#define MAX_ROWS 60
#define MAX_COLUMNS 200

/* The part of ECMA-48 that is used, with wrapping and scrolling as terminals have it. Anything else fails the test. */
struct terminal {
	unsigned rows, columns, row, column, lost; /* lost: lines that scrolled out */
	char cells[MAX_ROWS][MAX_COLUMNS + 1];
};

static void terminal_clear(struct terminal *t, unsigned row, unsigned column)
{
	memset(&t->cells[row][column], 0, MAX_COLUMNS + 1 - column);
}

static void terminal_down(struct terminal *t)
{
	if (++t->row < t->rows)
		return;
	memmove(t->cells[0], t->cells[1], sizeof(t->cells[0]) * (t->rows - 1));
	t->row = t->rows - 1;
	terminal_clear(t, t->row, 0);
	t->lost++;
}

static const char *terminal_escape(struct terminal *t, const char *p)
{
	unsigned n = 1;

	assert_int_equal(*p++, '[');
	if (*p >= '0' && *p <= '9') {
		char *end;

		n = (unsigned)strtoul(p, &end, 10);
		p = end;
	}
	if (*p == 'A') {
		assert_true(t->row >= n); /* no terminal goes further up than its first line */
		t->row -= n;
	} else if (*p == 'K') {
		terminal_clear(t, t->row, t->column);
	} else if (*p == 'J') {
		for (unsigned row = t->row; row < t->rows; row++)
			terminal_clear(t, row, row == t->row ? t->column : 0);
	} else {
		fail_msg("unknown escape %c", *p);
	}
	return p + 1;
}

static void terminal_play(struct terminal *t, const char *text)
{
	while (*text) {
		char c = *text++;

		if (c == '\r') {
			t->column = 0;
		} else if (c == '\n') {
			t->column = 0;
			terminal_down(t);
		} else if (c == '\033') {
			text = terminal_escape(t, text);
		} else {
			assert_in_range(c, 0x20, 0x7e);
			assert_true(t->column + 1 < t->columns); /* nothing is in the last column, so nothing wraps */
			t->cells[t->row][t->column++] = c;
		}
	}
}

/* ---- a pull ---- */

struct pull {
	struct progress *progress;
	FILE *out;
	char *text;
	size_t len, played;
	struct terminal terminal;
	int64_t now_us;
};

static void pull_begin(struct pull *p, unsigned columns, unsigned rows)
{
	*p = (struct pull){ .now_us = 1000000, .terminal = { .rows = rows, .columns = columns } };
	p->out = open_memstream(&p->text, &p->len);
	assert_non_null(p->out);
	p->progress = progress_new(p->out, (struct progress_screen){ columns, rows });
	assert_non_null(p->progress);
}

static void play(struct pull *p)
{
	(void)fflush(p->out);
	if (p->terminal.columns > 0)
		terminal_play(&p->terminal, p->text + p->played);
	p->played = p->len;
}

static void pull_end(struct pull *p)
{
	progress_free(p->progress);
	(void)fclose(p->out);
	free(p->text);
}

#define MANY 100

struct told {
	Admin__PullImageResponse message;
	Admin__LayerProgress layers[MANY], *list[MANY];
	char digests[MANY][80];
};

static void tell(struct told *told, unsigned index, Admin__LayerState state, uint64_t done, uint64_t total)
{
	Admin__LayerProgress *layer = &told->layers[told->message.n_layers];

	admin__layer_progress__init(layer);
	(void)snprintf(told->digests[told->message.n_layers], 80, "sha256:%012x0000", index);
	layer->digest = told->digests[told->message.n_layers];
	layer->index = index;
	layer->state = state;
	layer->done_bytes = done;
	layer->total_bytes = total;
	told->list[told->message.n_layers++] = layer;
}

static void told_init(struct told *told)
{
	admin__pull_image_response__init(&told->message);
	told->message.layers = told->list;
}

static void take(struct pull *p, struct told *told)
{
	progress_take(p->progress, &told->message, p->now_us);
	play(p);
	told_init(told);
}

static void expect_row(const struct pull *p, unsigned row, const char *text)
{
	assert_string_equal(p->terminal.cells[row], text);
}

#define MIB ((uint64_t)1024 * 1024)
#define WAITING ADMIN__LAYER_STATE__LAYER_WAITING
#define DOWNLOADING ADMIN__LAYER_STATE__LAYER_DOWNLOADING
#define UNPACKING ADMIN__LAYER_STATE__LAYER_UNPACKING
#define DONE ADMIN__LAYER_STATE__LAYER_DONE
#define EXISTS ADMIN__LAYER_STATE__LAYER_EXISTS

static void test_picture(void **state)
{
	struct told told;
	struct pull p;

	(void)state;
	pull_begin(&p, 100, 24);
	told_init(&told);
	progress_tick(p.progress, p.now_us); /* nothing is known yet */
	play(&p);
	assert_int_equal(p.len, 0);
	tell(&told, 0, EXISTS, 10 * MIB, 10 * MIB);
	tell(&told, 1, DOWNLOADING, 0, 40 * MIB);
	tell(&told, 2, WAITING, 0, 50 * MIB);
	take(&p, &told);
	expect_row(&p, 0, "000000000000  exists       ");
	expect_row(&p, 1, "000000000001  downloading  [>                                 ]  0B of 40.0MiB");
	expect_row(&p, 2, "000000000002  waiting      ");
	expect_row(&p, 3, "1 of 3 layers  10.0MiB of 100.0MiB");
	p.now_us += 1000000;
	tell(&told, 1, DOWNLOADING, 20 * MIB, 40 * MIB);
	take(&p, &told);
	expect_row(&p, 1, "000000000001  downloading  [=================>                ]  20.0MiB of 40.0MiB  20.0MiB/s");
	expect_row(&p, 3, "1 of 3 layers  30.0MiB of 100.0MiB  20.0MiB/s");
	p.now_us += 1000000; /* it stands still */
	progress_tick(p.progress, p.now_us);
	play(&p);
	expect_row(&p, 3, "1 of 3 layers  30.0MiB of 100.0MiB  10.0MiB/s");
	tell(&told, 1, UNPACKING, 40 * MIB, 40 * MIB);
	take(&p, &told);
	expect_row(&p, 1, "000000000001  unpacking    40.0MiB");
	tell(&told, 1, DONE, 40 * MIB, 40 * MIB);
	tell(&told, 2, EXISTS, 50 * MIB, 50 * MIB);
	take(&p, &told);
	expect_row(&p, 1, "000000000001  done         40.0MiB");
	expect_row(&p, 3, "3 of 3 layers  100.0MiB");
	expect_row(&p, 4, "");
	assert_int_equal(p.terminal.row, 4); /* the cursor rests below */
	assert_int_equal(p.terminal.column, 0);
	pull_end(&p);
}

/* Whatever the size: nothing wraps, nothing scrolls out, and the sums are the last line. */
static void test_every_size(void **state)
{
	(void)state;
	for (unsigned columns = 2; columns < 150; columns += 7) {
		for (unsigned rows = 4; rows < 50; rows += 9) {
			struct told told;
			struct pull p;

			pull_begin(&p, columns, rows);
			told_init(&told);
			for (unsigned i = 0; i < MANY; i++)
				tell(&told, i, i < 3 ? DOWNLOADING : WAITING, i < 3 ? MIB : 0, 10 * MIB);
			take(&p, &told);
			for (unsigned i = 0; i < MANY; i++) {
				p.now_us += 100000;
				tell(&told, i, DONE, 10 * MIB, 10 * MIB);
				if (i + 3 < MANY)
					tell(&told, i + 3, DOWNLOADING, 5 * MIB, 10 * MIB);
				take(&p, &told);
				assert_int_equal(p.terminal.lost, 0);
			}
			if (columns > 30)
				assert_memory_equal(p.terminal.cells[p.terminal.row - 1], "100 of 100 layers  1000.0MiB",
						    strlen("100 of 100 layers  1000.0MiB"));
			pull_end(&p);
		}
	}
}

static void test_more_layers_than_lines(void **state)
{
	struct told told;
	struct pull p;

	(void)state;
	pull_begin(&p, 80, 8);
	told_init(&told);
	for (unsigned i = 0; i < 20; i++)
		tell(&told, i, i == 7 || i == 12 ? DOWNLOADING : i < 7 ? DONE : WAITING, 0, MIB);
	take(&p, &told);
	assert_memory_equal(p.terminal.cells[0], "000000000007  downloading", 25);
	assert_memory_equal(p.terminal.cells[1], "00000000000c  downloading", 25);
	expect_row(&p, 2, "7 of 20 layers  0B of 20.0MiB");
	assert_int_equal(p.terminal.row, 3);
	tell(&told, 12, DONE, MIB, MIB);
	take(&p, &told);
	assert_memory_equal(p.terminal.cells[0], "000000000007  downloading", 25);
	expect_row(&p, 1, "8 of 20 layers  1.0MiB of 20.0MiB");
	expect_row(&p, 2, ""); /* nothing of the higher picture is left */
	pull_end(&p);
}

static void test_resize(void **state)
{
	struct told told;
	struct pull p;

	(void)state;
	pull_begin(&p, 120, 24);
	told_init(&told);
	for (unsigned i = 0; i < 10; i++)
		tell(&told, i, DOWNLOADING, MIB, 2 * MIB);
	take(&p, &told);
	p.terminal.columns = 40;
	progress_resize(p.progress, (struct progress_screen){ 40, 24 }, p.now_us);
	play(&p);
	assert_int_equal(p.terminal.row, 22); /* a new picture below */
	p.terminal.columns = 100;
	progress_resize(p.progress, (struct progress_screen){ 100, 24 }, p.now_us);
	play(&p);
	assert_int_equal(p.terminal.row, 22); /* in place */
	progress_restart(p.progress);
	tell(&told, 0, DONE, 2 * MIB, 2 * MIB);
	take(&p, &told);
	assert_true(p.terminal.lost > 0); /* below once more */
	pull_end(&p);
}

static void test_lines(void **state)
{
	struct told told;
	struct pull p;

	(void)state;
	pull_begin(&p, 0, 0);
	told_init(&told);
	tell(&told, 0, EXISTS, MIB, MIB);
	tell(&told, 1, WAITING, 0, 40 * MIB);
	take(&p, &told);
	tell(&told, 1, DOWNLOADING, 0, 40 * MIB);
	take(&p, &told);
	for (int i = 1; i < 40; i++) {
		p.now_us += 500000;
		tell(&told, 1, DOWNLOADING, (uint64_t)i * MIB, 40 * MIB);
		take(&p, &told);
	}
	p.now_us += 500000;
	tell(&told, 1, UNPACKING, 40 * MIB, 40 * MIB);
	take(&p, &told);
	tell(&told, 1, DONE, 40 * MIB, 40 * MIB);
	take(&p, &told);
	assert_string_equal(p.text, "layer 000000000000: exists\n"
				    "layer 000000000001: downloading 40.0MiB\n"
				    "1 of 2 layers  21.0MiB of 41.0MiB  2.0MiB/s\n"
				    "1 of 2 layers  41.0MiB\n"
				    "layer 000000000001: done, 40.0MiB in 20.00s (2.0MiB/s)\n");
	pull_end(&p);
}

/* A daemon that tells nonsense does not break the terminal. */
static void test_nonsense(void **state)
{
	struct told told;
	struct pull p;

	(void)state;
	pull_begin(&p, 80, 24);
	told_init(&told);
	tell(&told, 4000000000U, DOWNLOADING, 0, MIB);
	tell(&told, 1, (Admin__LayerState)77, 0, MIB);
	take(&p, &told);
	assert_int_equal(p.len, 0);
	tell(&told, 1, DOWNLOADING, MIB, 0);
	(void)snprintf(told.digests[0], 80, "\033[2J\nabc");
	take(&p, &told);
	expect_row(&p, 0, "??2J?abc      downloading  1.0MiB of 0B");
	p.now_us += 1000000;
	tell(&told, 1, DOWNLOADING, 0, UINT64_MAX); /* back, and more than there is */
	take(&p, &told);
	pull_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_picture), cmocka_unit_test(test_every_size), cmocka_unit_test(test_more_layers_than_lines),
		cmocka_unit_test(test_resize),  cmocka_unit_test(test_lines),      cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
