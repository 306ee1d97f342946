#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/toml_impl.h"

/* ---- strings ---- */

static int put(struct toml_reader *r, const char *data, size_t len, struct error *err)
{
	return buffer_append(&r->scratch, data, len, err);
}

/* RFC 3629. Surrogates and what is past U+10FFFF are no characters; NUL would end a C string. */
static int put_codepoint(struct toml_reader *r, unsigned long c, struct error *err)
{
	char text[4];

	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return toml_fail(r, err, "the escape of U+%04lX is no character", c);
	if (c < 0x80) {
		text[0] = (char)c;
		return put(r, text, 1, err);
	}
	if (c < 0x800) {
		text[0] = (char)(0xc0 | c >> 6);
		text[1] = (char)(0x80 | (c & 0x3f));
		return put(r, text, 2, err);
	}
	if (c < 0x10000) {
		text[0] = (char)(0xe0 | c >> 12);
		text[1] = (char)(0x80 | (c >> 6 & 0x3f));
		text[2] = (char)(0x80 | (c & 0x3f));
		return put(r, text, 3, err);
	}
	text[0] = (char)(0xf0 | c >> 18);
	text[1] = (char)(0x80 | (c >> 12 & 0x3f));
	text[2] = (char)(0x80 | (c >> 6 & 0x3f));
	text[3] = (char)(0x80 | (c & 0x3f));
	return put(r, text, 4, err);
}

