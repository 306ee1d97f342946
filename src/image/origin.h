/* The scheme, host and port of a URL: what credentials are bound to (RFC 6454). */
#ifndef MONOPOD_IMAGE_ORIGIN_H
#define MONOPOD_IMAGE_ORIGIN_H

#include <stdbool.h>

#include "base/error.h"

#define ORIGIN_HOST_SIZE 256

struct origin {
	bool is_https;
	char host[ORIGIN_HOST_SIZE]; /* lower case; an IPv6 address in brackets */
	char port[8];
};

/* ERR_INVALID for what is no URL of http or https with a host, or holds a user name. */
int origin_of(const char *url, struct origin *ret_origin, struct error *err);
bool origin_equal(const struct origin *a, const struct origin *b);

/* HOST:PORT, or HOST when the port is the scheme's own. */
#define ORIGIN_NAME_SIZE (ORIGIN_HOST_SIZE + 8)
void origin_name(const struct origin *origin, char name[ORIGIN_NAME_SIZE]);

/* The URL that `location` (RFC 9110, 10.2.2; may be relative) means in an answer from `url`. The caller frees. */
int origin_resolve(const char *url, const char *location, char **ret_url, struct error *err);

#endif
