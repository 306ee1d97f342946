/* Inside the TOML reader: toml.c has keys and tables, toml_value.c what stands behind an equals sign. */
#ifndef MONOPOD_IMAGE_TOML_IMPL_H
#define MONOPOD_IMAGE_TOML_IMPL_H

#include "base/buffer.h"
#include "image/toml.h"

struct toml_reader {
	const char *at, *end;
	int line;
	struct arena *arena;
	struct buffer scratch; /* the string that is being read */
	size_t n_nodes;
};

#define toml_fail(r, err, ...) (error_record((err), ERR_INVALID, __VA_ARGS__), error_prefix((err), "line %d", (r)->line))

/* The character under the reader; NUL at the end, which no valid text holds. */
static inline char toml_peek(const struct toml_reader *r)
{
	return r->at < r->end ? *r->at : '\0';
}

void toml_skip_space(struct toml_reader *r);                   /* spaces and tabs */
bool toml_take_newline(struct toml_reader *r);                 /* "\n" or "\r\n" */
int toml_skip_blank(struct toml_reader *r, struct error *err); /* lines that say nothing, and comments */
bool toml_is_control(char c);                                  /* what may stand nowhere; a tab may */
struct toml *toml_new(struct toml_reader *r, struct toml *parent, const char *key, enum toml_type type, struct error *err);

/* A string at its first quote, to memory of the arena. A key must not go over several lines. */
int toml_read_string(struct toml_reader *r, bool may_be_long, const char **ret_text, struct error *err);

/* The value of `key`, added to `parent`. */
int toml_read_value(struct toml_reader *r, struct toml *parent, const char *key, unsigned depth, struct error *err);

/* "KEY = VALUE", KEY relative to `table`. */
int toml_read_pair(struct toml_reader *r, struct toml *table, unsigned depth, struct error *err);

/* Origins of tables. One that only a longer header has named has none yet. */
enum {
	TOML_BY_HEADER = 1, /* [a.b] */
	TOML_BY_DOTS = 2,   /* a.b = 1 */
	TOML_INLINE = 4,    /* { ... }: closed */
};

#endif
