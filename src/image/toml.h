/*
 * A reader for the part of TOML 1.0 (toml.io/en/v1.0.0) that a registry's host file can hold: comments, bare, quoted and dotted keys,
 * the four kinds of strings, integers, booleans, arrays, inline tables and tables. What is no TOML, and the rest of TOML (fractions,
 * dates, arrays of tables), is an error that names the line.
 *
 * Debian has no C library for TOML. A host file decides where credentials go, so it is read strictly: nothing is guessed or skipped.
 */
#ifndef MONOPOD_IMAGE_TOML_H
#define MONOPOD_IMAGE_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* A few lines for each mirror: a thousand mirrors (arbitrary). */
#define TOML_MAX_BYTES ((size_t)256 * 1024)

/* Values and tables; keys are looked up one by one. */
#define TOML_MAX_NODES 4096

/* Arrays and inline tables inside each other, and the parts of one dotted key. A host file needs four. */
#define TOML_MAX_DEPTH 16

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_ARRAY, TOML_TABLE };

struct toml {
	enum toml_type type;
	const char *key; /* "" in an array, and of the root */
	int line;
	const char *text; /* of a string: UTF-8 without NUL */
	int64_t integer;
	bool boolean;
	struct toml *first, *last; /* what an array or table holds, in the order of the file */
	struct toml *next;
	unsigned origin; /* private: how a table came to be */
};

/* The whole document lives in `arena`. ERR_INVALID begins with "line N: "; ERR_EXHAUSTED over the limits above. */
int toml_parse(const char *text, size_t len, struct arena *arena, const struct toml **ret_root, struct error *err);

/* NULL when there is no such member. */
const struct toml *toml_get(const struct toml *table, const char *key);

/* "a string", "a table", ...: for errors. */
const char *toml_type_name(enum toml_type type);

#endif
