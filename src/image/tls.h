/*
 * Whom we trust and who we are, for the TLS connections to one host: loaded from the files that its struct host names.
 *
 * The system's authorities are always trusted; those of the host come to them. Of several client certificates the first is shown
 * whose issuer the server asks for, else the first.
 */
#ifndef MONOPOD_IMAGE_TLS_H
#define MONOPOD_IMAGE_TLS_H

#include <stdbool.h>

#include "base/error.h"
#include "image/hosts.h"

struct tls;

/* NULL in *ret_tls when the host names nothing. ERR_INVALID names the file that holds no certificate, or whose key does not fit. */
int tls_load(const struct host *host, struct tls **ret_tls, struct error *err);
void tls_free(struct tls *tls); /* NULL is fine */

/* `curl` is a CURL easy handle; `tls` must live as long as the request, and its connections, do. To a host that another one has named
 * we show no client certificate, and it is verified in any case: `is_own` false. */
int tls_set(void *curl, const struct tls *tls, bool is_own, struct error *err);

#endif
