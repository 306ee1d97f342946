#include "task/log_lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void log_lines_init(struct log_lines *lines, const char *stream)
{
	*lines = (struct log_lines){ .stream = stream };
}

void log_lines_release(struct log_lines *lines)
{
	free(lines->held);
	lines->held = NULL;
	lines->held_len = 0;
}

/* One entry: what is held, then `data`. */
static int emit(struct log_lines *lines, const char *time, char tag, const char *data, size_t len, struct buffer *out,
		struct error *err)
{
	size_t held_len = lines->held_len;

	lines->held_len = 0;
	if (buffer_reserve(out, LOG_PREFIX_MAX + held_len + len + 1, err) < 0 ||
	    buffer_printf(out, err, "%s %s %c ", time, lines->stream, tag) < 0)
		return -1;
	if ((held_len > 0 && buffer_append(out, lines->held, held_len, err) < 0) || buffer_append(out, data, len, err) < 0)
		return -1;
	return buffer_append(out, "\n", 1, err);
}

static int hold(struct log_lines *lines, const char *data, size_t len, struct error *err)
{
	if (!lines->held && !(lines->held = malloc(LOG_LINE_MAX)))
		return error_set(err, ERR_EXHAUSTED, "hold back a log line: out of memory");
	memcpy(lines->held + lines->held_len, data, len);
	lines->held_len += len;
	return 0;
}

/* Takes one entry from the front of `data`, or holds all of it back. Returns the bytes used, or -1. */
static ssize_t take(struct log_lines *lines, const char *time, const char *data, size_t len, struct buffer *out, struct error *err)
{
	size_t room = LOG_LINE_MAX - lines->held_len;
	const char *newline = memchr(data, '\n', len <= room ? len : room + 1);

	if (newline)
		return emit(lines, time, 'F', data, (size_t)(newline - data), out, err) < 0 ? -1 : newline - data + 1;
	if (len > room)
		return emit(lines, time, 'P', data, room, out, err) < 0 ? -1 : (ssize_t)room;
	return len > 0 && hold(lines, data, len, err) < 0 ? -1 : (ssize_t)len;
}

int log_lines_feed(struct log_lines *lines, const char *data, size_t len, int64_t realtime_ns, struct buffer *out,
		   struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	clock_format_rfc3339(time, realtime_ns);
	while (len > 0) {
		ssize_t used = take(lines, time, data, len, out, err);

		if (used < 0)
			return -1;
		data += used;
		len -= (size_t)used;
	}
	return 0;
}

int log_lines_end(struct log_lines *lines, int64_t realtime_ns, struct buffer *out, struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	if (lines->held_len == 0)
		return 0;
	clock_format_rfc3339(time, realtime_ns);
	return emit(lines, time, 'P', "", 0, out, err);
}
