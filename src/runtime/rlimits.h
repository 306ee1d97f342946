/*
 * Resource limits (setrlimit(2)) by name: of the daemon's configuration, and in what a plan prints.
 */
#ifndef MONOPOD_RUNTIME_RLIMITS_H
#define MONOPOD_RUNTIME_RLIMITS_H

#include <stddef.h>
#include <sys/resource.h>

#include "base/error.h"
#include "runtime/spec.h"

/* At most one of each kind. */
struct rlimit_set {
	struct rlimit_spec specs[RLIM_NLIMITS];
	size_t n;
};

/* RLIMIT_NOFILE is "nofile"; NULL for what is no limit. */
const char *rlimit_name(int resource);

/* "nofile" or "RLIMIT_NOFILE", any case; -1 for what is no limit. */
int rlimit_parse_name(const char *name);

/* "nofile=1024:524288,core=0,memlock=unlimited": NAME=SOFT[:HARD], the soft one for both when there is no other. ERR_INVALID says
 * which part is wrong: unknown, twice, no number, soft above hard. */
int rlimits_parse(const char *text, struct rlimit_set *ret_set, struct error *err);

/* ERR_DENIED for a hard limit above the calling process's own, which takes CAP_SYS_RESOURCE. */
int rlimits_check_allowed(const struct rlimit_set *set, struct error *err);

/* Adds one unless the set has one of that kind. */
void rlimits_add_default(struct rlimit_set *set, int resource, uint64_t soft, uint64_t hard);

#endif
