#include "base/log.h"

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

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
	char line[LINE_SIZE];
	char when[CLOCK_TEXT_SIZE];
	va_list args;
	int len, text;

	if ((int)level > atomic_load(&threshold))
		return;
	clock_format_rfc3339(when, clock_realtime_ns());
	len = snprintf(line, sizeof(line), "%s %-5s %s: ", when, level_words[level], area);
	va_start(args, fmt);
	text = vsnprintf(line + len, sizeof(line) - (size_t)len, fmt, args);
	va_end(args);
	len = text < (int)sizeof(line) - len ? len + text : (int)sizeof(line) - 1;
	mask_control(line, (size_t)len);
	line[len] = '\n';
	/* One write per line keeps lines of several threads apart; nothing can be done when stderr fails. */
	(void)!write(STDERR_FILENO, line, (size_t)len + 1);
}
