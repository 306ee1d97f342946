/*
 * Command-line options from a table: the parser fills a struct by offset, and the same rows are printed as --help and man page.
 *
 * Spellings: -x, -xVALUE, -x VALUE, --name, --name=VALUE, --name VALUE, several flags in one -xyz, and -- to end options. Options and
 * arguments may be mixed, unless the command hands its tail to somebody else (exec, run): then options end at the first argument.
 */
#ifndef MONOPOD_BASE_OPTIONS_H
#define MONOPOD_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* The type of the field at `offset`. */
enum option_kind {
	OPTION_FLAG,     /* bool */
	OPTION_TEXT,     /* const char * */
	OPTION_NUMBER,   /* int64_t, decimal, within min..max of the row */
	OPTION_SIZE,     /* int64_t bytes: a number with k, m or g (powers of 1024) */
	OPTION_DURATION, /* int64_t milliseconds: a number with ms, s, m or h; without a unit, seconds */
	OPTION_LIST,     /* struct text_list: may be given again */
};

struct text_list {
	const char **items; /* of the arena; the strings are argv's */
	size_t n;
};

struct option_row {
	char letter; /* 0: only the long name */
	const char *name;
	const char *argument; /* what --help calls the value; NULL for a flag */
	enum option_kind kind;
	size_t offset;
	const char *help; /* one sentence without full stop, in roman type */
	int64_t min, max; /* OPTION_NUMBER; both 0: any */
};

/* Rows end with one whose name is NULL. */
#define NO_MORE_OPTIONS                                                                                                            \
	{                                                                                                                          \
		.name = NULL                                                                                                       \
	}

struct option_table {
	const struct option_row *rows;
	void *target;
};

struct option_rules {
	const struct option_table *tables; /* searched in order */
	size_t n_tables;
	bool stop_at_argument;
};

/* Reads argv[0..argc) (no program name). Arguments are put into ret_args (room for argc pointers), in order. On failure (always
 * ERR_INVALID) the targets may be half filled. */
int options_parse(const struct option_rules *rules, int argc, char **argv, struct arena *arena, char **ret_args, int *ret_n_args,
		  struct error *err);

/* "10", "64m", "2G" to bytes; "1500ms", "90", "2m", "1h" to milliseconds. */
int parse_size(const char *text, int64_t *ret_bytes, struct error *err);
int parse_duration(const char *text, int64_t *ret_ms, struct error *err);
int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret_number, struct error *err);

#endif
