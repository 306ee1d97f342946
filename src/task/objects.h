/* What sandboxes and containers have in common. */
#ifndef MONOPOD_TASK_OBJECTS_H
#define MONOPOD_TASK_OBJECTS_H

#include <stdbool.h>
#include <string.h>

#include "base/id.h"

/* Clients print twelve or thirteen digits of an id and hand them back; fewer are too easily somebody else's. */
#define ID_PREFIX_MIN 12

static inline bool id_is_prefix(const char *id)
{
	size_t len = strlen(id);

	return len >= ID_PREFIX_MIN && len < ID_LEN && strspn(id, "0123456789abcdef") == len;
}

#endif
