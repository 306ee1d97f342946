#include "cli/table.h"

#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "cli/text.h"

void table_init(struct table *table, struct arena *arena, const char *const *headings)
{
	*table = (struct table){ .arena = arena };
	while (headings[table->n_columns])
		table->n_columns++;
	for (size_t i = 0; i < table->n_columns; i++)
		table_cell(table, headings[i]);
}

void table_cell(struct table *table, const char *text)
{
	if (table->n_cells == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 64;
		const char **cells = arena_new_array(table->arena, const char *, capacity);

		if (!cells)
			return;
		if (table->n_cells)
			memcpy(cells, table->cells, table->n_cells * sizeof(*cells));
		table->cells = cells;
		table->capacity = capacity;
	}
	table->cells[table->n_cells++] = text_clean(table->arena, text && text[0] ? text : "-");
}

void table_cellf(struct table *table, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	table_cell(table, text);
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < table->n_cells; i += table->n_columns) {
		size_t cell = text_width(table->cells[i]);

		width = cell > width ? cell : width;
	}
	return width;
}

static void print_row(const struct table *table, size_t first, const size_t *widths, FILE *out)
{
	for (size_t c = 0; c < table->n_columns; c++) {
		const char *cell = table->cells[first + c];
		size_t pad = c + 1 < table->n_columns ? widths[c] - text_width(cell) + 2 : 0;

		(void)fprintf(out, "%s%*s", cell, (int)pad, "");
	}
	(void)fputc('\n', out);
}

void table_print(const struct table *table, FILE *out)
{
	size_t *widths = arena_new_array(table->arena, size_t, table->n_columns);

	if (arena_failed(table->arena))
		return;
	for (size_t c = 0; c < table->n_columns; c++)
		widths[c] = column_width(table, c);
	for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
		print_row(table, i, widths, out);
}
