#include "image/toml.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "image/toml_impl.h"

/* ---- white space ---- */

bool toml_is_control(char c)
{
	return (unsigned char)c < 0x20 ? c != '\t' : c == 0x7f;
}

void toml_skip_space(struct toml_reader *r)
{
	while (toml_peek(r) == ' ' || toml_peek(r) == '\t')
		r->at++;
}

bool toml_take_newline(struct toml_reader *r)
{
	size_t len = toml_peek(r) == '\r' && r->end - r->at > 1 && r->at[1] == '\n' ? 2 : toml_peek(r) == '\n';

	r->at += len;
	r->line += len > 0;
	return len > 0;
}

static int skip_comment(struct toml_reader *r, struct error *err)
{
	if (toml_peek(r) != '#')
		return 0;
	while (r->at < r->end && !toml_is_control(*r->at))
		r->at++;
	if (r->at < r->end && *r->at != '\n' && !(r->end - r->at > 1 && r->at[0] == '\r' && r->at[1] == '\n'))
		return toml_fail(r, err, "control character in a comment");
	return 0;
}

int toml_skip_blank(struct toml_reader *r, struct error *err)
{
	do {
		toml_skip_space(r);
		if (skip_comment(r, err) < 0)
			return -1;
	} while (toml_take_newline(r));
	return 0;
}

static int end_line(struct toml_reader *r, struct error *err)
{
	toml_skip_space(r);
	if (skip_comment(r, err) < 0)
		return -1;
	if (r->at == r->end || toml_take_newline(r))
		return 0;
	return toml_fail(r, err, "the line goes on behind its end: each setting has a line of its own");
}

/* ---- nodes ---- */

const struct toml *toml_get(const struct toml *table, const char *key)
{
	const struct toml *node = table->first;

	while (node && strcmp(node->key, key) != 0)
		node = node->next;
	return node;
}

static struct toml *find(struct toml *table, const char *key)
{
	struct toml *node = table->first;

	while (node && strcmp(node->key, key) != 0)
		node = node->next;
	return node;
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = { "a string", "a number", "a boolean", "a list", "a table" };

	return names[type];
}

struct toml *toml_new(struct toml_reader *r, struct toml *parent, const char *key, enum toml_type type, struct error *err)
{
	struct toml *node = NULL;

	if (r->n_nodes++ < TOML_MAX_NODES)
		node = arena_new(r->arena, struct toml);
	if (!node) {
		(void)error_set(err, ERR_EXHAUSTED, r->n_nodes > TOML_MAX_NODES ? "line %d: more than %d values" : "out of memory",
				r->line, TOML_MAX_NODES);
		return NULL;
	}
	node->type = type;
	node->key = key;
	node->line = r->line;
	node->text = "";
	if (parent && parent->last)
		parent->last->next = node;
	else if (parent)
		parent->first = node;
	if (parent)
		parent->last = node;
	return node;
}

/* ---- keys ---- */

struct key {
	const char *parts[TOML_MAX_DEPTH];
	size_t n;
};

