/* Text of the wire: protobuf's strings are UTF-8 (protobuf language guide, "Scalar value types"). */
#ifndef MONOPOD_BASE_UTF8_H
#define MONOPOD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF) and no NUL, which C would take for the end. */
bool utf8_is_text(const uint8_t *data, size_t len);

/* Makes a stranger's words fit for a message and a terminal: control characters become spaces, and when the rest is not UTF-8 (or was
 * cut inside a character), what is not ASCII becomes question marks. */
void utf8_tidy(char *text);

#endif
