/* Private to check_*.c: checks of messages that stand in several requests. Each gets the message's place; a NULL message is fine. */
#ifndef MONOPOD_CRI_CHECK_PARTS_H
#define MONOPOD_CRI_CHECK_PARTS_H

#include <stdbool.h>

#include "base/error.h"
#include "cri/field.h"
#include "proto/cri.pb-c.h"

/* Kubernetes allows 256 KiB of annotations and the kubelet adds a few of its own. */
#define CHECK_MAX_MAP_BYTES ((size_t)(256 + 16) * 1024)

/* Of lists whose items cost something each: paths to mask, mounts, devices, ports. Far beyond any pod that was seen, little enough to go
 * through on the loop (arbitrary). */
#define CHECK_MAX_ITEMS 4096

/* Ids as Linux has them; the last 32-bit value means "no id" (CVE-2024-40635). */
#define CHECK_MAX_ID INT64_C(4294967294)

/* Lines of a user namespace's map (user_namespaces(7), Linux 4.15). */
#define CHECK_MAX_MAPPINGS 340

int check_pod_config(const struct field *at, const Cri__PodSandboxConfig *config, struct error *err);
int check_ports(const struct field *at, const Cri__PodSandboxConfig *config, struct error *err);
int check_dns(const struct field *at, const Cri__DNSConfig *dns, struct error *err);
int check_mounts(const struct field *at, const Cri__ContainerConfig *config, struct error *err);
int check_resources(const struct field *at, const Cri__LinuxContainerResources *resources, struct error *err);
int check_pod_security(const struct field *at, const Cri__LinuxSandboxSecurityContext *context, struct error *err);
int check_container_security(const struct field *at, const Cri__LinuxContainerSecurityContext *context, struct error *err);

/* Nothing but names; a container may also join another's PID namespace. */
int check_namespaces(const struct field *at, const Cri__NamespaceOption *options, bool is_pod, struct error *err);

/* Maps of ids as the kernel takes them: none empty, beyond CHECK_MAX_ID, or overlapping another. */
int check_mappings(const struct field *at, const char *name, Cri__IDMapping *const *items, size_t n, struct error *err);

/* A reference that must be there; `spec` NULL is a missing one. */
int check_image_spec(const struct field *at, const Cri__ImageSpec *spec, struct error *err);

/* An array of command and arguments. */
int check_arguments(const struct field *at, const char *name, char *const *items, size_t count, struct error *err);

#endif
