#include "cli/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 sequence (RFC 3629, section 4, without the finer limits) that starts here; 0 when none does. */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80                   ? 1
		     : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		     : (s[0] & 0xf0) == 0xe0       ? 3
		     : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						   : 0;

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

/* C0, DEL, and C1 in its two-byte spelling: what terminals obey. */
static bool is_control(const unsigned char *s, size_t len)
{
	return (len == 1 && (s[0] < 0x20 || s[0] == 0x7f)) || (len == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

const char *text_clean(struct arena *arena, const char *text)
{
	char *clean = arena_alloc(arena, strlen(text) + 1);
	char *out = clean;

	if (!clean)
		return "";
	while (*text) {
		size_t len = utf8_length((const unsigned char *)text);

		if (len == 0 || is_control((const unsigned char *)text, len)) {
			*out++ = '?';
			text += len ? len : 1;
			continue;
		}
		memcpy(out, text, len);
		out += len;
		text += len;
	}
	*out = '\0';
	return clean;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

void text_age(char text[TEXT_AGE_SIZE], int64_t since_ns, int64_t now_ns)
{
	long long seconds = (now_ns - since_ns) / 1000000000;

	if (since_ns <= 0)
		(void)snprintf(text, TEXT_AGE_SIZE, "-");
	else if (seconds < 120)
		(void)snprintf(text, TEXT_AGE_SIZE, "%llds", seconds < 0 ? 0 : seconds);
	else if (seconds < 120LL * 60)
		(void)snprintf(text, TEXT_AGE_SIZE, "%lldm", seconds / 60);
	else if (seconds < 48LL * 3600)
		(void)snprintf(text, TEXT_AGE_SIZE, "%lldh", seconds / 3600);
	else
		(void)snprintf(text, TEXT_AGE_SIZE, "%lldd", seconds / 86400 % 1000000);
}

void text_bytes(char text[TEXT_BYTES_SIZE], uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		(void)snprintf(text, TEXT_BYTES_SIZE, "%lluB", (unsigned long long)bytes);
		return;
	}
	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(text, TEXT_BYTES_SIZE, "%.1f%s", value, units[unit]);
}

void text_duration(char text[TEXT_DURATION_SIZE], uint64_t us)
{
	if (us < 1000)
		(void)snprintf(text, TEXT_DURATION_SIZE, "%lluus", (unsigned long long)us);
	else if (us < 1000000)
		(void)snprintf(text, TEXT_DURATION_SIZE, "%.2fms", (double)us / 1e3);
	else
		(void)snprintf(text, TEXT_DURATION_SIZE, "%.2fs", (double)us / 1e6);
}

void text_short_id(char text[TEXT_SHORT_ID_SIZE], const char *id)
{
	const char *digits = strncmp(id, "sha256:", 7) == 0 ? id + 7 : id;

	(void)snprintf(text, TEXT_SHORT_ID_SIZE, "%s", digits);
}
