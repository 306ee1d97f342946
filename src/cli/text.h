/* Small conversions to what people read. */
#ifndef MONOPOD_CLI_TEXT_H
#define MONOPOD_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* A copy with control characters, and bytes that are not UTF-8, replaced by '?'. "" when memory is out (the arena knows). */
const char *text_clean(struct arena *arena, const char *text);

/* Characters on the screen, one per code point. */
size_t text_width(const char *text);

/* How long ago: "12s", "5m", "3h", "2d"; "-" for 0. */
#define TEXT_AGE_SIZE 16
void text_age(char text[TEXT_AGE_SIZE], int64_t since_ns, int64_t now_ns);

/* "812B", "1.9MiB". */
#define TEXT_BYTES_SIZE 24
void text_bytes(char text[TEXT_BYTES_SIZE], uint64_t bytes);

/* "412us", "3.52ms", "1.20s". */
#define TEXT_DURATION_SIZE 24
void text_duration(char text[TEXT_DURATION_SIZE], uint64_t us);

/* The first twelve digits of an id, without "sha256:". */
#define TEXT_SHORT_ID_SIZE 13
void text_short_id(char text[TEXT_SHORT_ID_SIZE], const char *id);

#endif
