/* One CDI Spec: checked as a whole when it is read, its edits taken out when they are asked for. Private to cdi*.c. */
#ifndef MONOPOD_RUNTIME_CDI_SPEC_H
#define MONOPOD_RUNTIME_CDI_SPEC_H

#include "runtime/cdi.h"
#include "runtime/cdi_file.h"

/* Of one container. A request names few devices, and each brings a few dozen edits (arbitrary). */
#define CDI_MAX_EDITS 4096

/* ERR_INVALID naming the member. */
int cdi_check_spec(const cJSON *spec, struct error *err);

/* The device of that name, NULL when there is none. Names are unique in a checked Spec. */
const cJSON *cdi_find_device(const cJSON *spec, const char *name);

/* Appends containerEdits of a Spec or of a device. */
int cdi_append_edits(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err);

#endif
