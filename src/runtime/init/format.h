/*
 * The plan's format: what the compiler lays out, the interpreter executes and plan_print() reads.
 *
 * One block without a pointer: a header, operations of one fixed size, a scratch area for the report, the vectors of the command, lists
 * and, to the end of the block, NUL-terminated texts, in this order and without overlap, because the interpreter writes to the scratch
 * area and the vectors. Every reference is an offset from the block's first byte. plan_block_check()
 * holds every bounds check; whoever gets a block from elsewhere calls it once and may then follow each offset blindly.
 *
 * Compiler and interpreter are built from one tree and embedded in one binary, so the format has no compatibility to keep: the magic
 * changes with it and a mismatch is refused.
 *
 * Freestanding: this header includes nothing but the compiler's own.
 */
#ifndef MONOPOD_RUNTIME_INIT_FORMAT_H
#define MONOPOD_RUNTIME_INIT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x33504c50U /* "PLP3" */

/* Where the interpreter maps its plan: fixed, so that the daemon can read `current` of one that hangs. Below every address that the
 * kernel hands out by itself to a non-PIE program on x86_64 and aarch64. */
#define PLAN_ADDRESS 0x20000000UL

/* Argument vectors of execve() may take 6 MiB (three quarters of _STK_LIM); the rest is small. */
#define PLAN_MAX_BYTES (8U << 20)
#define PLAN_MAX_OPS 4096U /* arbitrary; a common container has 70 */
#define PLAN_MAX_FDS 900U  /* below the usual soft RLIMIT_NOFILE of 1024 with the fixed numbers */

/* The descriptors that the interpreter finds, by number. 3 to 6 are the spawner's own and closed by its exec. */
enum {
	PLAN_FD_REPORT = 7, /* SOCK_SEQPACKET to the daemon */
	PLAN_FD_PLAN = 8,   /* this block, sealed */
	PLAN_FD_SLOTS = 9,  /* slot N of the plan is descriptor 9 + N */
};

/* What stands on the spawner's read-only root for masked paths: a directory without entries and a null device. */
#define PLAN_EMPTY_DIR "empty"
#define PLAN_NULL_DEVICE "null"

/* What an operation refers to, for the check below. */
enum {
	PLAN_HAS_FD = 1,         /* fd is a slot */
	PLAN_MAY_FD = 2,         /* fd is a slot or -1 */
	PLAN_HAS_TEXT = 4,       /* text is an offset of a text */
	PLAN_LISTS_TEXTS = 8,    /* list holds n_list 32-bit offsets of texts, 0 for none; at least one, the first not 0 */
	PLAN_LISTS_NUMBERS = 16, /* list holds n_list 32-bit numbers; may be empty */
	PLAN_LISTS_FILTER = 32,  /* list holds n_list struct sock_filter; at least one */
};

