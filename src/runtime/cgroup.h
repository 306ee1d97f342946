/*
 * Control groups, version 1 (each controller its own hierarchy, any of them may be missing), version 2, and the hybrid of both,
 * by direct file access (the cgroupfs driver).
 *
 * A cgroup is named by its path below the hierarchy roots, as in the CRI's cgroup_parent: "/kubepods/burstable/pod1/ID". The roots
 * are held as descriptors; nothing here resolves a path that a container can write to. Functions block (kernfs locks) and are
 * thread-safe. A process enters by CLONE_INTO_CGROUP on version 2 and by writing 0 to its own `tasks` on version 1: writing a pid to
 * cgroup.procs from outside costs a grace period of 11 ms (limits.md lesson 1).
 */
#ifndef MONOPOD_RUNTIME_CGROUP_H
#define MONOPOD_RUNTIME_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

struct cgroup_roots;
struct cgroup;

/* `where` is "auto" (from /proc/self/mountinfo) or the directory under which the hierarchies are mounted. */
int cgroup_roots_open(const char *where, struct cgroup_roots **ret_roots, struct error *err);

/* The same with hierarchies of version 1 that are left alone otherwise, because few groups need one and each costs every group its
 * making. What a group was made in, it must be opened and removed with. */
enum {
	CGROUP_BLKIO = 1,
	CGROUP_NET_CLS = 2,
	CGROUP_NET_PRIO = 4,
	CGROUP_RDMA = 8,
	CGROUP_ALL = 15,
};
int cgroup_roots_open_with(const char *where, unsigned more, struct cgroup_roots **ret_roots, struct error *err);

void cgroup_roots_close(struct cgroup_roots *roots);
bool cgroup_roots_unified(const struct cgroup_roots *roots); /* version 2 only */

/* "cgroup v1: cpu cpuacct memory ..." for `monopod check` and the verbose status. */
void cgroup_roots_describe(const struct cgroup_roots *roots, FILE *out);

/* CRI LinuxContainerResources; 0 means "not set" as there. */
struct resources {
	int64_t cpu_period_us;
	int64_t cpu_quota_us;
	int64_t cpu_shares;
	int64_t memory_limit_bytes;
	int64_t memory_swap_limit_bytes;  /* memory plus swap */
	int64_t memory_reservation_bytes; /* what reclaim spares, or comes down to under pressure; -1: none */
	bool set_memory_swappiness;       /* version 1 only: version 2 has no such file, and refuses */
	uint64_t memory_swappiness;       /* 0 to 100 */
	bool forbid_swap;                 /* where swap is accounted: a memory limit without a swap limit means no swap */
	int64_t pids_limit;
	const char *cpuset_cpus; /* NULL or "": not set */
	const char *cpuset_mems;
	const struct hugepage_limit {
		const char *page_size; /* "2MB" */
		uint64_t limit_bytes;
	} * hugepages;
	size_t n_hugepages;
	const struct unified_entry {
		const char *file; /* "memory.high"; version 2 only */
		const char *value;
	} * unified;
	size_t n_unified;
	bool restrict_devices; /* deny all but the standard devices and these */
	const struct device_rule {
		char type;          /* 'c', 'b' or 'a' */
		int major, minor;   /* -1: all */
		const char *access; /* "rwm" */
	} * devices;
	size_t n_devices;
	const struct more_resources *more; /* NULL: none */
};

/* What an OCI configuration can ask for and the CRI cannot (config-linux.md, "Control groups"); all zero is "not set". */
struct more_resources {
	bool set_cpu_realtime_runtime, set_cpu_burst, set_cpu_idle;
	int64_t cpu_realtime_runtime_us;
	uint64_t cpu_realtime_period_us; /* 0: not set */
	uint64_t cpu_burst_us;
	int64_t cpu_idle;
	int64_t memory_kernel_tcp_bytes; /* -1: none; 0: not set */
	bool set_oom_killer, disable_oom_killer;
	bool check_memory;                        /* a limit below what is in use is refused, where the kernel would kill for it */
	uint64_t block_weight, block_leaf_weight; /* 10 to 1000; 0: not set */
	const struct block_weight {
		unsigned major, minor;
		uint64_t weight, leaf_weight; /* 0: not set */
	} * block_weights;
	size_t n_block_weights;
	const struct block_throttle {
		enum block_rate { BLOCK_READ_BYTES, BLOCK_WRITE_BYTES, BLOCK_READ_OPS, BLOCK_WRITE_OPS } what;
		unsigned major, minor;
		uint64_t rate; /* per second; 0: no limit */
	} * block_throttles;
	size_t n_block_throttles;
	bool set_net_class;
	uint32_t net_class;
	const struct net_priority {
		const char *interface;
		uint32_t priority;
	} * net_priorities;
	size_t n_net_priorities;
	const struct rdma_limit {
		const char *device;
		bool set_handles, set_objects;
		uint32_t handles, objects;
	} * rdma;
	size_t n_rdma;
};

