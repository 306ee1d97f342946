#include "base/descriptors.h"

#include <errno.h>
#include <stdbool.h>

/* Of the process, as the limit itself is. */
static struct rlimit former;
static bool raised;

int descriptors_raise_limit(struct error *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_sys(err, errno, "read the limit of open files");
	if (!raised)
		former = limit;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_sys(err, errno, "raise the limit of open files");
	raised = true;
	return 0;
}

struct rlimit descriptors_former_limit(void)
{
	struct rlimit limit = former;

	if (!raised && getrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	return limit;
}
