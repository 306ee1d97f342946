/* containerEdits of a CDI Spec. Private to cdi*.c. */
#ifndef MONOPOD_RUNTIME_CDI_EDITS_H
#define MONOPOD_RUNTIME_CDI_EDITS_H

#include "runtime/cdi_spec.h"

/* True when nothing is asked for; a device must ask for something. */
bool cdi_edits_are_empty(const cJSON *edits);

#endif