static int read_codepoint(struct toml_reader *r, size_t digits, struct error *err)
{
	char hex[9] = "";

	if ((size_t)(r->end - r->at) < digits)
		return toml_fail(r, err, "the string does not end");
	memcpy(hex, r->at, digits);
	if (strspn(hex, "0123456789abcdefABCDEF") != digits)
		return toml_fail(r, err, "\\%c needs %zu hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
	r->at += digits;
	return put_codepoint(r, strtoul(hex, NULL, 16), err);
}

/* Behind the backslash. */
static int read_escape(struct toml_reader *r, struct error *err)
{
	static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
	char c = toml_peek(r);
	const char *found = c ? strchr(names, c) : NULL;

	if (found) {
		r->at++;
		return put(r, &values[found - names], 1, err);
	}
	if (c != 'u' && c != 'U')
		return toml_fail(r, err, "unknown escape in a string: use '...' for text with backslashes");
	r->at++;
	return read_codepoint(r, c == 'u' ? 4 : 8, err);
}

/* A backslash at the end of a line joins it with what follows its white space. */
static bool join_lines(struct toml_reader *r)
{
	const char *start = r->at;

	toml_skip_space(r);
	if (!toml_take_newline(r)) {
		r->at = start;
		return false;
	}
	do
		toml_skip_space(r);
	while (toml_take_newline(r));
	return true;
}

static size_t count_quotes(const struct toml_reader *r, char quote)
{
	size_t n = 0;

	while (r->at + n < r->end && r->at[n] == quote)
		n++;
	return n;
}

/* At a quote inside a long string: three end it, and up to two before those belong to it. */
static int read_quotes(struct toml_reader *r, char quote, bool *ret_ended, struct error *err)
{
	size_t n = count_quotes(r, quote);
	size_t inside = n < 3 ? n : n - 3;

	if (n > 5)
		return toml_fail(r, err, "too many quotes at the end of a string");
	if (put(r, r->at, inside, err) < 0)
		return -1;
	r->at += n;
	*ret_ended = n >= 3;
	return 0;
}

static int read_plain(struct toml_reader *r, struct error *err)
{
	if (toml_is_control(toml_peek(r)))
		return toml_fail(r, err, "control character in a string");
	return put(r, r->at++, 1, err);
}

static int read_long(struct toml_reader *r, char quote, struct error *err)
{
	bool ended = false;

	(void)toml_take_newline(r);
	while (!ended) {
		int result;

		if (r->at == r->end)
			return toml_fail(r, err, "the string does not end");
		if (*r->at == quote)
			result = read_quotes(r, quote, &ended, err);
		else if (toml_take_newline(r))
			result = put(r, "\n", 1, err);
		else if (quote == '"' && *r->at == '\\')
			result = (r->at++, join_lines(r)) ? 0 : read_escape(r, err);
		else
			result = read_plain(r, err);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int read_short(struct toml_reader *r, char quote, struct error *err)
{
	for (;;) {
		char c = toml_peek(r);
		int result;

		if (r->at == r->end || c == '\n' || c == '\r')
			return toml_fail(r, err, "the string does not end");
		if (c == quote) {
			r->at++;
			return 0;
		}
		result = quote == '"' && c == '\\' ? (r->at++, read_escape(r, err)) : read_plain(r, err);
		if (result < 0)
			return -1;
	}
}

int toml_read_string(struct toml_reader *r, bool may_be_long, const char **ret_text, struct error *err)
{
	char quote = *r->at;
	bool is_long = count_quotes(r, quote) >= 3;

	if (is_long && !may_be_long)
		return toml_fail(r, err, "a key cannot have several lines");
	buffer_clear(&r->scratch);
	r->at += is_long ? 3 : 1;
	if ((is_long ? read_long(r, quote, err) : read_short(r, quote, err)) < 0)
		return -1;
	*ret_text = r->scratch.len > 0 ? arena_strndup(r->arena, r->scratch.data, r->scratch.len) : "";
	return *ret_text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int read_text(struct toml_reader *r, struct toml *parent, const char *key, struct error *err)
{
	struct toml *node = toml_new(r, parent, key, TOML_STRING, err);

	return node ? toml_read_string(r, true, &node->text, err) : -1;
}

/* ---- words ---- */

/* Digits of `base` to `to`, without the underscores that may stand between two of them. */
static bool copy_digits(const char *word, size_t len, int base, char *to)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	size_t n = 0, n_digits = base == 16 ? 22 : (size_t)base;

	for (size_t i = 0; i < len; i++) {
		if (word[i] == '_' && i > 0 && i + 1 < len && word[i - 1] != '_' && word[i + 1] != '_')
			continue;
		if (!memchr(digits, word[i], n_digits))
			return false;
		to[n++] = word[i];
	}
	to[n] = '\0';
	return n > 0;
}

/* 64 binary digits and as many underscores. */
#define MAX_WORD 160

static bool read_integer(const char *word, size_t len, int64_t *ret)
{
	bool has_sign = *word == '+' || *word == '-';
	char text[MAX_WORD + 2];
	size_t skip = has_sign;
	int base = 10;

	if (!has_sign && len > 2 && word[0] == '0' && strchr("xob", word[1])) {
		base = word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : 2;
		skip = 2;
	}
	if (!copy_digits(word + skip, len - skip, base, text + 1) || (base == 10 && text[1] == '0' && text[2] != '\0'))
		return false;
	text[0] = *word == '-' ? '-' : '+';
	errno = 0;
	*ret = strtoll(text, NULL, base);
	return errno == 0;
}

/* Numbers, dates and the words of TOML. */
static size_t word_len(const struct toml_reader *r)
{
	static const char chars[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-_.:";
	size_t n = 0;

	while (r->at + n < r->end && memchr(chars, r->at[n], sizeof(chars) - 1))
		n++;
	return n;
}

static int read_word(struct toml_reader *r, struct toml *parent, const char *key, struct error *err)
{
	const char *word = r->at;
	size_t len = word_len(r);
	bool is_true = len == 4 && !memcmp(word, "true", 4), is_false = len == 5 && !memcmp(word, "false", 5);
	int64_t integer = 0;
	struct toml *node;

	if (len == 0)
		return toml_fail(r, err, "a value is missing");
	if (len > MAX_WORD || (!is_true && !is_false && !read_integer(word, len, &integer)))
		return toml_fail(r, err,
				 "'%.*s' is no value: strings need quotes; numbers are whole ones, and dates have no use here",
				 (int)(len < 60 ? len : 60), word);
	node = toml_new(r, parent, key, is_true || is_false ? TOML_BOOLEAN : TOML_INTEGER, err);
	if (!node)
		return -1;
	node->boolean = is_true;
	node->integer = integer;
	r->at += len;
	return 0;
}

/* ---- what holds values ---- */

static int read_array(struct toml_reader *r, struct toml *parent, const char *key, unsigned depth, struct error *err)
{
	struct toml *array = toml_new(r, parent, key, TOML_ARRAY, err);

	if (!array)
		return -1;
	r->at++;
	for (;;) {
		if (toml_skip_blank(r, err) < 0)
			return -1;
		if (toml_peek(r) == ']')
			break;
		if (toml_read_value(r, array, "", depth + 1, err) < 0 || toml_skip_blank(r, err) < 0)
			return -1;
		if (toml_peek(r) == ',')
			r->at++;
		else if (toml_peek(r) != ']')
			return toml_fail(r, err, "',' or ']' is missing in a list");
	}
	r->at++;
	return 0;
}

/* On one line, and no comma behind the last (TOML 1.0, "Inline Table"). */
static int read_inline(struct toml_reader *r, struct toml *parent, const char *key, unsigned depth, struct error *err)
{
	struct toml *table = toml_new(r, parent, key, TOML_TABLE, err);

	if (!table)
		return -1;
	table->origin = TOML_INLINE;
	r->at++;
	toml_skip_space(r);
	if (toml_peek(r) == '}') {
		r->at++;
		return 0;
	}
	for (;;) {
		toml_skip_space(r);
		if (toml_read_pair(r, table, depth + 1, err) < 0)
			return -1;
		toml_skip_space(r);
		if (toml_peek(r) == '}')
			break;
		if (toml_peek(r) != ',')
			return toml_fail(r, err, "',' or '}' is missing in a table on one line");
		r->at++;
	}
	r->at++;
	return 0;
}

int toml_read_value(struct toml_reader *r, struct toml *parent, const char *key, unsigned depth, struct error *err)
{
	if (depth > TOML_MAX_DEPTH)
		return error_set(err, ERR_EXHAUSTED, "line %d: more than %d lists and tables in each other", r->line,
				 TOML_MAX_DEPTH);
	switch (toml_peek(r)) {
	case '"':
	case '\'':
		return read_text(r, parent, key, err);
	case '[':
		return read_array(r, parent, key, depth, err);
	case '{':
		return read_inline(r, parent, key, depth, err);
	default:
		return read_word(r, parent, key, err);
	}
}
