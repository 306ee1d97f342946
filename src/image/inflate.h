/*
 * Decompression of a layer, from descriptor to descriptor. Runs in a child that can do nothing else (confine.h).
 *
 * The form is told by the first bytes: gzip (RFC 1952, several members), zstd (RFC 8878, several frames) or neither, which is passed
 * on as it is. Others that can be told (xz, bzip2) are ERR_UNIMPLEMENTED. A stream that ends early is ERR_INVALID.
 */
#ifndef MONOPOD_IMAGE_INFLATE_H
#define MONOPOD_IMAGE_INFLATE_H

#include "base/error.h"

int inflate_fd(int in, int out, struct error *err);

#endif