/*
 * Every kind of operation: name for timelines and faults, what it refers to. The operands:
 *   oom-score      writes `text` to the file in the slot, the process's own oom_score_adj
 *   cgroup         writes 0 to the file in the slot, `tasks` of a version 1 cgroup
 *   fork           goes on in a child of the daemon with clone flags value[0], in the cgroup whose directory is in the slot; `text`
 *                  says what for
 *   signals        default dispositions, nothing blocked
 *   label          tells AppArmor or SELinux what the next exec is to run under: `text` for the attribute exec of the process; list[0] is
 *                  its file below /proc/self/attr. Inherited by forks; before any namespace is joined
 *   session        a session of its own; PLAN_TTY: with descriptor 0 as the controlling terminal
 *   join           setns(slot, value[0])
 *   unshare        unshare(value[0]); with a user namespace in the slot, that one owns the new namespaces
 *   host-root      the mount in the slot, a copy of the host's, becomes / for hooks; the container's root is attached inside it
 *   root           the mount in the slot becomes /, with propagation value[0]; PLAN_LATER: is attached at `text` and becomes / by the pivot
 *   pivot          the root becomes /, and what was / is let go
 *   mount          list[0] is the file system, the text at `mode` the name of its source (0: the same), then pairs of option and value (0: a flag); on `text`, attributes value[0]; for proc the
 *                  slot may hold the PID namespace to show; PLAN_OWNED: its root belongs to the owner;
 *                  PLAN_LABELLED: the last pair is an extended attribute of its root
 *   bind           the mount in the slot on `text`, attributes value[0]; PLAN_FILE: the missing target is a file
 *   mkdir          `text` and its missing parents, with mode, uid and gid
 *   symlink        `text`, pointing to list[0]; its directory is on a file system that was mounted by this plan
 *   device         `text`, mode with type, value[0] major, value[1] minor, uid, gid
 *   attributes     adds attributes value[0] to the mount at `text`
 *   mask           hides `text`
 *   readonly       makes `text` read-only
 *   console        a pty becomes descriptors 0, 1 and 2; its master goes to the daemon; PLAN_FILE: and appears as /dev/console
 *   stdio          gives pipes among 0, 1 and 2 to uid, and replaces null devices by the container's own; PLAN_LATER: the first
 *                  alone; PLAN_RETRY: the second alone
 *   rlimit         resource mode, value[0] soft, value[1] hard
 *   umask          mode
 *   chdir          to `text`; PLAN_LATER: a refusal may be cured by the retry; PLAN_RETRY: only after such a refusal
 *   close-on-exec  everything but 0, 1 and 2
 *   bounding       keeps value[0] of the bounding set
 *   groups         exactly the list
 *   user           uid, gid
 *   capabilities   value[0] permitted and effective, value[1] inheritable
 *   ambient        value[0]
 *   no-new-privs
 *   propagation    value[0] (MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE) for the mount at `text`; PLAN_RECURSIVE: and all below it
 *   hostname       `text`
 *   domainname     `text`
 *   sysctl         writes list[0] to the file `text` below /proc/sys
 *   loopback       sets the network namespace's lo up
 *   personality    value[0]
 *   scheduler      list is a struct sched_attr (sched_setattr(2)) as 32-bit numbers
 *   io-priority    value[0] as of ioprio_set(2)
 *   affinity       list are the processors as bits (sched_setaffinity(2))
 *   time           makes a time namespace, writes `text` to its offsets (unless it is empty), and enters it
 *   sync           reports that it has come so far, value[0] says where to, and waits for one byte of answer; goes with its peer;
 *                  PLAN_LATER: reports nothing, since the peer answers what it has heard earlier
 *   wait           accepts one connection on the socket in the slot, which takes the place of PLAN_FD_REPORT
 *   hook           runs the program `text` and waits for it: list holds argument vector, 0, environment; the slot is its standard
 *                  input, from the beginning; value[0] milliseconds at most; value[1] is one more than the slot of its output, 0 for ours
 *   lookup         fails as exec would when none of the paths in list is an executable file; `text` is what was asked for
 *   keep           the slots in the list become descriptors 3, 4, 5, ... that survive exec; slots are not to be had after it
 *   seccomp        list is the filter, value[0] its flags
 *   exec           the header's vectors; list are the paths to try; `text` is what was asked for
 *   stay           reaps for ever, under the name `text`
 *   owner          from here on, directories, files and links that no operation names an owner for belong to uid and gid
 */
