#include "cri/field.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The deepest path of the contract with the longest names has under 150 bytes. */
#define PATH_SIZE 256

static size_t format_name(const struct field *field, char *text, size_t size)
{
	const char *dot = field->parent ? "." : "";
	int len;

	if (field->index == FIELD_NO_INDEX)
		len = snprintf(text, size, "%s%s", dot, field->name);
	else
		len = snprintf(text, size, "%s%s[%ld]", dot, field->name, field->index);
	return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

/* Fills from the end, because the innermost names say most. */
void field_print(const struct field *field, char *text, size_t size)
{
	char name[96];
	size_t at = size - 1;

	text[at] = '\0';
	for (; field; field = field->parent) {
		size_t len = format_name(field, name, sizeof(name));

		if (len + 3 > at) {
			at -= at < 3 ? at : 3;
			memcpy(text + at, "...", 3);
			break;
		}
		at -= len;
		memcpy(text + at, name, len);
	}
	memmove(text, text + at, size - at);
}

int field_error(const struct field *field, struct error *err, enum error_code code, const char *fmt, ...)
{
	char path[PATH_SIZE], sentence[ERROR_TEXT_SIZE];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	field_print(field, path, sizeof(path));
	return error_set(err, code, "%s: %s", path, sentence);
}

static char harmless(char byte)
{
	if ((unsigned char)byte < 0x20 || byte == 0x7f)
		return '?';
	return byte == '"' ? '\'' : byte;
}

/* Steps back over the continuation bytes of a UTF-8 sequence that would be cut in the middle. */
static size_t whole_characters(const char *value, size_t len)
{
	while (len > 0 && ((unsigned char)value[len] & 0xc0) == 0x80)
		len--;
	return len;
}

const char *field_quote(char out[FIELD_QUOTE_SIZE], const char *value)
{
	const size_t room = FIELD_QUOTE_SIZE - sizeof("\"\"...");
	size_t len = strnlen(value, room + 1);
	const char *tail = len > room ? "..." : "";
	size_t kept = len > room ? whole_characters(value, room) : len;

	out[0] = '"';
	for (size_t i = 0; i < kept; i++)
		out[i + 1] = harmless(value[i]);
	(void)snprintf(out + kept + 1, FIELD_QUOTE_SIZE - kept - 1, "%s\"", tail);
	return out;
}
