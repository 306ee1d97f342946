/*
 * The interpreter's inside. One process, one thread, no heap: everything is in the mapped plan or on the stack.
 *
 * Functions return a descriptor or 0, and -errno on failure.
 */
#ifndef MONOPOD_RUNTIME_INIT_RUN_H
#define MONOPOD_RUNTIME_INIT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/init/format.h"

/* Longest path that the kernel takes, with its NUL. */
#define PATH_SIZE 4096

struct run {
	struct plan_header *plan;
	uint64_t began_us;
	uint64_t shift_us;  /* by how much the clock has been set on in a time namespace */
	int report;         /* PLAN_FD_REPORT, or where op_keep() has moved it */
	uint32_t uid, gid;  /* owner of what is made without one being named */
	int root;           /* O_PATH descriptor of the container's /, -1 before there is one */
	int dev;            /* the tmpfs on /dev, -1 before the first node or link in it */
	int below;          /* the spawner's root, which the container's covers; -1 before that */
	int empty, null;    /* what covers masked directories and files, attached; -1 before the first of its kind */
	int proc;           /* a procfs that is mounted nowhere, -1 before the first sysctl */
	bool chdir_refused; /* try again with the container's identity */
	int hook_status;    /* wait status of a hook that failed, for the report */
};

typedef int op_fn(struct run *run, const struct plan_op *op);

/* mount.c */
op_fn op_host_root;
op_fn op_root;
op_fn op_pivot;
op_fn op_propagation;
op_fn op_mount;
op_fn op_bind;
op_fn op_attributes;
op_fn op_mask;
op_fn op_readonly;

/* node.c */
op_fn op_mkdir;
op_fn op_symlink;
op_fn op_device;

/* console.c */
op_fn op_console;
op_fn op_stdio;

/* world.c */
op_fn op_oom_score;
op_fn op_cgroup;
op_fn op_fork;
op_fn op_join;
op_fn op_unshare;
op_fn op_owner;

/* settings.c */
op_fn op_hostname;
op_fn op_domainname;
op_fn op_sysctl;
op_fn op_label;
op_fn op_loopback;
op_fn op_personality;
op_fn op_scheduler;
op_fn op_io_priority;
op_fn op_affinity;
op_fn op_time;

/* hook.c */
op_fn op_sync;
op_fn op_wait;
op_fn op_hook;

/* process.c */
op_fn op_signals;
op_fn op_session;
op_fn op_rlimit;
op_fn op_umask;
op_fn op_chdir;
op_fn op_close_on_exec;
op_fn op_lookup;
op_fn op_keep;
op_fn op_exec;
op_fn op_stay;

/* identity.c */
op_fn op_bounding;
op_fn op_groups;
op_fn op_user;
op_fn op_capabilities;
op_fn op_ambient;
op_fn op_no_new_privs;
op_fn op_seccomp;

/* report.c */
uint64_t now_us(void);
void report_failed(const struct run *run, uint32_t op, int error);
int report_forked(const struct run *run, int pid);
int report_sync(const struct run *run);
int report_console(const struct run *run, int master);
int report_done(const struct run *run);

/* path.c: descriptors of objects below run->root. None of them follows a magic link or leaves the root. */

/* `resolve` adds RESOLVE_* flags of openat2(2). */
int path_open(const struct run *run, const char *path, uint64_t flags, uint64_t resolve);

/* Opens the directory that operation's text names and creates what is missing of it, for the operation's uid and gid. O_PATH. */
int path_make_dir_for(const struct run *run, const struct plan_op *op, uint32_t mode, uint32_t uid, uint32_t gid);

/* The same, mode 0755, for the owner. */
int path_make_dir(const struct run *run, const struct plan_op *op);

/* The same for an empty regular file; whatever is there that is no directory is fine. */
int path_make_file(const struct run *run, const struct plan_op *op);

/* Opens (and makes) the directory that holds the last component of `path`, without following any link; *ret_name is that component. */
int path_make_parent(const struct run *run, const char *path, const char **ret_name);

/* True for a null device, by its numbers. */
bool is_null(int fd);

/* S_IFDIR and so on; 0 when the descriptor cannot say. */
uint32_t file_type(int fd);

/* True when the descriptor's file system has this magic number (linux/magic.h). */
bool is_on(int fd, long magic);

/* sys and string helpers */
static inline const char *op_text(const struct run *run, const struct plan_op *op)
{
	return plan_text(run->plan, op->text);
}

static inline int op_slot(const struct plan_op *op)
{
	return op->fd < 0 ? -1 : PLAN_FD_SLOTS + op->fd;
}

size_t text_length(const char *text);
void text_copy(char *to, const char *from, size_t length);

_Noreturn void leave(int status);

#endif
