#include "cri/rule.h"

#include <string.h>

#include "proto/cri.pb-c.h"

/* protobuf-c gives every map an entry type of its own; all of map<string, string> have this shape. */
typedef Cri__PodSandboxConfig__LabelsEntry map_entry;
_Static_assert(offsetof(Cri__ContainerConfig__AnnotationsEntry, key) == offsetof(map_entry, key), "one shape of map entries");
_Static_assert(offsetof(Cri__ContainerConfig__AnnotationsEntry, value) == offsetof(map_entry, value), "one shape of map entries");

static const void *field_at(const void *message, size_t offset)
{
	return (const char *)message + offset;
}

static const char *text_at(const void *message, size_t offset)
{
	return *(char *const *)field_at(message, offset);
}

static size_t count_of(const struct rule *rule, const void *message)
{
	return *(const size_t *)field_at(message, rule->n_offset);
}

static int apply_text(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return text_check(FIELD(at, rule->name), rule->text, text_at(message, rule->offset), err);
}

static int check_count(const struct field *at, const struct rule *rule, size_t count, struct error *err)
{
	if (count <= rule->limit)
		return 0;
	return field_error(FIELD(at, rule->name), err, ERR_INVALID, "has %zu items, the limit is %zu", count, rule->limit);
}

static int apply_texts(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	char *const *items = *(char **const *)field_at(message, rule->offset);
	size_t count = count_of(rule, message);

	if (check_count(at, rule, count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (text_check(ITEM(at, rule->name, i), rule->text, items[i], err) < 0)
			return -1;
	}
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No encoder writes a key twice, and which of the two counts would be anybody's guess. */
static int check_unique(const struct field *at, const char **keys, size_t count, struct error *err)
{
	char quoted[FIELD_QUOTE_SIZE];

	qsort(keys, count, sizeof(keys[0]), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (!strcmp(keys[i - 1], keys[i]))
			return field_error(at, err, ERR_INVALID, "has the key %s twice", field_quote(quoted, keys[i]));
	}
	return 0;
}

static int check_entry(const struct field *at, const struct rule *rule, const char *key, const char *value, struct error *err)
{
	if (text_check(FIELD(at, "key"), rule->text, key, err) < 0)
		return -1;
	return text_check(FIELD(at, "value"), rule->value, value, err);
}

static int check_entries(const struct field *at, const struct rule *rule, const void *message, const char **keys, struct error *err)
{
	const void *const *entries = *(const void *const *const *)field_at(message, rule->offset);
	size_t count = count_of(rule, message);
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		const char *value = text_at(entries[i], offsetof(map_entry, value));

		keys[i] = text_at(entries[i], offsetof(map_entry, key));
		bytes += strlen(keys[i]) + strlen(value);
		if (check_entry(ITEM(at, rule->name, i), rule, keys[i], value, err) < 0)
			return -1;
	}
	if (bytes > rule->limit)
		return field_error(FIELD(at, rule->name), err, ERR_INVALID, "has %zu bytes in all, the limit is %zu", bytes,
				   rule->limit);
	return check_unique(FIELD(at, rule->name), keys, count, err);
}

static int apply_map(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	size_t count = count_of(rule, message);
	_cleanup_free_
	const char **keys = NULL;

	if (count == 0)
		return 0;
	keys = calloc(count, sizeof(keys[0]));
	if (!keys)
		return error_set(err, ERR_EXHAUSTED, "out of memory to check a request");
	return check_entries(at, rule, message, keys, err);
}

static int check_number(const struct field *at, const struct rule *rule, int64_t value, struct error *err)
{
	if (value >= rule->min && value <= rule->max)
		return 0;
	return field_error(at, err, ERR_INVALID, "must be from %lld to %lld, not %lld", (long long)rule->min, (long long)rule->max,
			   (long long)value);
}

static int apply_int32(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return check_number(FIELD(at, rule->name), rule, *(const int32_t *)field_at(message, rule->offset), err);
}

static int apply_int64(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return check_number(FIELD(at, rule->name), rule, *(const int64_t *)field_at(message, rule->offset), err);
}

static int apply_int64s(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	const int64_t *items = *(int64_t *const *)field_at(message, rule->offset);
	size_t count = count_of(rule, message);

	if (check_count(at, rule, count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (check_number(ITEM(at, rule->name, i), rule, items[i], err) < 0)
			return -1;
	}
	return 0;
}

static const void *message_at(const struct rule *rule, const void *message)
{
	return *(const void *const *)field_at(message, rule->offset);
}

static int apply_boxed(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	const Cri__Int64Value *box = message_at(rule, message);

	return box ? check_number(FIELD(at, rule->name), rule, box->value, err) : 0;
}

static int apply_needed(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return message_at(rule, message) ? 0 : field_error(FIELD(at, rule->name), err, ERR_INVALID, "missing");
}

static int apply_refused(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return message_at(rule, message) ? field_error(FIELD(at, rule->name), err, ERR_INVALID, "%s", rule->why) : 0;
}

static int not_yet(const struct field *at, const struct rule *rule, struct error *err)
{
	return field_error(FIELD(at, rule->name), err, ERR_UNIMPLEMENTED, "%s", rule->why);
}

static int apply_later_message(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return message_at(rule, message) ? not_yet(at, rule, err) : 0;
}

static int apply_later_list(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return count_of(rule, message) > 0 ? not_yet(at, rule, err) : 0;
}

static int apply_later_flag(const struct field *at, const struct rule *rule, const void *message, struct error *err)
{
	return *(const protobuf_c_boolean *)field_at(message, rule->offset) ? not_yet(at, rule, err) : 0;
}

static int (*const appliers[])(const struct field *, const struct rule *, const void *, struct error *) = {
	[RULE_TEXT] = apply_text,
	[RULE_TEXTS] = apply_texts,
	[RULE_MAP] = apply_map,
	[RULE_INT32] = apply_int32,
	[RULE_INT64] = apply_int64,
	[RULE_INT64S] = apply_int64s,
	[RULE_BOXED] = apply_boxed,
	[RULE_NEEDED] = apply_needed,
	[RULE_REFUSED] = apply_refused,
	[RULE_LATER_MESSAGE] = apply_later_message,
	[RULE_LATER_LIST] = apply_later_list,
	[RULE_LATER_FLAG] = apply_later_flag,
};

int rules_apply(const struct field *at, const struct rule *rules, size_t n_rules, const void *message, struct error *err)
{
	for (size_t i = 0; i < n_rules; i++) {
		if (appliers[rules[i].kind](at, &rules[i], message, err) < 0)
			return -1;
	}
	return 0;
}
