/*
 * The plan: a container start as a program.
 *
 * plan_compile() turns a spec into a flat, position-independent list of operations with every string laid out in one block: no
 * pointer, no allocation, nothing to parse. The interpreter (init/) is a freestanding static program of a few pages that maps the
 * block, executes it operation by operation inside the new namespaces and finally execs the container's command, or stays as
 * the pod's init. A failing operation comes back as (operation, errno) and plan_describe() names it with its object.
 *
 * The same plan prints (plan_print), compares by bytes and can be fuzzed.
 */
#ifndef MONOPOD_RUNTIME_PLAN_H
#define MONOPOD_RUNTIME_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "runtime/spec.h"

struct plan;

/*
 * Nothing of the spec is needed any more afterwards but its descriptors, which stay the caller's and must be open while the plan runs.
 * A plan with a root or volumes runs once: the mounts behind its descriptors are then the container's, and the caller closes its own.
 *
 * A seccomp filter without no_new_privs must allow what comes after it: setgroups, setresgid, setresuid, capset, prctl, write and
 * execve, and for a process that joins a PID namespace clone, pipe2, setpgid, setsid, read and close as well.
 *
 * Errors are ERR_INVALID for a spec that contradicts itself, ERR_EXHAUSTED for one that is too large, and name the container.
 */
int plan_compile(const struct container_spec *spec, struct plan **ret_plan, struct error *err);
int plan_compile_exec(const struct exec_spec *spec, struct plan **ret_plan, struct error *err);

/* False for a path inside /proc, where nothing may be mounted but over some files that tell about the machine. `target` is clean. */
bool plan_may_mount_on(const char *target);

/* The MS_* flags of one mount as MOUNT_ATTR_* of mount_setattr(2). Returns the flags that are none. */
unsigned long plan_mount_attributes(unsigned long flags, uint64_t *ret_attributes);

/*
 * The init of a pod whose containers share a PID namespace: reaps, forwards nothing, ends when killed, and its namespace with it. Its
 * exit is to be had only when every other process of the namespace that is our child, container or exec, has been reaped.
 * With a user namespace the PID namespace belongs to that one.
 */
struct pod_init_spec {
	const char *name;                   /* "monopod: NAME" for ps */
	const struct user_ns_spec *user_ns; /* NULL: the host's */
	int net_ns, ipc_ns, uts_ns;         /* descriptor or NS_HOST */
	const struct cgroup *cgroup;        /* NULL: stay in the daemon's */
};

int plan_compile_pod_init(const struct pod_init_spec *spec, struct plan **ret_plan, struct error *err);

/* A process that makes namespaces (CLONE_NEW*) and keeps them until it is killed; a user namespace among them owns the others. */
int plan_compile_holder(const char *name, unsigned flags, struct plan **ret_plan, struct error *err);

/* A process in a user namespace, by whose maps those of the namespace are found out; stays until it is killed. */
int plan_compile_guest(const char *name, int user_ns, struct plan **ret_plan, struct error *err);

void plan_free(struct plan *plan);

size_t plan_length(const struct plan *plan);

/* "mount proc on /proc": operation number `index` with its object, into `text`. */
void plan_describe(const struct plan *plan, size_t index, char *text, size_t size);

/* Short name of the kind of operation, as in timelines: "mount", "pivot", "exec". */
const char *plan_op_name(const struct plan *plan, size_t index);

/* The first operation that runs after the wait of a plan that has one (container_spec.waits); 0 for the others. */
size_t plan_after_wait(const struct plan *plan);

/* The names of all kinds of operation, NULL after the last: for fault tests that go through them by table. plan_compile() asks
 * fault_here("plan", kind) for each operation it lays out and makes that operation fail with EIO when it says so. */
const char *plan_op_kind(size_t index);

/* One line per operation. */
int plan_print(const struct plan *plan, FILE *out);

#define _cleanup_plan_ __attribute__((cleanup(plan_cleanup)))
static inline void plan_cleanup(struct plan **plan)
{
	plan_free(*plan);
}

#endif
