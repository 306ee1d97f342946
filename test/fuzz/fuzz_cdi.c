/* A CDI Spec, read as YAML (which JSON is, too) and as JSON. */
#include "fuzz.h"

#include <stdlib.h>

#include "runtime/cdi.h"

static void read_as(const uint8_t *data, size_t size, bool yaml)
{
	struct arena arena = ARENA_INIT;
	struct cdi_edits edits = { 0 };
	struct error err = ERROR_INIT;

	if (cdi_read_all((const char *)data, size, yaml, &arena, &edits, &err) < 0) {
		if (err.code == ERR_NONE)
			abort();
	} else {
		for (size_t i = 0; i < edits.n_nodes; i++) {
			if (edits.nodes[i].path[0] != '/' || edits.nodes[i].host_path[0] != '/')
				abort();
		}
	}
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_as(data, size, true);
	read_as(data, size, false);
	return 0;
}
