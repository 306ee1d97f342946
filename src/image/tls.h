/*
 * Certificates of one registry: a directory certs.d/HOST[:PORT]/ as the field's engines have it.
 *
 *     *.crt                      authorities that are trusted besides the system's
 *     client.cert, client.key    what we show of ourselves, when both are there
 */
#ifndef MONOPOD_IMAGE_TLS_H
#define MONOPOD_IMAGE_TLS_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

/* certs_dir/NAME; false when there is no such directory, or certs_dir is "". */
bool tls_find(const char *certs_dir, const char *name, char ret_path[PATH_MAX]);

/* `curl` is a CURL easy handle. A directory that does not exist sets nothing. */
int tls_set(void *curl, const char *dir, struct error *err);

#endif
