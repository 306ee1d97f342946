/* Which containers use an image, by the lists that the daemon gives. */
#ifndef MONOPOD_CLI_IMAGE_USE_H
#define MONOPOD_CLI_IMAGE_USE_H

#include <stddef.h>

#include "proto/cri.pb-c.h"

/* How many containers, running or not, were made from the image with that id; *ret_first (may be NULL) is one of them. An image that is only
 * mounted as a volume is not counted: lists do not tell. */
size_t image_users(const Cri__ListContainersResponse *containers, const char *image_id, const Cri__Container **ret_first);

#endif
