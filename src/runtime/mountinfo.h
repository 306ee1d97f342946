/* The mounts that the calling thread sees, line by line (/proc/PID/mountinfo, proc(5)). Internal to src/runtime. */
#ifndef MONOPOD_RUNTIME_MOUNTINFO_H
#define MONOPOD_RUNTIME_MOUNTINFO_H

#include <stdint.h>

#include "base/error.h"

/* One line; octal escapes are resolved. Valid during the visit. */
struct mount_line {
	uint64_t id;
	const char *root; /* of the mount inside its file system */
	const char *mount_point;
	const char *optional; /* "shared:1 master:2 ", or "" */
	const char *fs_type;
	const char *super_options; /* "rw,cpu,cpuacct" */
};

/* Returns 0 to go on, 1 to stop, negative with *err set to fail. */
typedef int mount_visit(const struct mount_line *line, void *data, struct error *err);

/* Returns what the last visit returned. Lines that cannot be parsed are skipped. */
int mountinfo_scan(mount_visit *visit, void *data, struct error *err);

#endif
