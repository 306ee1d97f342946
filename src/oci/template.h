/* The configuration that `spec` writes: a shell with the usual mounts, masks and capabilities. */
#ifndef MONOPOD_OCI_TEMPLATE_H
#define MONOPOD_OCI_TEMPLATE_H

extern const char spec_template[];

#endif
