/* Capabilities by name; sets as 64-bit masks (capabilities(7)). Names with or without "CAP_", any case. */
#ifndef MONOPOD_RUNTIME_CAPS_H
#define MONOPOD_RUNTIME_CAPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The fourteen that container engines grant by default. */
uint64_t caps_default(void);

/* Every one that this process holds in its bounding set. */
uint64_t caps_all(void);

/* -1 for an unknown name. */
int caps_parse(const char *name);
const char *caps_name(unsigned cap);

/* base + add - drop, where "ALL" may stand in either list: first add ALL, then drop ALL, then the names, so that of two ALLs the
 * dropping one wins, as in containerd and CRI-O. Unknown names are ERR_INVALID. Known
 * ones that this process does not hold are left out, as other engines do: nobody can grant them here. */
int caps_adjust(uint64_t base, char *const *add, size_t n_add, char *const *drop, size_t n_drop, uint64_t *ret_set,
		struct error *err);

#endif
