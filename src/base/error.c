#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int sys_errno;
	enum error_code code;
} errno_codes[] = {
	{ ENOENT, ERR_NOT_FOUND },
	{ ESRCH, ERR_NOT_FOUND },
	{ ENODEV, ERR_NOT_FOUND },
	{ EEXIST, ERR_EXISTS },
	{ EPERM, ERR_DENIED },
	{ EACCES, ERR_DENIED },
	{ EROFS, ERR_DENIED },
	{ ENOMEM, ERR_EXHAUSTED },
	{ EAGAIN, ERR_EXHAUSTED }, /* processes and threads; of descriptors we never report it */
	{ ENOSPC, ERR_EXHAUSTED },
	{ EDQUOT, ERR_EXHAUSTED },
	{ ENOBUFS, ERR_EXHAUSTED },
	{ EFBIG, ERR_EXHAUSTED },
	{ EMFILE, ERR_EXHAUSTED },
	{ ENFILE, ERR_EXHAUSTED },
	{ E2BIG, ERR_INVALID },
	{ ENAMETOOLONG, ERR_INVALID },
	{ ETIMEDOUT, ERR_DEADLINE },
	{ ECANCELED, ERR_CANCELLED },
	{ ECONNREFUSED, ERR_UNAVAILABLE },
	{ ECONNRESET, ERR_UNAVAILABLE },
	{ EHOSTUNREACH, ERR_UNAVAILABLE },
	{ ENETUNREACH, ERR_UNAVAILABLE },
};

static const char *const code_names[ERR_CODE_COUNT] = {
	[ERR_NONE] = "OK",
	[ERR_INVALID] = "INVALID",
	[ERR_NOT_FOUND] = "NOT_FOUND",
	[ERR_EXISTS] = "EXISTS",
	[ERR_STATE] = "STATE",
	[ERR_DENIED] = "DENIED",
	[ERR_UNAUTHENTICATED] = "UNAUTHENTICATED",
	[ERR_EXHAUSTED] = "EXHAUSTED",
	[ERR_DEADLINE] = "DEADLINE",
	[ERR_CANCELLED] = "CANCELLED",
	[ERR_UNAVAILABLE] = "UNAVAILABLE",
	[ERR_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[ERR_DATA_LOSS] = "DATA_LOSS",
	[ERR_INTERNAL] = "INTERNAL",
};

/* Cuts between characters: the text goes out as UTF-8. */
static void mark_cut(char *text)
{
	size_t end = ERROR_TEXT_SIZE - sizeof("...");

	while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	memcpy(text + end, "...", sizeof("..."));
}

__attribute__((format(printf, 2, 0))) static void format_text(struct error *err, const char *fmt, va_list args)
{
	int len = vsnprintf(err->text, sizeof(err->text), fmt, args);

	if (len >= (int)sizeof(err->text))
		mark_cut(err->text);
}

static void append_text(struct error *err, const char *tail)
{
	size_t len = strlen(err->text);
	int added = snprintf(err->text + len, sizeof(err->text) - len, ": %s", tail);

	if (added >= (int)(sizeof(err->text) - len))
		mark_cut(err->text);
}

void error_record(struct error *err, enum error_code code, const char *fmt, ...)
{
	va_list args;

	err->code = code;
	err->sys_errno = 0;
	va_start(args, fmt);
	format_text(err, fmt, args);
	va_end(args);
}

void error_record_sys(struct error *err, int sys_errno, const char *fmt, ...)
{
	char reason[128];
	va_list args;

	err->code = error_code_of_errno(sys_errno);
	err->sys_errno = sys_errno;
	va_start(args, fmt);
	format_text(err, fmt, args);
	va_end(args);
	/* GNU strerror_r: thread-safe, may return a static string instead of `reason`. */
	append_text(err, strerror_r(sys_errno, reason, sizeof(reason)));
}

void error_put_in_front(struct error *err, const char *fmt, ...)
{
	struct error outer = ERROR_INIT;
	va_list args;

	va_start(args, fmt);
	format_text(&outer, fmt, args);
	va_end(args);
	append_text(&outer, err->text);
	memcpy(err->text, outer.text, sizeof(err->text));
}

enum error_code error_code_of_errno(int sys_errno)
{
	for (size_t i = 0; i < sizeof(errno_codes) / sizeof(errno_codes[0]); i++) {
		if (errno_codes[i].sys_errno == sys_errno)
			return errno_codes[i].code;
	}
	return ERR_INTERNAL;
}

const char *error_code_name(enum error_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? code_names[code] : "UNKNOWN";
}
