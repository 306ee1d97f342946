/* Paths of ours, put together from parts that may be too long. */
#ifndef MONOPOD_TASK_PATH_H
#define MONOPOD_TASK_PATH_H

#include <limits.h>

#include "base/error.h"

/* ERR_INVALID when it does not fit. */
int path_format(char path[PATH_MAX], struct error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
