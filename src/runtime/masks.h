/*
 * What of /proc and /sys the ecosystem hides from containers, or keeps them from writing, when nobody says otherwise: Kubernetes'
 * procMount Default (`DefaultProcMount`), Docker's and the OCI tools' default.
 *
 * Lists end with NULL and live for ever. Paths that a kernel does not have are harmless: the interpreter skips them.
 */
#ifndef MONOPOD_RUNTIME_MASKS_H
#define MONOPOD_RUNTIME_MASKS_H

/* The power meter tells the secrets of other tenants (PLATYPUS, CVE-2020-8694): hidden from whoever is not privileged, whatever the
 * request's list says, because kubelets before 1.29 do not ask for it. */
#define MASK_POWERCAP "/sys/devices/virtual/powercap"

/* With the thermal_throttle directory of each CPU that has one: read once, when first asked for. */
const char *const *masks_default(void);

const char *const *readonly_default(void);

#endif
