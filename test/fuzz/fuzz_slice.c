/* The name of a systemd slice, as a client's cgroup_parent: refused with a sentence, or a path that stays below the root of the groups
 * and whose last part is the slice. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/systemd.h"

static void check(const char *slice, const char *path)
{
	const char *last = strrchr(path, '/');

	if (!*path) {
		if (strcmp(slice, "-.slice") != 0)
			abort();
		return;
	}
	if (path[0] != '/' || strstr(path, "//") || strstr(path, "/../") || strcmp(last + 1, slice) != 0)
		abort();
	for (const char *part = path; part; part = strchr(part + 1, '/')) {
		size_t len = strcspn(part + 1, "/");

		if (len <= strlen(".slice") || strncmp(part + 1 + len - strlen(".slice"), ".slice", strlen(".slice")) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_
	char *text = strndup((const char *)data, size);
	_cleanup_free_
	char *path = NULL;
	struct error err = ERROR_INIT;

	if (!text)
		abort();
	if (systemd_slice_path(text, &path, &err) == 0)
		check(text, path);
	else if (err.code == ERR_NONE || !*err.text)
		abort();
	return 0;
}
