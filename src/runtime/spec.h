/*
 * What a container is, in the kernel's words: the input of the plan compiler.
 *
 * The caller translates its own world (a CRI request, an OCI config.json) into these structs and owns everything they point to until
 * plan_compile() returns. Descriptors named here stay the caller's; they must stay open until spawner_run() returns.
 */
#ifndef MONOPOD_RUNTIME_SPEC_H
#define MONOPOD_RUNTIME_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup;
struct cgroup_roots;
struct seccomp_filter;

/* Who a process is. One function turns this into system calls, for containers and for exec alike (security.md, primitive 4). */
struct identity {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary groups, exactly these */
	size_t n_groups;
	uint64_t bounding;  /* capability sets, bit N is capability N (capabilities(7)) */
	uint64_t permitted; /* also becomes the effective set; emptied by the kernel for uid != 0 unless ambient */
	uint64_t inheritable;
	uint64_t ambient;
	bool no_new_privs;
};

struct rlimit_spec {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

enum mount_kind {
	MOUNT_BIND, /* `fd` is a detached tree from volume_open() or overlay_open() */
	MOUNT_PROC,
	MOUNT_SYSFS,
	MOUNT_CGROUP, /* the container's own cgroup namespace; v1: a tmpfs with one mount per hierarchy */
	MOUNT_TMPFS,
	MOUNT_DEVPTS,
	MOUNT_MQUEUE,
};

struct mount_spec {
	enum mount_kind kind;
	const char *target;  /* absolute, inside the container; created when missing, never through a link that leaves it */
	bool target_is_file; /* create the missing target as an empty file (MOUNT_BIND of a file) */
	int fd;              /* MOUNT_BIND only, else -1 */
	unsigned long flags; /* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC */
	const char *options; /* "size=65536k,mode=1777" for the file systems that have them; NULL for none */
};

struct device_spec {
	const char *path; /* absolute, inside the container, below /dev */
	mode_t type;      /* S_IFCHR or S_IFBLK */
	mode_t mode;
	unsigned major, minor;
	uid_t uid;
	gid_t gid;
};

/* A namespace to join: a descriptor, or one of the two below. */
#define NS_NEW (-1)  /* a new one for this container */
#define NS_HOST (-2) /* the daemon's own */

struct container_spec {
	const char *name; /* for ps, until the command is exec'd */

	/* the process */
	const char *const *argv; /* NULL-terminated, argv[0] is searched in PATH of envp inside the container */
	const char *const *envp; /* NULL-terminated, bytes */
	const char *cwd;         /* absolute; created when missing, owned by the identity */
	struct identity identity;
	const struct rlimit_spec *rlimits;
	size_t n_rlimits;
	bool set_oom_score_adj;
	int oom_score_adj;
	bool tty; /* stdio becomes a pty of the container's own devpts (console_fd in struct spawn_result) */

	/* its world */
	int net_ns, ipc_ns, uts_ns; /* descriptor or NS_HOST */
	int pid_ns;                 /* descriptor, NS_NEW or NS_HOST */
	bool new_cgroup_ns;
	const struct cgroup *cgroup;             /* entered before anything else; NULL: stay in the daemon's */
	const struct cgroup_roots *cgroup_roots; /* MOUNT_CGROUP only: the hierarchies that appear in the container */
	int rootfs;                              /* detached mount, becomes / */
	bool readonly_rootfs;
	const struct mount_spec *mounts; /* in this order */
	size_t n_mounts;
	const struct device_spec *devices;
	size_t n_devices;
	const char *const *masked_paths; /* NULL-terminated; those that do not exist are skipped */
	const char *const *readonly_paths;
	const struct seccomp_filter *seccomp; /* NULL: unconfined */
};

/* A process inside a running container: joins all of its namespaces and its cgroup. */
struct exec_spec {
	const char *name;
	int target_pidfd;  /* the container's init */
	bool joins_pid_ns; /* false when the container lives in the host's */
	const struct cgroup *cgroup;
	const char *const *argv;
	const char *const *envp;
	const char *cwd;
	struct identity identity;
	const struct rlimit_spec *rlimits;
	size_t n_rlimits;
	bool set_oom_score_adj;
	int oom_score_adj;
	bool tty;
	const struct seccomp_filter *seccomp;
};

#endif
