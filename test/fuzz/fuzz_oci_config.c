/* A bundle's config.json. */
#include "fuzz.h"

#include <stdlib.h>

#include "oci/config.h"

static void check(const struct config *config)
{
	if (!config->root || !config->process.env || !config->process.cwd)
		abort();
	if (config->has_process && (!config->process.args || !config->process.args[0] || config->process.cwd[0] != '/'))
		abort();
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (config->mounts[i].target[0] != '/' || !config->mounts[i].data)
			abort();
	}
	for (size_t i = 0; i < HOOK_MOMENTS; i++) {
		for (size_t j = 0; j < config->hooks[i].n; j++) {
			if (config->hooks[i].hooks[j].path[0] != '/')
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct config config;

	if (config_parse((const char *)data, size, &config, &err) == 0)
		check(&config);
	else if (err.code == ERR_NONE)
		abort();
	config_drop(&config);
	return 0;
}