static int read_part(struct toml_reader *r, const char **ret_part, struct error *err)
{
	static const char bare[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	size_t n = 0;

	if (toml_peek(r) == '"' || toml_peek(r) == '\'')
		return toml_read_string(r, false, ret_part, err);
	while (r->at + n < r->end && memchr(bare, r->at[n], sizeof(bare) - 1))
		n++;
	if (n == 0)
		return toml_fail(r, err,
				 "a name is missing (names with other characters than letters, digits, '-' and '_' need quotes)");
	*ret_part = arena_strndup(r->arena, r->at, n);
	r->at += n;
	return *ret_part ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int read_key(struct toml_reader *r, struct key *key, struct error *err)
{
	key->n = 0;
	for (;;) {
		if (key->n == TOML_MAX_DEPTH)
			return error_set(err, ERR_EXHAUSTED, "line %d: a name of more than %d parts", r->line, TOML_MAX_DEPTH);
		if (read_part(r, &key->parts[key->n], err) < 0)
			return -1;
		key->n++;
		toml_skip_space(r);
		if (toml_peek(r) != '.')
			return 0;
		r->at++;
		toml_skip_space(r);
	}
}

/* The table that `part` names inside `table`, made when it is not there. Headers go through any table that is not closed; dotted keys
 * only through what dotted keys made (TOML 1.0, "Table"). */
static struct toml *step_into(struct toml_reader *r, struct toml *table, const char *part, unsigned origin, struct error *err)
{
	struct toml *next = find(table, part);

	if (!next) {
		next = toml_new(r, table, part, TOML_TABLE, err);
		if (next)
			next->origin = origin;
		return next;
	}
	if (next->type == TOML_TABLE && next->origin != TOML_INLINE && (!origin || next->origin == origin))
		return next;
	(void)toml_fail(r, err, "'%.100s' is defined already, in line %d", part, next->line);
	return NULL;
}

int toml_read_pair(struct toml_reader *r, struct toml *table, unsigned depth, struct error *err)
{
	const char *last;
	struct key key;

	if (read_key(r, &key, err) < 0)
		return -1;
	for (size_t i = 0; i + 1 < key.n; i++) {
		table = step_into(r, table, key.parts[i], TOML_BY_DOTS, err);
		if (!table)
			return -1;
	}
	last = key.parts[key.n - 1];
	if (find(table, last))
		return toml_fail(r, err, "'%.100s' is defined already, in line %d", last, find(table, last)->line);
	if (toml_peek(r) != '=')
		return toml_fail(r, err, "'=' is missing behind '%.100s'", last);
	r->at++;
	toml_skip_space(r);
	return toml_read_value(r, table, last, depth, err);
}

/* ---- the document ---- */

static int open_table(struct toml_reader *r, struct toml *root, const struct key *key, struct toml **ret_table, struct error *err)
{
	struct toml *table = root;

	for (size_t i = 0; i < key->n; i++) {
		table = step_into(r, table, key->parts[i], 0, err);
		if (!table)
			return -1;
	}
	if (table->origin)
		return toml_fail(r, err, "'%.100s' is defined already, in line %d", table->key, table->line);
	table->origin = TOML_BY_HEADER;
	*ret_table = table;
	return 0;
}

/* Behind the bracket. */
static int read_header(struct toml_reader *r, struct toml *root, struct toml **ret_table, struct error *err)
{
	struct key key;

	if (toml_peek(r) == '[')
		return toml_fail(r, err, "lists of tables ([[...]]) have no use here");
	toml_skip_space(r);
	if (read_key(r, &key, err) < 0)
		return -1;
	if (toml_peek(r) != ']')
		return toml_fail(r, err, "']' is missing");
	r->at++;
	return open_table(r, root, &key, ret_table, err);
}

static int read_document(struct toml_reader *r, struct toml *root, struct error *err)
{
	struct toml *table = root;

	for (;;) {
		int result;

		if (toml_skip_blank(r, err) < 0)
			return -1;
		if (r->at == r->end)
			return 0;
		if (*r->at == '[')
			result = (r->at++, read_header(r, root, &table, err));
		else
			result = toml_read_pair(r, table, 1, err);
		if (result < 0 || end_line(r, err) < 0)
			return -1;
	}
}

int toml_parse(const char *text, size_t len, struct arena *arena, const struct toml **ret_root, struct error *err)
{
	struct toml_reader r = { .at = text, .end = text + len, .line = 1, .arena = arena, .scratch = BUFFER_INIT(TOML_MAX_BYTES) };
	struct toml *root;
	int result = -1;

	if (len > TOML_MAX_BYTES)
		return error_set(err, ERR_EXHAUSTED, "it is longer than %zu bytes", TOML_MAX_BYTES);
	if (!utf8_is_text((const uint8_t *)text, len))
		return error_set(err, ERR_INVALID, "it is not UTF-8 text");
	root = toml_new(&r, NULL, "", TOML_TABLE, err);
	if (root)
		result = read_document(&r, root, err);
	buffer_release(&r.scratch);
	if (result == 0)
		*ret_root = root;
	return result;
}
