/* The grpc-timeout request header (grpc/doc/PROTOCOL-HTTP2.md, "Timeout"): at most eight digits and one of H M S m u n. */
#ifndef MONOPOD_CRI_GRPC_TIMEOUT_H
#define MONOPOD_CRI_GRPC_TIMEOUT_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds are rounded up, so that a caller never waits less than it asked for. -1 when malformed. The largest value, 99999999
 * hours, fits with room to add the clock. */
int grpc_timeout_parse(const char *text, size_t len, int64_t *ret_timeout_us);

#endif
