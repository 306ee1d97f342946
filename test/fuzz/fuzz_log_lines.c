/*
 * What a container writes, in pieces of any size. The first byte chooses the sizes; the rest is the output. Taking the entries apart gives
 * back every byte, in order, whatever the pieces were; no entry holds a newline or more than the limit.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "task/log_lines.h"

#define TIME_LEN 30
#define TEXT_AT (TIME_LEN + sizeof(" stdout F ") - 1)

static void format(const uint8_t *data, size_t size, size_t step, struct buffer *out)
{
	struct log_lines lines;
	struct error err = ERROR_INIT;

	log_lines_init(&lines, "stdout");
	for (size_t at = 0; at < size; at += step) {
		size_t len = size - at < step ? size - at : step;

		if (log_lines_feed(&lines, (const char *)data + at, len, INT64_C(1) << 60, out, &err) < 0)
			abort();
	}
	if (log_lines_end(&lines, INT64_C(1) << 60, out, &err) < 0)
		abort();
	log_lines_release(&lines);
}

/* One entry against the data; returns how much of the data it covers. */
static size_t check_entry(const char *entry, size_t len, const uint8_t *data, size_t left)
{
	size_t text_len = len - TEXT_AT;
	bool full = len >= TEXT_AT && entry[TEXT_AT - 2] == 'F';

	if (len < TEXT_AT || text_len > LOG_LINE_MAX || memcmp(entry + TIME_LEN, " stdout ", 8) != 0)
		abort();
	if (text_len > left || memcmp(entry + TEXT_AT, data, text_len) != 0)
		abort();
	if (full && (text_len == left || data[text_len] != '\n'))
		abort();
	return text_len + full;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer out = BUFFER_INIT((size_t)64 << 20);
	size_t step, covered = 0;

	if (size < 2)
		return 0;
	step = (size_t)data[0] * 67 + 1;
	data++;
	size--;
	format(data, size, step, &out);
	for (char *at = out.data; at && at < out.data + out.len;) {
		char *end = memchr(at, '\n', out.len - (size_t)(at - out.data));

		if (!end)
			abort();
		covered += check_entry(at, (size_t)(end - at), data + covered, size - covered);
		at = end + 1;
	}
	if (covered != size)
		abort();
	buffer_release(&out);
	return 0;
}
