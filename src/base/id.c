#include "base/id.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void hex_encode(char *text, const unsigned char *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
}

void id_generate(char id[ID_SIZE])
{
	unsigned char bytes[ID_LEN / 2];

	ssize_t n;

	/* Up to 256 bytes come whole (getrandom(2)); only early in boot, before the pool is seeded, a signal may interrupt the wait.
	 * There is no other failure that an id could be made after. */
	while ((n = getrandom(bytes, sizeof(bytes), 0)) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(bytes))
		abort();
	hex_encode(id, bytes, sizeof(bytes));
}

bool id_is_valid(const char *id)
{
	return strlen(id) == ID_LEN && strspn(id, "0123456789abcdef") == ID_LEN;
}