/* The further hierarchies that these limits need on version 1: for cgroup_roots_open_with(). */
unsigned resources_hierarchies(const struct resources *resources);

/*
 * Creates the group in every hierarchy. Parents that are missing are made, and marked as made here; *ret_topmost_made (may be NULL)
 * says the first component that this or an earlier call made, the group itself at least, as a path to free(), so that it can be pruned
 * again. A group that exists is ERR_EXISTS. On failure nothing that was made stays. `roots` must outlive the handle.
 */
int cgroup_create(struct cgroup_roots *roots, const char *path, struct cgroup **ret_cgroup, char **ret_topmost_made,
		  struct error *err);

/* One that exists, after a restart. */
int cgroup_open(struct cgroup_roots *roots, const char *path, struct cgroup **ret_cgroup, struct error *err);

/* Makes the group and moves a process into it from outside, which takes 11 ms. No controller is turned on above: the process may be in
 * the group's parent as yet. Version 2 only. On failure the group stays when it was made. */
int cgroup_move(struct cgroup_roots *roots, const char *path, pid_t pid, struct error *err);

/* The handle only; the group stays. NULL is fine. */
void cgroup_close(struct cgroup *cgroup);

const char *cgroup_path(const struct cgroup *cgroup);

/* All of it or nothing: when one limit fails, those before it are put back. A limit that the host cannot hold is ERR_STATE, except
 * what kubelets send always and what limits nobody: a zero hugepage limit, the least share of CPU, a period without a quota; a value that is wrong in itself, or that the kernel refuses, ERR_INVALID. */
int cgroup_apply(struct cgroup *cgroup, const struct resources *resources, struct error *err);

/*
 * As cgroup_apply(), without the devices, and *ret_change remembers what stood before, for an undo after a later step failed. A memory
 * limit below what the group uses is ERR_STATE after an attempt to reclaim the rest: on version 2 the kernel would kill instead (Linux
 * 5.19; older ones have no way to ask). The cgroup must stay open for as long as the change is kept.
 */
struct cgroup_change;
int cgroup_change(struct cgroup *cgroup, const struct resources *resources, struct cgroup_change **ret_change, struct error *err);

/* Puts the former values back; what the kernel refuses now stays changed. */
void cgroup_change_undo(struct cgroup_change *change);
void cgroup_change_free(struct cgroup_change *change); /* NULL is fine */

/*
 * SIGKILLs every process in the group and below (cgroup.kill on version 2; on version 1 alone for at most 200 ms, until it is empty).
 * Returns how many it saw; 0 for a group that is not there. A group that was killed is good for removal only: since Linux 6.12 a child
 * that is cloned into it later from outside gets the SIGKILL too (seen on 6.18; the kernel compares the counter of kills of the
 * parent's group with that of the child's).
 */
int cgroup_kill(struct cgroup_roots *roots, const char *path, struct error *err);

/*
 * Removes the group and all groups below it. A missing one is success; one still in use ERR_STATE (try again), after a wait of 16 ms
 * for processes that are just going. It stops at the first hierarchy that fails, version 2 first.
 */
int cgroup_remove(struct cgroup_roots *roots, const char *path, struct error *err);

/* Removes `path` and then its parents, as far as cgroup_create() made them (each hierarchy by itself) and they are empty, up to and
 * including `topmost` (NULL: as far as that goes). Never fails. */
void cgroup_prune(struct cgroup_roots *roots, const char *path, const char *topmost);

/* How many processes of this group the kernel's OOM killer took since it was made, on behalf of whichever limit; of the groups below
 * too on version 2. */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);

/* True when it took the whole group in one go, as memory.oom.group of version 2 asks for (Linux 4.19; counted since 5.17). */
bool cgroup_oom_killed_all(const struct cgroup *cgroup);

/* For the plan compiler: the descriptors through which a child enters. Version 2: one directory, to be used with
 * CLONE_INTO_CGROUP. Version 1: one `tasks` file per hierarchy, opened for writing. Valid until cgroup_close(). */
int cgroup_unified_fd(const struct cgroup *cgroup); /* -1 when version 2 is not there */
size_t cgroup_task_fds(const struct cgroup *cgroup, const int **ret_fds);

/* The names of the version 1 hierarchies and their mount options, for the cgroup mount inside the container. */
size_t cgroup_hierarchies(const struct cgroup_roots *roots, const char *const **ret_names);

#endif
