#include "task/path.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int path_format(char path[PATH_MAX], struct error *err, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(path, PATH_MAX, fmt, args);
	va_end(args);
	if (len < 0 || len >= PATH_MAX)
		return error_sys(err, ENAMETOOLONG, "path '%.100s...'", path);
	return 0;
}
