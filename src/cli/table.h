/*
 * Tables for people: columns as wide as their widest cell, two spaces between. Cells are cleaned: what came from a pod or an image
 * must not move the cursor of the reader's terminal.
 */
#ifndef MONOPOD_CLI_TABLE_H
#define MONOPOD_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"

struct table {
	struct arena *arena;
	size_t n_columns;
	const char **cells; /* row by row, the headings first */
	size_t n_cells;
	size_t capacity;
};

/* `headings` ends with NULL. Running out of memory shows in the arena. */
void table_init(struct table *table, struct arena *arena, const char *const *headings);

/* The next cell, left to right, row by row; "" is printed as "-", so that every row has every column. Copied. */
void table_cell(struct table *table, const char *text);
void table_cellf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void table_print(const struct table *table, FILE *out);

#endif