#define PLAN_KINDS(X)                                                                                                              \
	X(OOM_SCORE, "oom-score", PLAN_HAS_FD | PLAN_HAS_TEXT)                                                                     \
	X(CGROUP, "cgroup", PLAN_HAS_FD | PLAN_HAS_TEXT)                                                                           \
	X(FORK, "fork", PLAN_MAY_FD | PLAN_HAS_TEXT)                                                                               \
	X(SIGNALS, "signals", 0)                                                                                                   \
	X(LABEL, "label", PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                                        \
	X(SESSION, "session", 0)                                                                                                   \
	X(JOIN, "join", PLAN_HAS_FD)                                                                                               \
	X(UNSHARE, "unshare", PLAN_MAY_FD)                                                                                         \
	X(HOST_ROOT, "host-root", PLAN_HAS_FD)                                                                                     \
	X(PIVOT, "pivot", 0)                                                                                                       \
	X(ROOT, "root", PLAN_HAS_FD | PLAN_HAS_TEXT)                                                                               \
	X(MOUNT, "mount", PLAN_MAY_FD | PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                          \
	X(BIND, "bind", PLAN_HAS_FD | PLAN_HAS_TEXT)                                                                               \
	X(MKDIR, "mkdir", PLAN_HAS_TEXT)                                                                                           \
	X(SYMLINK, "symlink", PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                                    \
	X(DEVICE, "device", PLAN_HAS_TEXT)                                                                                         \
	X(ATTRIBUTES, "attributes", PLAN_HAS_TEXT)                                                                                 \
	X(MASK, "mask", PLAN_HAS_TEXT)                                                                                             \
	X(READONLY, "readonly", PLAN_HAS_TEXT)                                                                                     \
	X(CONSOLE, "console", 0)                                                                                                   \
	X(STDIO, "stdio", 0)                                                                                                       \
	X(RLIMIT, "rlimit", 0)                                                                                                     \
	X(UMASK, "umask", 0)                                                                                                       \
	X(CHDIR, "chdir", PLAN_HAS_TEXT)                                                                                           \
	X(CLOSE_ON_EXEC, "close-on-exec", 0)                                                                                       \
	X(BOUNDING, "bounding", 0)                                                                                                 \
	X(GROUPS, "groups", PLAN_LISTS_NUMBERS)                                                                                    \
	X(USER, "user", 0)                                                                                                         \
	X(CAPABILITIES, "capabilities", 0)                                                                                         \
	X(AMBIENT, "ambient", 0)                                                                                                   \
	X(NO_NEW_PRIVS, "no-new-privs", 0)                                                                                         \
	X(PROPAGATION, "propagation", PLAN_HAS_TEXT)                                                                               \
	X(HOSTNAME, "hostname", PLAN_HAS_TEXT)                                                                                     \
	X(DOMAINNAME, "domainname", PLAN_HAS_TEXT)                                                                                 \
	X(SYSCTL, "sysctl", PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                                      \
	X(LOOPBACK, "loopback", 0)                                                                                                 \
	X(PERSONALITY, "personality", 0)                                                                                           \
	X(SCHEDULER, "scheduler", PLAN_LISTS_NUMBERS)                                                                              \
	X(IO_PRIORITY, "io-priority", 0)                                                                                           \
	X(SYNC, "sync", 0)                                                                                                         \
	X(WAIT, "wait", PLAN_HAS_FD)                                                                                               \
	X(HOOK, "hook", PLAN_HAS_FD | PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                            \
	X(LOOKUP, "lookup", PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                                      \
	X(KEEP, "keep", PLAN_LISTS_NUMBERS)                                                                                        \
	X(SECCOMP, "seccomp", PLAN_LISTS_FILTER)                                                                                   \
	X(EXEC, "exec", PLAN_HAS_TEXT | PLAN_LISTS_TEXTS)                                                                          \
	X(STAY, "stay", PLAN_HAS_TEXT)                                                                                             \
	X(OWNER, "owner", 0)                                                                                                       \
	X(AFFINITY, "affinity", PLAN_LISTS_NUMBERS)                                                                                \
	X(TIME, "time", PLAN_HAS_TEXT)

enum plan_kind {
#define PLAN_KIND_ENUM(id, name, refers) PLAN_##id,
	PLAN_KINDS(PLAN_KIND_ENUM)
#undef PLAN_KIND_ENUM
		PLAN_KIND_COUNT
};

/* What hooks may have at most: arguments and, apart, variables (arbitrary; their vectors lie on the interpreter's stack). */
#define PLAN_HOOK_STRINGS 512U

/* Flags of an operation. */
enum {
	PLAN_FAULT = 1,    /* fails with EIO instead of being done: a fault point (base/fault.h) */
	PLAN_NO_LINKS = 2, /* no component of the target is a symbolic link, and none is created through one */
	PLAN_ON_PROC = 4,  /* the target may lie on a procfs */
	PLAN_FILE = 8,
	PLAN_TTY = 16,
	PLAN_LATER = 32,
	PLAN_RETRY = 64,
	PLAN_RECURSIVE = 128,
	PLAN_OWNED = 256,
	PLAN_LABELLED = 512,
};

struct plan_op {
	uint16_t kind;
	uint16_t flags;
	int32_t fd;    /* slot or -1 */
	uint32_t text; /* offset; 0: none */
	uint32_t list; /* offset, a multiple of 8 */
	uint32_t n_list;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint64_t value[2];
};

/* Microseconds; start counts from the interpreter's first instruction. */
struct plan_time {
	uint32_t start_us;
	uint32_t took_us;
};

/* One message on PLAN_FD_REPORT. */
enum plan_report_kind {
	PLAN_REPORT_FAILED = 1, /* operation `op` failed with `error`; the process ends */
	PLAN_REPORT_FORKED,     /* the rest is done by `pid`; this process ends */
	PLAN_REPORT_CONSOLE,    /* comes with the master of the console */
	PLAN_REPORT_SYNC,       /* operation `op` waits for an answer of one byte */
	PLAN_REPORT_DONE,       /* all but exec is done; n_ops struct plan_time follow. End-of-file after it means success */
};

struct plan_report {
	uint32_t kind;
	uint32_t op;
	int32_t error; /* errno */
	int32_t pid;
	int32_t status; /* of a hook that did not end well, as of wait(2); 0: none */
	uint32_t reserved;
	uint64_t began_us; /* CLOCK_MONOTONIC at the interpreter's first instruction */
};

struct plan_header {
	uint32_t magic;
	uint32_t size; /* of the block */
	uint32_t ops, n_ops;
	uint32_t report;       /* a struct plan_report and n_ops struct plan_time, zeroes in the file */
	uint32_t argv, n_argv; /* n 64-bit offsets of texts and one 0; the interpreter turns them into pointers in place */
	uint32_t envp, n_envp;
	uint32_t lists;        /* to the texts */
	uint32_t texts;        /* to the end of the block */
	uint32_t n_fds;        /* slots */
	uint32_t own_oom_file; /* 1: the last slot is the process's own oom_score_adj, opened before the interpreter starts */
	uint32_t clone_flags;  /* CLONE_NEW* for the first process */
	uint32_t current;      /* operation under way, 0 in the file */
	uint32_t reserved;     /* the operations are aligned to 8 bytes */
};

static inline const struct plan_op *plan_ops(const struct plan_header *plan)
{
	return (const struct plan_op *)(const void *)((const char *)plan + plan->ops);
}

static inline const char *plan_text(const struct plan_header *plan, uint32_t offset)
{
	return (const char *)plan + offset;
}

static inline const uint32_t *plan_list(const struct plan_header *plan, const struct plan_op *op)
{
	return (const uint32_t *)(const void *)((const char *)plan + op->list);
}

/* True when `count` items from `offset` on end before the texts. */
static inline bool plan_range_ok(const struct plan_header *plan, uint32_t offset, uint64_t count, uint64_t item)
{
	return offset % 8 == 0 && offset <= plan->texts && count * item <= plan->texts - offset;
}

static inline bool plan_text_ok(const struct plan_header *plan, uint64_t offset)
{
	return offset >= plan->texts && offset < plan->size;
}

static inline bool plan_vector_ok(const struct plan_header *plan, uint32_t offset, uint32_t n)
{
	const uint64_t *slots = (const uint64_t *)(const void *)((const char *)plan + offset);

	if (slots[n] != 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!plan_text_ok(plan, slots[i]))
			return false;
	}
	return true;
}

static inline unsigned plan_kind_refers(unsigned kind)
{
#define PLAN_KIND_REFERS(id, name, refers) refers,
	static const unsigned char refers[] = { PLAN_KINDS(PLAN_KIND_REFERS) };
#undef PLAN_KIND_REFERS

	return refers[kind];
}

static inline bool plan_list_ok(const struct plan_header *plan, const struct plan_op *op, unsigned refers)
{
	const uint32_t *list = plan_list(plan, op);

	if (!(refers & (PLAN_LISTS_TEXTS | PLAN_LISTS_NUMBERS | PLAN_LISTS_FILTER)))
		return true;
	if (op->list < plan->lists)
		return false;
	if (refers & PLAN_LISTS_FILTER)
		return op->n_list > 0 && op->n_list <= UINT16_MAX && plan_range_ok(plan, op->list, op->n_list, 8);
	if (!plan_range_ok(plan, op->list, op->n_list, sizeof(uint32_t)))
		return false;
	if (refers & PLAN_LISTS_NUMBERS)
		return true;
	for (uint32_t i = 0; i < op->n_list; i++) {
		if (list[i] != 0 && !plan_text_ok(plan, list[i]))
			return false;
	}
	return op->n_list > 0 && list[0] != 0;
}

/* What single kinds ask of their operands besides. */
static inline bool plan_operands_ok(const struct plan_header *plan, const struct plan_op *op)
{
	const uint32_t *list = plan_list(plan, op);

	if (op->kind == PLAN_MOUNT)
		return op->mode == 0 || plan_text_ok(plan, op->mode);
	if (op->kind == PLAN_HOOK)
		return op->value[1] <= plan->n_fds && op->n_list <= 2 * PLAN_HOOK_STRINGS;
	if (op->kind == PLAN_SCHEDULER)
		return op->n_list >= 12; /* SCHED_ATTR_SIZE_VER0 */
	if (op->kind != PLAN_KEEP)
		return true;
	for (uint32_t i = 0; i < op->n_list; i++) {
		if (list[i] >= plan->n_fds)
			return false;
	}
	return true;
}

static inline bool plan_op_ok(const struct plan_header *plan, const struct plan_op *op)
{
	unsigned refers;

	if (op->kind >= PLAN_KIND_COUNT)
		return false;
	refers = plan_kind_refers(op->kind);
	if (op->fd < -1 || op->fd >= (int32_t)plan->n_fds || ((refers & PLAN_HAS_FD) && op->fd < 0))
		return false;
	if ((refers & PLAN_HAS_TEXT) && !plan_text_ok(plan, op->text))
		return false;
	/* a mount's options are pairs behind the name of the file system */
	if (op->kind == PLAN_MOUNT && op->n_list % 2 != 1)
		return false;
	return plan_list_ok(plan, op, refers) && plan_operands_ok(plan, op);
}

/* The areas follow each other as the header says. 64-bit sums of 32-bit numbers do not overflow. */
static inline bool plan_areas_ok(const struct plan_header *plan)
{
	uint64_t report_size = sizeof(struct plan_report) + (uint64_t)plan->n_ops * sizeof(struct plan_time);
	uint64_t at = sizeof(*plan);

	if (plan->ops != at)
		return false;
	at += (uint64_t)plan->n_ops * sizeof(struct plan_op);
	if (plan->report != at)
		return false;
	at += report_size;
	if (plan->argv != at)
		return false;
	at += ((uint64_t)plan->n_argv + 1) * sizeof(uint64_t);
	if (plan->envp != at)
		return false;
	at += ((uint64_t)plan->n_envp + 1) * sizeof(uint64_t);
	return plan->lists == at && at <= plan->texts && plan->texts < plan->size;
}

/* True when every offset in the block leads to what it should, inside it. `block` is aligned to 8 bytes, `size` bytes long. */
static inline bool plan_block_check(const void *block, size_t size)
{
	const struct plan_header *plan = block;

	if (size < sizeof(*plan) || size > PLAN_MAX_BYTES || plan->magic != PLAN_MAGIC || plan->size != size)
		return false;
	if (plan->n_ops == 0 || plan->n_ops > PLAN_MAX_OPS || plan->n_fds > PLAN_MAX_FDS || plan->own_oom_file > plan->n_fds)
		return false;
	if (!plan_areas_ok(plan) || ((const char *)block)[size - 1] != '\0')
		return false;
	if (!plan_vector_ok(plan, plan->argv, plan->n_argv) || !plan_vector_ok(plan, plan->envp, plan->n_envp))
		return false;
	for (uint32_t i = 0; i < plan->n_ops; i++) {
		if (!plan_op_ok(plan, plan_ops(plan) + i))
			return false;
	}
	return true;
}

#endif
