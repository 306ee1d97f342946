#include "base/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct parser {
	const struct option_rules *rules;
	struct arena *arena;
	int argc;
	char **argv;
	int next; /* index of the next word */
};

int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret_number, struct error *err)
{
	char *end = NULL;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (end == text || *end || errno)
		return error_set(err, ERR_INVALID, "'%s' is not a number", text);
	if (number < min || number > max)
		return error_set(err, ERR_INVALID, "%s is not within %lld and %lld", text, (long long)min, (long long)max);
	*ret_number = number;
	return 0;
}

struct unit {
	const char *suffix;
	int64_t factor;
};

static int parse_with_unit(const char *text, const struct unit *units, int64_t *ret_value, struct error *err)
{
	char *end = NULL;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (end == text || errno || number < 0)
		return error_set(err, ERR_INVALID, "'%s' is not a positive number", text);
	for (const struct unit *u = units; u->suffix; u++) {
		if (strcasecmp(end, u->suffix) != 0)
			continue;
		if (__builtin_mul_overflow(number, u->factor, ret_value))
			return error_set(err, ERR_INVALID, "'%s' is too large", text);
		return 0;
	}
	return error_set(err, ERR_INVALID, "'%s' has an unknown unit", text);
}

int parse_size(const char *text, int64_t *ret_bytes, struct error *err)
{
	static const struct unit units[] = { { "", 1 },         { "k", 1 << 10 },  { "m", 1 << 20 },  { "g", 1 << 30 }, { "b", 1 },
					     { "ki", 1 << 10 }, { "mi", 1 << 20 }, { "gi", 1 << 30 }, { NULL, 0 } };

	return parse_with_unit(text, units, ret_bytes, err);
}

int parse_duration(const char *text, int64_t *ret_ms, struct error *err)
{
	static const struct unit units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 }
	};

	return parse_with_unit(text, units, ret_ms, err);
}

static int list_append(struct arena *arena, struct text_list *list, const char *item, struct error *err)
{
	const char **items = arena_new_array(arena, const char *, list->n + 1);

	if (!items)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (list->n)
		memcpy(items, list->items, list->n * sizeof(*items));
	items[list->n] = item;
	list->items = items;
	list->n++;
	return 0;
}

static int store_number(const struct option_row *row, const char *value, int64_t *field, struct error *err)
{
	bool any = row->min == 0 && row->max == 0;

	return parse_number(value, any ? INT64_MIN : row->min, any ? INT64_MAX : row->max, field, err);
}

static int store_value(struct parser *p, const struct option_row *row, void *target, const char *value, struct error *err)
{
	void *field = (char *)target + row->offset;

	if (row->kind == OPTION_FLAG) {
		*(bool *)field = true;
		return 0;
	}
	if (!value)
		return error_set(err, ERR_INTERNAL, "option --%s has no value", row->name);
	switch (row->kind) {
	case OPTION_FLAG:
		break;
	case OPTION_TEXT:
		*(const char **)field = value;
		return 0;
	case OPTION_NUMBER:
		return store_number(row, value, field, err);
	case OPTION_SIZE:
		return parse_size(value, field, err);
	case OPTION_DURATION:
		return parse_duration(value, field, err);
	case OPTION_LIST:
		return list_append(p->arena, field, value, err);
	}
	return error_set(err, ERR_INTERNAL, "option --%s has no kind", row->name);
}

static const struct option_row *find_row(const struct option_rules *rules, char letter, const char *name, size_t name_len,
					 void **ret_target)
{
	for (size_t t = 0; t < rules->n_tables; t++) {
		for (const struct option_row *row = rules->tables[t].rows; row && row->name; row++) {
			bool match = letter ? row->letter == letter
					    : strlen(row->name) == name_len && memcmp(row->name, name, name_len) == 0;

			if (match) {
				*ret_target = rules->tables[t].target;
				return row;
			}
		}
	}
	return NULL;
}

/* The value of an option that needs one: what is glued to it, or else the next word. */
static int take_value(struct parser *p, const struct option_row *row, const char *glued, const char **ret_value, struct error *err)
{
	if (!glued && p->next >= p->argc)
		return error_set(err, ERR_INVALID, "option --%s needs a value", row->name);
	*ret_value = glued ? glued : p->argv[p->next++];
	return 0;
}

static int parse_long(struct parser *p, const char *word, struct error *err)
{
	const char *equals = strchr(word, '=');
	size_t name_len = equals ? (size_t)(equals - word) : strlen(word);
	const char *value = NULL;
	void *target = NULL;
	const struct option_row *row = find_row(p->rules, 0, word, name_len, &target);

	if (!row)
		return error_set(err, ERR_INVALID, "unknown option --%.*s", (int)name_len, word);
	if (!row->argument && equals)
		return error_set(err, ERR_INVALID, "option --%s takes no value", row->name);
	if (row->argument && take_value(p, row, equals ? equals + 1 : NULL, &value, err) < 0)
		return -1;
	if (store_value(p, row, target, value, err) < 0)
		return error_prefix(err, "option --%s", row->name);
	return 0;
}

static int parse_letters(struct parser *p, const char *letters, struct error *err)
{
	for (const char *c = letters; *c; c++) {
		const char *value = NULL;
		void *target = NULL;
		const struct option_row *row = find_row(p->rules, *c, NULL, 0, &target);

		if (!row)
			return error_set(err, ERR_INVALID, "unknown option -%c", *c);
		if (row->argument && take_value(p, row, c[1] ? c + 1 : NULL, &value, err) < 0)
			return -1;
		if (store_value(p, row, target, value, err) < 0)
			return error_prefix(err, "option -%c", *c);
		if (row->argument)
			break;
	}
	return 0;
}

int options_parse(const struct option_rules *rules, int argc, char **argv, struct arena *arena, char **ret_args, int *ret_n_args,
		  struct error *err)
{
	struct parser p = { .rules = rules, .arena = arena, .argc = argc, .argv = argv };
	bool ended = false;
	int n = 0;

	while (p.next < argc) {
		char *word = argv[p.next++];
		int status = 0;

		if (ended || word[0] != '-' || word[1] == '\0') {
			ret_args[n++] = word;
			ended = ended || rules->stop_at_argument;
		} else if (strcmp(word, "--") == 0) {
			ended = true;
		} else if (word[1] == '-') {
			status = parse_long(&p, word + 2, err);
		} else {
			status = parse_letters(&p, word + 1, err);
		}
		if (status < 0)
			return -1;
	}
	*ret_n_args = n;
	return 0;
}
