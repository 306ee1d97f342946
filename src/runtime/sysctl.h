/*
 * Sysctls of a pod: only names from a list of those that Linux keeps per network, IPC or UTS namespace, only when that namespace is the
 * pod's own, written one by one through a descriptor of procfs (CVE-2022-0811, CVE-2022-0532). Internal to src/runtime.
 */
#ifndef MONOPOD_RUNTIME_SYSCTL_H
#define MONOPOD_RUNTIME_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime/namespaces.h"

/* More than the network namespace of any distribution sets (arbitrary). */
#define SYSCTLS_MAX 256

/* The longest names of net.* have some 60 bytes, with an interface name in them some 80. */
#define SYSCTL_PATH_SIZE 129

/* The path below /proc/sys of a name in either spelling of sysctl(8); -1 for an empty or too long one. */
int sysctl_path(const char *name, char path[SYSCTL_PATH_SIZE]);

/* Which namespaces are the pod's own. */
struct sysctl_scope {
	bool net, ipc, uts;
};

/* ERR_INVALID for an unknown, malformed or unsafe one. No side effect. */
int sysctl_check(const struct sysctl_spec *sysctl, const struct sysctl_scope *own, struct error *err);

/* Writes them in the namespaces of the calling thread, in order; checks nothing but the form of the name. */
int sysctls_write(const struct sysctl_spec *sysctls, size_t n, struct error *err);

#endif
