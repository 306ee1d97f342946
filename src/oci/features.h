/* What `features` says. */
#ifndef MONOPOD_OCI_FEATURES_H
#define MONOPOD_OCI_FEATURES_H

#include <cjson/cJSON.h>

/* NULL when memory is out. */
cJSON *features_document(void);

/* Every mount option that a configuration may have, NULL-terminated. */
const char *const *mount_option_names(void);

#endif
