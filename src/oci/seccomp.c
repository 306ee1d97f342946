#include "oci/seccomp.h"

#include <string.h>

int seccomp_of(const struct config *config, struct arena *arena, const struct seccomp_filter **ret_filter, struct error *err)
{
	char *text;
	int result;

	*ret_filter = NULL;
	if (!config->seccomp)
		return 0;
	text = cJSON_PrintUnformatted(config->seccomp);
	if (!text)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	result = seccomp_compile(text, strlen(text), config->process.identity.bounding, arena, ret_filter, err);
	cJSON_free(text);
	return result < 0 ? error_prefix(err, "linux.seccomp") : 0;
}
