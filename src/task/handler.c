#include "task/handler.h"

#include <stdio.h>
#include <string.h>

static int refuse(const struct config *config, const char *name, struct error *err)
{
	char known[512] = "";
	size_t n = 0;

	for (const struct config_handler *h = config->handlers; h && n < sizeof(known); h = h->next)
		n += (size_t)snprintf(known + n, sizeof(known) - n, ", \"%s\"", h->name);
	return error_set(err, ERR_INVALID, "runtime_handler: '%s' is not known; there are \"\" (the default)%s", name, known);
}

int handler_options(const struct config *config, const char *name, struct handler_options *ret_options, struct error *err)
{
	const struct config_handler *handler = *name ? config_find_handler(config, name) : NULL;
	struct handler_options options = { config->seccomp_default, config->apparmor_default, true };

	if (*name && !handler)
		return refuse(config, name, err);
	if (handler && *handler->seccomp_default)
		options.seccomp_default = handler->seccomp_default;
	if (handler && *handler->apparmor_default)
		options.apparmor_default = handler->apparmor_default;
	options.host_devices = !handler || !handler->privileged_without_host_devices;
	*ret_options = options;
	return 0;
}
