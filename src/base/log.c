#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* One line; longer ones are cut. Room for an error text of 1 KiB and its frame. */
#define LINE_SIZE 1536

static const char *const level_words[] = { "error", "warn", "info", "debug" };
static _Atomic int threshold = LOG_LEVEL_INFO;
static _Atomic unsigned dropped;

void log_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

int log_parse_level(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_words); i++) {
		if (!strcmp(word, level_words[i]))
			return (int)i;
	}
	return -1;
}

/* Control characters would let a request forge log lines. */
static void mask_control(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	}
}

static size_t clamp_len(int len, size_t room)
{
	return len < 0 ? 0 : (size_t)len < room ? (size_t)len : room - 1;
}

/*
 * A line that does not fit at once is dropped and counted: whoever reads our log (a pipe, the journal's socket) must not be able to
 * stop the loop. One write per line keeps lines of several threads apart.
 */
static void emit(const char *line, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char notice[64];
	unsigned gone;

	if (poll(&out, 1, 0) == 0) {
		atomic_fetch_add(&dropped, 1);
		return;
	}
	gone = atomic_exchange(&dropped, 0);
	if (gone > 0)
		(void)!write(STDERR_FILENO, notice,
			     clamp_len(snprintf(notice, sizeof(notice), "(%u lines lost)\n", gone), sizeof(notice)));
	(void)!write(STDERR_FILENO, line, len); /* nothing can be done when it fails */
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
	char line[LINE_SIZE];
	char when[CLOCK_TEXT_SIZE];
	va_list args;
	size_t len;

	if ((int)level > atomic_load(&threshold))
		return;
	clock_format_rfc3339(when, clock_realtime_ns());
	len = clamp_len(snprintf(line, sizeof(line), "%s %-5s %s: ", when, level_words[level], area), sizeof(line));
	va_start(args, fmt);
	len += clamp_len(vsnprintf(line + len, sizeof(line) - len, fmt, args), sizeof(line) - len);
	va_end(args);
	mask_control(line, len);
	line[len] = '\n';
	emit(line, len + 1);
}
