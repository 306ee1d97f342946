/* A manifest, an index, an image configuration: the same bytes read as each of them. */
#include "fuzz.h"

#include <stdlib.h>

#include "image/config.h"
#include "image/manifest.h"

static void check(const struct manifest *m)
{
	const struct platform host = platform_host();
	const struct manifest_entry *entry;
	struct error err = ERROR_INIT;

	if (m->n_layers > MANIFEST_MAX_LAYERS || m->n_entries > MANIFEST_MAX_ENTRIES)
		abort();
	for (size_t i = 0; i < m->n_layers; i++) {
		if (digest_check(m->layers[i].digest, &err) < 0)
			abort();
	}
	if (m->kind == MANIFEST_INDEX && manifest_choose(m, &host, &entry, &err) == 0 &&
	    digest_check(entry->target.digest, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_blob config = { 0 };
	struct manifest manifest = { 0 };
	struct error err = ERROR_INIT;

	if (manifest_parse((const char *)data, size, NULL, &manifest, &err) == 0)
		check(&manifest);
	else if (err.code == ERR_NONE)
		abort();
	manifest_release(&manifest);
	err.code = ERR_NONE;
	if (config_blob_parse((const char *)data, size, &config, &err) < 0 && err.code == ERR_NONE)
		abort();
	config_blob_release(&config);
	return 0;
}
