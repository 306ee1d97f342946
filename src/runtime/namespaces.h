/*
 * The namespaces of a pod, pinned without a process: user, network, IPC and UTS, each a bind mount under the pod's state directory and
 * a descriptor. A user namespace owns the others. A PID namespace that the containers share is kept by its init process instead
 * (plan_compile_pod_init()).
 *
 * pod_namespaces_create() changes the namespaces of the calling thread and puts them back: call it from a lane and retire the
 * thread when it says so. Everything blocks.
 */
#ifndef MONOPOD_RUNTIME_NAMESPACES_H
#define MONOPOD_RUNTIME_NAMESPACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime/spec.h"

struct spawner;

struct sysctl_spec {
	const char *name; /* "net.ipv4.ip_forward"; either separator of sysctl(8) */
	const char *value;
};

struct pod_ns_spec {
	bool new_user;
	struct id_maps id_maps;         /* only with new_user */
	struct spawner *spawner;        /* only with new_user, and not to be had for pod_namespaces_check() */
	bool new_net, new_ipc, new_uts; /* false: the host's */
	const char *hostname;           /* only with new_uts; NULL or "": leave */
	const struct sysctl_spec *sysctls;
	size_t n_sysctls;
};

struct pod_namespaces {
	int user, net, ipc, uts; /* descriptors, or NS_HOST of spec.h */
};

#define POD_NAMESPACES_INIT                                                                                                        \
	{                                                                                                                          \
		-2, -2, -2, -2                                                                                                     \
	}

/* Refuses (ERR_INVALID) maps that the kernel would not take, and a sysctl that is unknown, malformed, or belongs to a namespace that is
 * not the pod's own. No side effect. */
int pod_namespaces_check(const struct pod_ns_spec *spec, struct error *err);

/* `dir` exists; the pins are dir/user, dir/net, dir/ipc, dir/uts. *ret_thread_spoiled is set when the thread could not be put back. On
 * failure nothing stays. */
int pod_namespaces_create(const struct pod_ns_spec *spec, const char *dir, struct pod_namespaces *ret_ns, bool *ret_thread_spoiled,
			  struct error *err);

/* Opens the pins that exist, after a restart; those that do not are NS_HOST. */
int pod_namespaces_open(const char *dir, struct pod_namespaces *ret_ns, struct error *err);

void pod_namespaces_close(struct pod_namespaces *ns);

/* Unmounts and removes the pins; missing ones are fine. */
int pod_namespaces_unpin(const char *dir, struct error *err);

#endif
