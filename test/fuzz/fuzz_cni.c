/* A CNI list, and the answer of a plugin in each version. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "net/cni_list.h"
#include "net/cni_result.h"

static void read_list(const char *text, size_t size)
{
	struct cni_list *list = NULL;
	struct error err = ERROR_INIT;

	if (cni_list_parse(text, size, "", &list, &err) < 0) {
		if (err.code == ERR_NONE)
			abort();
		return;
	}
	for (size_t i = 0; i < list->n_plugins; i++) {
		if (strchr(list->plugins[i].type, '/'))
			abort();
	}
	cni_list_unref(list);
}

static void read_result(const char *text, size_t size, enum cni_version version)
{
	cJSON *json = NULL;
	struct net_result result;
	struct error err = ERROR_INIT;

	if (cni_result_parse(text, size, version, &json, &err) < 0)
		return;
	if (cni_result_read(json, "eth0", &result, &err) == 0 &&
	    (result.n_addresses == 0 || result.n_addresses > NET_MAX_ADDRESSES))
		abort();
	cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_list((const char *)data, size);
	for (int version = 0; version < CNI_VERSION_COUNT; version++)
		read_result((const char *)data, size, (enum cni_version)version);
	return 0;
}
