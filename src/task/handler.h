/*
 * Runtime handlers (RunPodSandboxRequest.runtime_handler): names in the configuration, [runtime.NAME], each a set of options of the one
 * runtime there is. "" is the default, the options of [runtime].
 */
#ifndef MONOPOD_TASK_HANDLER_H
#define MONOPOD_TASK_HANDLER_H

#include <stdbool.h>

#include "base/config.h"
#include "base/error.h"

struct handler_options {
	const char *seccomp_default;  /* "builtin", "unconfined" or a path */
	const char *apparmor_default; /* "builtin", "unconfined" or a profile's name */
	bool host_devices;            /* privileged containers get the host's */
};

/* ERR_INVALID for a name that is not configured, with those that are. */
int handler_options(const struct config *config, const char *name, struct handler_options *ret_options, struct error *err);

#endif
