/* Names of slices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "runtime/cgroup_internal.h"
#include "runtime/systemd.h"

#define SUFFIX ".slice"

/* UNIT_NAME_MAX of systemd. */
#define UNIT_NAME_LEN 255

#define UNIT_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"

bool systemd_is_init(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

int systemd_check_unit(const char *unit, struct error *err)
{
	size_t len = strlen(unit);

	if (len > UNIT_NAME_LEN || unit[0] == '.' || unit[strspn(unit, UNIT_LETTERS)])
		return error_set(err, ERR_INVALID, "'%.255s' is not the name of a systemd unit", unit);
	return 0;
}

static int check_slice(const char *slice, struct error *err)
{
	size_t len = strlen(slice), stem = len - strlen(SUFFIX);

	if (len <= strlen(SUFFIX) || len > UNIT_NAME_LEN || strcmp(slice + stem, SUFFIX) != 0 || slice[strspn(slice, UNIT_LETTERS)])
		return error_set(err, ERR_INVALID, "'%.255s' is not the name of a systemd slice", slice);
	if (stem > 1 && (slice[0] == '-' || slice[stem - 1] == '-' || strstr(slice, "--")))
		return error_set(err, ERR_INVALID, "'%s' is not the name of a systemd slice: an empty part between dashes", slice);
	return 0;
}

int systemd_slice_path(const char *slice, char **ret_path, struct error *err)
{
	_cleanup_buffer_ struct buffer path = BUFFER_INIT(PATH_LEN_MAX);
	const char *end;

	if (check_slice(slice, err) < 0)
		return -1;
	end = slice[0] == '-' ? NULL : slice + strcspn(slice, "-");
	/* Each dash goes one level down: the group's name is everything up to there. */
	while (end) {
		bool last = *end == '\0';
		size_t len = last ? strlen(slice) - strlen(SUFFIX) : (size_t)(end - slice);

		if (buffer_append(&path, "/", 1, err) < 0 || buffer_append(&path, slice, len, err) < 0 ||
		    buffer_append(&path, SUFFIX, strlen(SUFFIX), err) < 0)
			return error_prefix(err, "cgroup path of %s", slice);
		end = last ? NULL : end + 1 + strcspn(end + 1, "-");
	}
	*ret_path = strdup(path.data ? path.data : "");
	return *ret_path ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

char *systemd_slice_name(const char *path)
{
	char *name;

	path += *path == '/';
	if (asprintf(&name, "%s%s", *path ? path : "-", SUFFIX) < 0)
		return NULL;
	for (char *p = name; *path && *p; p++)
		*p = *p == '-' ? '_' : (char)(*p == '/' ? '-' : *p);
	return name;
}
