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
struct sysctl_spec;

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

/* `length` ids from `inside` on, as a user namespace sees them, are those from `outside` on of the host (user_namespaces(7)). */
struct id_map {
	uint32_t inside, outside, length;
};

struct id_maps {
	const struct id_map *uids;
	size_t n_uids;
	const struct id_map *gids;
	size_t n_gids;
};

/*
 * A user namespace to live in. There is always a descriptor, of a pin (namespaces.h) or of one that userns_create() has just made for
 * this container: the maps must be written from outside. The maps are those that were written to it; by them the compiler finds the
 * host's ids, for what is made before the process enters the namespace.
 */
struct user_ns_spec {
	int fd;
	struct id_maps maps;
};

struct rlimit_spec {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

/* struct sched_attr of sched_setattr(2), first version. */
struct scheduler_spec {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* nanoseconds */
};

/* What few processes ask for; all zero is "as usual". */
struct process_extras {
	bool set_umask;
	mode_t umask;
	bool set_personality;
	unsigned long personality;
	const struct scheduler_spec *scheduler; /* NULL: the caller's */
	bool set_io_priority;
	int io_priority;          /* IOPRIO_PRIO_VALUE() of linux/ioprio.h */
	const int *preserved_fds; /* become 3, 4, 5, ... */
	size_t n_preserved_fds;
	struct cpu_mask {
		const uint32_t *bits; /* CPU N is bit N % 32 of number N / 32 */
		size_t n;             /* even, as the kernel counts in words; 0: not set */
	} first_cpus, cpus;           /* of exec alone: before it is in its cgroup, and from then on */
};

/* A time namespace: its clocks differ from the host's by what time_namespaces(7) has in timens_offsets. */
struct time_ns_spec {
	int fd;              /* to join; or NS_NEW */
	const char *offsets; /* of a new one: lines of that file; NULL: none */
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
	const char *options; /* "size=65536k,mode=1777" for the file systems that have them, "source=NAME" for all; NULL for none */
};

struct device_spec {
	const char *path; /* absolute, inside the container, below /dev */
	mode_t type;      /* S_IFCHR, S_IFBLK or S_IFIFO */
	mode_t mode;
	unsigned major, minor;
	uid_t uid; /* the container's ids */
	gid_t gid;
	bool host_owned; /* the ids are the host's: in a user namespace they are nobody's, unless mapped there */
};

/* A namespace to join: a descriptor, or one of the two below. */
#define NS_NEW (-1)  /* a new one for this container, owned by its user namespace where it has one */
#define NS_HOST (-2) /* the daemon's own */

/* How long a hook may take that does not say: the specification knows no limit, we do (arbitrary). */
#define HOOK_TIMEOUT_MS 600000

/* A program that runs at one moment of a start (OCI runtime-spec config.md, "POSIX-platform Hooks"), the container's state as JSON on
 * its standard input. One that fails ends the start. */
struct hook_spec {
	const char *path;        /* absolute */
	const char *const *argv; /* NULL: the path alone */
	const char *const *envp; /* all that it gets; NULL: nothing */
	unsigned timeout_ms;     /* 0: HOOK_TIMEOUT_MS */
};

/*
 * The hooks of a start. Those that run outside, where the daemon is (prestart, createRuntime), are run by the sync handler at
 * SYNC_WORLD by hook_run(); the plan only stops there. The others are operations of the plan: createContainer's are programs of the host in
 * the container's namespaces, which see the host's files and the container's root, with its mounts, at `rootfs_path`; startContainer's
 * are programs of the container with its identity.
 */
struct hooks_spec {
	bool outside; /* there are hooks for SYNC_WORLD */
	const struct hook_spec *create_container, *start_container;
	size_t n_create_container, n_start_container;
	int state;  /* from hook_state_open(): what the plan's hooks read; filled by the sync handler at SYNC_WORLD at the latest */
	int output; /* descriptor for what createContainer's hooks say */
	int host_tree;           /* from hook_host_tree(); unused (-1) when there is only start_container */
	const char *rootfs_path; /* absolute, on the host */
};

/* Where a plan stops and whoever started it is asked to do his part (struct sync_handler of spawner.h). */
enum sync_point {
	SYNC_WORLD = 1, /* all namespaces and mounts are there */
	SYNC_READY = 2, /* all but the command: the process will wait for a connection */
	SYNC_BORN = 3,  /* only the process: it goes on, to its command when this has been answered */
};

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
	const struct user_ns_spec *user_ns; /* NULL: the host's */
	int net_ns, ipc_ns, uts_ns;         /* descriptor, NS_NEW (with lo set up) or NS_HOST */
	int pid_ns;                         /* descriptor, NS_NEW or NS_HOST */
	const struct time_ns_spec *time_ns; /* NULL: the host's */
	bool new_cgroup_ns;
	bool joins_cgroup_ns;
	int cgroup_ns;                     /* descriptor, with joins_cgroup_ns */
	const char *hostname;              /* NULL: leave; needs a UTS namespace that is not the host's */
	const char *domainname;            /* the same */
	const struct sysctl_spec *sysctls; /* checked here; of namespaces that are not the host's */
	size_t n_sysctls;
	const struct cgroup *cgroup;             /* entered before anything else; NULL: stay in the daemon's */
	const struct cgroup_roots *cgroup_roots; /* MOUNT_CGROUP only: the hierarchies that appear in the container */
	const int *
		cgroup_trees; /* from cgroup_open_trees(): what MOUNT_CGROUP shows without a cgroup namespace of the container's own */
	int rootfs;           /* detached mount, becomes / */
	bool readonly_rootfs;
	const struct mount_spec *mounts; /* in this order */
	size_t n_mounts;
	const struct device_spec *devices;
	size_t n_devices;
	const char *const *masked_paths; /* NULL-terminated; those that do not exist are skipped */
	const char *const *readonly_paths;
	const struct seccomp_filter *seccomp; /* NULL: unconfined */
	const char *apparmor;                 /* profile, loaded; NULL: that of the daemon */
	const char *selinux;                  /* label of the process; NULL: that of the daemon */
	const char
		*mount_label; /* SELinux label of the file systems that are made for it; NULL: the policy's; `rootfs` has its own */

	/* what the OCI configuration has and the CRI has not */
	const struct hooks_spec *hooks; /* NULL: none */
	enum sync_point recorded; /* when: SYNC_READY, or SYNC_BORN if there are no hooks; 0: never; with `waits` SYNC_READY */
	bool no_command;          /* with `waits`: what argv says is not looked for before the wait */
	bool waits;               /* the command runs when somebody has connected to start_socket; see spawner_run_synced() */
	int start_socket;         /* a listening unix socket (SOCK_SEQPACKET) */
	unsigned long root_propagation; /* of the root: MS_SHARED, MS_SLAVE, MS_UNBINDABLE; 0: private */
	bool root_propagation_recursive;
	struct process_extras extras;
};

/* A process inside a running container: joins all of its namespaces and its cgroup. */
struct exec_spec {
	const char *name;
	int target_pidfd;                   /* the container's init */
	bool joins_pid_ns;                  /* false when the container lives in the host's */
	bool joins_time_ns;                 /* the same */
	const struct user_ns_spec *user_ns; /* the container's, joined by target_pidfd: `fd` is not looked at. NULL: the host's */
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
	const char *apparmor; /* profile, or NULL */
	const char *selinux;  /* label, or NULL */
	struct process_extras extras;
};

#endif
