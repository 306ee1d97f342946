/*
 * What the files of the cgroup part share. Internal to src/runtime.
 *
 *   cgroup_roots.c      which hierarchies there are
 *   cgroup.c            making and opening groups in all of them
 *   cgroup_remove.c     removing them
 *   cgroup_kill.c       killing what is in a group
 *   cgroup_resources.c  limits: checks, order, all or nothing
 *   cgroup_more.c       limits that the CRI does not know
 *   cgroup_v1.c, cgroup_v2.c   the files and units of each version, behind struct cgroup_version
 *   cgroup_device.c     device rules, as lines for version 1 and as a BPF program for version 2
 */
#ifndef MONOPOD_RUNTIME_CGROUP_INTERNAL_H
#define MONOPOD_RUNTIME_CGROUP_INTERNAL_H

#include <stdarg.h>

#include "base/arena.h"
#include "runtime/cgroup.h"

enum controller {
	CONTROLLER_CPU,
	CONTROLLER_CPUACCT,
	CONTROLLER_CPUSET,
	CONTROLLER_MEMORY,
	CONTROLLER_PIDS,
	CONTROLLER_HUGETLB,
	CONTROLLER_IO,
	CONTROLLER_DEVICES,
	CONTROLLER_FREEZER,
	CONTROLLER_NET_CLS,
	CONTROLLER_NET_PRIO,
	CONTROLLER_RDMA,
	CONTROLLER_COUNT
};

#define CONTROLLER_BIT(c) (1U << (c))

struct cgroup_version;

struct hierarchy {
	const struct cgroup_version *version;
	int root;             /* directory descriptor */
	unsigned controllers; /* set of CONTROLLER_BIT() */
	char *name;           /* version 1: its mount options, "cpu,cpuacct"; version 2: "unified" */
};

/* Version 1 has at most one hierarchy per controller, and a named one; version 2 is one. */
#define HIERARCHIES_MAX 16

struct cgroup_roots {
	struct hierarchy hierarchies[HIERARCHIES_MAX];
	size_t n;
	const char *v1_names[HIERARCHIES_MAX];
	size_t n_v1_names;
	char *unused; /* names of version 1 hierarchies that are left alone, for people */
};

struct cgroup {
	const struct cgroup_roots *roots;
	char *path;
	int task_fds[HIERARCHIES_MAX];
	size_t n_task_fds;
	int unified_fd;
	bool fresh; /* made by this handle and without limits yet: nothing to put back when one fails */
};

/* One file to write. */
struct limit_write {
	const struct hierarchy *hierarchy;
	const char *file;
	const char *value;
	const char *unset; /* what takes `value` away where the file has a line for each device; NULL: `old` does */
	char *old;         /* what stood there, to be put back */
};

/* More than every field of struct resources needs, with its own limits on the lists in it. */
#define LIMIT_WRITES_MAX 128

/* The writes that a struct resources amounts to, laid out before the first is done, and how many of them were done. */
struct cgroup_change {
	const struct cgroup *cgroup;
	struct arena arena;
	struct limit_write writes[LIMIT_WRITES_MAX];
	size_t n_writes;
	size_t n_done;
};

/* How a version spells things. Each put_ function checks nothing but what the version cannot express. */
struct cgroup_version {
	bool unified;
	int (*put_cpu)(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err);
	int (*put_memory)(struct cgroup_change *job, const struct hierarchy *h, const struct resources *r, struct error *err);
	int (*put_hugepage)(struct cgroup_change *job, const struct hierarchy *h, const struct hugepage_limit *limit,
			    struct error *err);
	const char *oom_file; /* has a line "oom_kill N" */
};

extern const struct cgroup_version cgroup_v1;
extern const struct cgroup_version cgroup_v2;

/* cgroup_roots.c. "memory" to CONTROLLER_MEMORY; -1 when it is none of ours. Version 1's blkio is CONTROLLER_IO. */
int controller_parse(const char *name, size_t len);
const char *controller_name(enum controller controller, const struct cgroup_version *version);

/* The hierarchy that has the controller, NULL when none has. */
const struct hierarchy *roots_find(const struct cgroup_roots *roots, enum controller controller);

/* A path that needs more is not one of kubelet's: its deepest has seven components (arbitrary). */
#define PATH_LEN_MAX 1024

/* cgroup.c. Whether cgroup_create() made this group as a parent. */
bool group_is_ours(const struct hierarchy *h, const char *relative);

/* "a/b" of "/a/b"; ERR_INVALID for what is not a plain absolute path below the root. */
int cgroup_check_path(const char *path, struct error *err);
static inline const char *cgroup_relative(const char *path)
{
	return path + 1;
}

/* cgroup_resources.c. Opens, reads or tests a file of the group. */
int group_open(const struct cgroup *cgroup, const struct hierarchy *h, const char *file, int flags, struct error *err);
bool group_has(const struct cgroup *cgroup, const struct hierarchy *h, const char *file);
char *group_read(const struct cgroup *cgroup, const struct hierarchy *h, const char *file, struct arena *arena, struct error *err);

/* A file that holds one number; "max" is INT64_MAX, an unreadable one -1. */
int64_t group_number(const struct cgroup *cgroup, const struct hierarchy *h, const char *file);

/* Lays one write out. The value is formatted; `file` must live as long as the job. */
int job_put(struct cgroup_change *job, const struct hierarchy *h, struct error *err, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* The hierarchy for a limit that is set, its controller turned on; NULL with *err set when the host has none. */
const struct hierarchy *job_need(struct cgroup_change *job, enum controller controller, struct error *err);

/* cgroup_more.c. Before the usual limits what would be in their way, after them the rest. */
int put_more_before(struct cgroup_change *job, const struct more_resources *more, struct error *err);
int put_more(struct cgroup_change *job, const struct more_resources *more, struct error *err);

/* Memory plus swap: as asked for, or no swap beside the memory; 0 when nothing is to be set. */
static inline int64_t resources_memsw(const struct resources *r)
{
	return r->memory_swap_limit_bytes || !r->forbid_swap ? r->memory_swap_limit_bytes : r->memory_limit_bytes;
}

/* cgroup_v2.c. Makes the controllers usable in the group, as far as its ancestors allow; 0 when all are. */
int v2_enable(const struct hierarchy *h, const char *path, unsigned controllers, struct error *err);

/* The weight of OCI's cgroup v2 conversion for CPU shares: 2 is 1, 1024 is 100, 262144 is 10000. */
uint64_t v2_cpu_weight(int64_t shares);

#endif
