#include "base/fault.h"

#ifdef MONOPOD_FAULTS

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

/* A machine name, a slash, a step name. */
#define POINT_SIZE 128

bool fault_here(const char *machine, const char *step)
{
	const char *path = getenv("MONOPOD_FAULT_FILE");
	_cleanup_buffer_ struct buffer armed = BUFFER_INIT(POINT_SIZE);
	struct error ignored = ERROR_INIT;
	char point[POINT_SIZE];

	if (!path || io_read_file(AT_FDCWD, path, &armed, &ignored) < 0 || !armed.data)
		return false;
	(void)snprintf(point, sizeof(point), "%s/%s", machine, step);
	armed.data[strcspn(armed.data, "\n")] = '\0';
	return !strcmp(armed.data, point);
}

#endif
