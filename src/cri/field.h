/*
 * Where in a request a value stands, for error texts: "config.mounts[2].host_path".
 *
 * Frames live on the stack of the functions that walk a request, each pointing to the one above; the text is made only when something
 * is wrong.
 */
#ifndef MONOPOD_CRI_FIELD_H
#define MONOPOD_CRI_FIELD_H

#include <stddef.h>

#include "base/error.h"

#define FIELD_NO_INDEX (-1L)

struct field {
	const struct field *parent; /* NULL: a field of the request itself */
	const char *name;
	long index; /* of a repeated field, else FIELD_NO_INDEX */
};

/* A frame for the scope it is written in. */
#define FIELD(up, title) (&(const struct field){ .parent = (up), .name = (title), .index = FIELD_NO_INDEX })
#define ITEM(up, title, i) (&(const struct field){ .parent = (up), .name = (title), .index = (long)(i) })

/* The path; cut at the front ("...") when it does not fit. Always terminated. */
void field_print(const struct field *field, char *text, size_t size);

/* Sets "PATH: sentence" and returns -1. */
int field_error(const struct field *field, struct error *err, enum error_code code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A value for an error text: quoted, cut, control bytes and quotes replaced. Returns `out`. */
#define FIELD_QUOTE_SIZE 80
const char *field_quote(char out[FIELD_QUOTE_SIZE], const char *value);

#endif
