#include "base/utf8.h"

#include <string.h>

#include "base/mem.h"

/* RFC 3629 section 4, "Syntax of UTF-8 Byte Sequences": lead bytes, their length, and what the second byte may be. */
static const struct {
	uint8_t lead_min, lead_max;
	uint8_t len;
	uint8_t second_min, second_max;
} sequences[] = {
	{ 0x01, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf }, { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

/* The length of the sequence at `at`, 0 when there is none. */
static size_t sequence_len(const uint8_t *at, size_t left)
{
	for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
		if (*at < sequences[i].lead_min || *at > sequences[i].lead_max)
			continue;
		if (sequences[i].len > left)
			return 0;
		if (sequences[i].len > 1 && (at[1] < sequences[i].second_min || at[1] > sequences[i].second_max))
			return 0;
		for (size_t k = 2; k < sequences[i].len; k++) {
			if (at[k] < 0x80 || at[k] > 0xbf)
				return 0;
		}
		return sequences[i].len;
	}
	return 0;
}

bool utf8_is_text(const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t step = data[at] > 0 && data[at] < 0x80 ? 1 : sequence_len(data + at, len - at);

		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

void utf8_tidy(char *text)
{
	bool is_text = utf8_is_text((const uint8_t *)text, strlen(text));

	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < ' ' || *p == 0x7f)
			*p = ' ';
		else if (*p >= 0x80 && !is_text)
			*p = '?';
	}
}
