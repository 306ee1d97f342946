/*
 * Which proxy leads to a host: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment, in small letters too, as the field's engines
 * (Go's net/http) understand them, since their units and drop-ins set them for this daemon as well.
 *
 * NO_PROXY is a list, separated by commas, of
 *     example.org      the host and all below it
 *     .example.org     all below it; so is *.example.org
 *     10.0.0.0/8       addresses; also of IPv6
 *     10.1.2.3, ::1    an address
 *     *                everything
 * each but the CIDR with :PORT for that port alone. A host name is not resolved to be compared with addresses. The machine itself
 * (localhost, 127.0.0.0/8, ::1) is never reached by a proxy.
 */
#ifndef MONOPOD_IMAGE_PROXY_H
#define MONOPOD_IMAGE_PROXY_H

#include <stdbool.h>

#include "image/origin.h"

/* The value of HTTPS_PROXY or HTTP_PROXY that serves `target`; NULL when it is reached without one. */
const char *proxy_for(const struct origin *target);

/* Whether a value of NO_PROXY names `target`. */
bool proxy_is_excluded(const char *list, const struct origin *target);

/* The proxy's host and port without its password, for errors: "proxy.example:3128". */
void proxy_name(const char *proxy, char name[ORIGIN_NAME_SIZE]);

#endif
