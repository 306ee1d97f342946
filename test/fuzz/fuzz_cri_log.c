/*
 * A log file as a container's runtime, another runtime or a failing disk left it. Whatever it holds, each line is taken apart into pieces
 * of itself or printed as it is, and a time that is understood is the same time when it is written again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cri_log.h"
#include "fuzz.h"

static void check_time(const struct cri_log_line *line)
{
	char text[CLOCK_TEXT_SIZE];
	int64_t ns;
	int64_t again;

	if (rfc3339_parse(line->time, line->time_len, &ns) < 0)
		return;
	/* 1970 to 2200, less or more an offset of a day. */
	if (ns < -INT64_C(86400000000000) || ns > INT64_C(7290000000000000000))
		abort();
	/* What lies outside of those years by its offset or a leap second is not written back. */
	if (ns < 0 || ns >= INT64_C(7289654400000000000))
		return;
	clock_format_rfc3339(text, ns);
	if (rfc3339_parse(text, strlen(text), &again) < 0 || again != ns)
		abort();
}

static void check_line(const char *text, size_t len)
{
	struct cri_log_line line;

	if (cri_log_parse(text, len, &line) < 0)
		return;
	if (line.time < text || line.time_len == 0 || line.text < line.time + line.time_len ||
	    line.text + line.text_len != text + len)
		abort();
	check_time(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *printed = NULL;
	size_t printed_size = 0;
	FILE *out = open_memstream(&printed, &printed_size);
	struct log_printer printer = { .streams = { out, out }, .timestamps = true };
	const char *at = (const char *)data;
	const char *end = at + size;

	while (out && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline ? newline : end) - at);

		check_line(at, len);
		log_printer_put(&printer, at, len);
		at += len + 1;
	}
	if (out)
		(void)fclose(out);
	/* Nothing is made up but line ends. */
	if (printed_size > size + 1)
		abort();
	free(printed);
	return 0;
}
