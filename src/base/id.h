/* Object identifiers: 64 lower-case hexadecimal digits, as every container engine uses them. */
#ifndef MONOPOD_BASE_ID_H
#define MONOPOD_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_LEN 64
#define ID_SIZE (ID_LEN + 1)

/* 256 random bits from the kernel. */
void id_generate(char id[ID_SIZE]);

/* True for exactly 64 lower-case hexadecimal digits. */
bool id_is_valid(const char *id);

/* Writes 2 * len digits and a NUL. */
void hex_encode(char *text, const unsigned char *bytes, size_t len);

#endif
