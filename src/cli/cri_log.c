#include "cli/cri_log.h"

#include <string.h>
#include <time.h>

/* The word up to the next space. Returns what follows that space, NULL when there is none. */
static const char *take_word(const char *at, const char *end, const char **ret_word, size_t *ret_len)
{
	const char *space = memchr(at, ' ', (size_t)(end - at));

	if (!space || space == at)
		return NULL;
	*ret_word = at;
	*ret_len = (size_t)(space - at);
	return space + 1;
}

static bool word_is(const char *word, size_t len, const char *expected)
{
	return len == strlen(expected) && memcmp(word, expected, len) == 0;
}

int cri_log_parse(const char *line, size_t len, struct cri_log_line *ret_line)
{
	const char *end = line + len;
	struct cri_log_line l = { 0 };
	const char *stream = NULL;
	const char *tags = NULL;
	size_t stream_len = 0;
	size_t tags_len = 0;
	const char *at = take_word(line, end, &l.time, &l.time_len);

	if (at)
		at = take_word(at, end, &stream, &stream_len);
	if (at)
		at = take_word(at, end, &tags, &tags_len);
	if (!at)
		return -1;
	if (word_is(stream, stream_len, "stderr"))
		l.stream = CRI_LOG_STDERR;
	else if (!word_is(stream, stream_len, "stdout"))
		return -1;
	/* The first tag says it; others may follow after a ':'. */
	if ((tags[0] != 'P' && tags[0] != 'F') || (tags_len > 1 && tags[1] != ':'))
		return -1;
	l.partial = tags[0] == 'P';
	l.text = at;
	l.text_len = (size_t)(end - at);
	*ret_line = l;
	return 0;
}

/* Reads exactly `n` digits within lo..hi. */
static const char *take_digits(const char *at, const char *end, int n, int lo, int hi, int *ret_value)
{
	int value = 0;

	if (!at || end - at < n)
		return NULL;
	for (int i = 0; i < n; i++) {
		if (at[i] < '0' || at[i] > '9')
			return NULL;
		value = value * 10 + (at[i] - '0');
	}
	*ret_value = value;
	return value < lo || value > hi ? NULL : at + n;
}

static const char *take_char(const char *at, const char *end, char a, char b)
{
	return at && at < end && (*at == a || *at == b) ? at + 1 : NULL;
}

static const char *take_fraction(const char *at, const char *end, int64_t *ret_ns)
{
	int64_t unit = 100000000;
	int64_t ns = 0;

	if (!at || at >= end || *at != '.') {
		*ret_ns = 0;
		return at;
	}
	for (at++; at < end && *at >= '0' && *at <= '9'; at++) {
		ns += (*at - '0') * unit;
		unit /= 10;
	}
	*ret_ns = ns;
	return unit == 100000000 ? NULL : at;
}

/* "Z" or "+02:00"; to the end. */
static const char *take_offset(const char *at, const char *end, int64_t *ret_seconds)
{
	bool negative;
	int hours = 0;
	int minutes = 0;

	if (!at || at >= end)
		return NULL;
	*ret_seconds = 0;
	if (*at == 'Z' || *at == 'z')
		return at + 1;
	negative = *at == '-';
	at = take_char(at, end, '+', '-');
	at = take_digits(at, end, 2, 0, 23, &hours);
	at = take_char(at, end, ':', ':');
	at = take_digits(at, end, 2, 0, 59, &minutes);
	*ret_seconds = (hours * 3600 + minutes * 60) * (negative ? -1 : 1);
	return at;
}

int rfc3339_parse(const char *text, size_t len, int64_t *ret_realtime_ns)
{
	const char *end = text + len;
	struct tm tm = { 0 };
	int64_t ns = 0;
	int64_t offset = 0;
	const char *at = take_digits(text, end, 4, 1970, 2200, &tm.tm_year);

	at = take_char(at, end, '-', '-');
	at = take_digits(at, end, 2, 1, 12, &tm.tm_mon);
	at = take_char(at, end, '-', '-');
	at = take_digits(at, end, 2, 1, 31, &tm.tm_mday);
	at = take_char(at, end, 'T', 't');
	at = take_digits(at, end, 2, 0, 23, &tm.tm_hour);
	at = take_char(at, end, ':', ':');
	at = take_digits(at, end, 2, 0, 59, &tm.tm_min);
	at = take_char(at, end, ':', ':');
	at = take_digits(at, end, 2, 0, 60, &tm.tm_sec);
	at = take_fraction(at, end, &ns);
	at = take_offset(at, end, &offset);
	if (at != end)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_realtime_ns = ((int64_t)timegm(&tm) - offset) * 1000000000 + ns;
	return 0;
}

static bool is_older(const struct log_printer *printer, const struct cri_log_line *line)
{
	int64_t when_ns;

	return printer->since_ns && rfc3339_parse(line->time, line->time_len, &when_ns) == 0 && when_ns < printer->since_ns;
}

void log_printer_put(struct log_printer *printer, const char *line, size_t len)
{
	struct cri_log_line l;
	FILE *out;

	if (cri_log_parse(line, len, &l) < 0) {
		(void)fwrite(line, 1, len, printer->streams[CRI_LOG_STDOUT]);
		(void)fputc('\n', printer->streams[CRI_LOG_STDOUT]);
		return;
	}
	if (is_older(printer, &l))
		return;
	out = printer->streams[l.stream];
	if (printer->timestamps && !printer->inside_line[l.stream])
		(void)fprintf(out, "%.*s ", (int)l.time_len, l.time);
	(void)fwrite(l.text, 1, l.text_len, out);
	if (!l.partial)
		(void)fputc('\n', out);
	printer->inside_line[l.stream] = l.partial;
}
