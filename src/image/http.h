#ifndef MONOPOD_IMAGE_HTTP_H
#define MONOPOD_IMAGE_HTTP_H
#include "base/error.h"
int http_init(struct error *err);
#endif
