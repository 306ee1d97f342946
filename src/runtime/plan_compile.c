#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/apparmor.h"
#include "runtime/cgroup.h"
#include "runtime/kernel.h"
#include "runtime/plan.h"
#include "runtime/plan_lay.h"
#include "runtime/selinux.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* Linux 5.6 */
#endif

static bool pidns_option;

static void probe_procfs(void)
{
	_cleanup_fd_ int fs = sys_fsopen("proc", FSOPEN_CLOEXEC);
	_cleanup_fd_ int ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

	pidns_option = fs >= 0 && ns >= 0 && sys_fsconfig(fs, FSCONFIG_SET_FD, "pidns", NULL, ns) == 0;
}

bool procfs_takes_pidns(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, probe_procfs);
	return pidns_option;
}

static void lay_oom_score(struct plan_build *build, int value)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", value);
	plan_add(build, PLAN_OOM_SCORE)->text = plan_add_text(build, text);
	build->own_oom_file = true;
}

static void lay_fork(struct plan_build *build, int cgroup_fd, uint64_t flags, const char *why)
{
	struct plan_op *op = plan_add(build, PLAN_FORK);

	op->text = plan_add_text(build, why);
	op->value[0] = flags;
	if (cgroup_fd >= 0)
		op->fd = plan_add_fd(build, cgroup_fd);
}

/*
 * Enters the cgroup, and a new PID namespace if there is to be one. Version 1 is entered by a write, version 2 by being born there (a
 * pid written from outside costs an RCU grace period, 11 ms): not by the daemon's own child, but by a second one that is cloned from
 * the interpreter's few pages. The first shares the daemon's memory until it has exec'd the interpreter. In the group its freezer could
 * stop it there and the spawner with it, and a group that is killed as one when memory is out (memory.oom.group) would take along
 * whoever shares that memory, the daemon. The writes come after it, so that the process limit of a group counts one process.
 */
static void lay_cgroup_entry(struct plan_build *build, const struct cgroup *cgroup, bool new_pid_ns)
{
	uint64_t new_pid = new_pid_ns ? CLONE_NEWPID : 0;
	int unified = cgroup ? cgroup_unified_fd(cgroup) : -1;
	const int *fds;
	size_t n = 0;

	if (unified >= 0)
		lay_fork(build, unified, new_pid, "enter cgroup");
	else
		build->clone_flags |= (uint32_t)new_pid;
	if (cgroup)
		n = cgroup_task_fds(cgroup, &fds);
	for (size_t i = 0; i < n; i++) {
		struct plan_op *op = plan_add(build, PLAN_CGROUP);

		op->text = plan_add_text(build, cgroup_path(cgroup));
		op->fd = plan_add_fd(build, fds[i]);
	}
}

static void lay_join(struct plan_build *build, int fd, uint64_t namespaces)
{
	struct plan_op *op;

	if (fd < 0)
		return;
	op = plan_add(build, PLAN_JOIN);
	op->fd = plan_add_fd(build, fd);
	op->value[0] = namespaces;
}

/* `list` is what is written to which file of the process. */
static void lay_attribute(struct plan_build *build, const char *name, const char *text)
{
	uint32_t file = plan_add_text(build, name);
	struct plan_op *op = plan_add(build, PLAN_LABEL);

	op->text = plan_add_text(build, text);
	op->list = plan_add_list(build, &file, 1, sizeof(file));
	op->n_list = 1;
}

/*
 * What the next exec runs under. Before anything is joined, so that no file of the container is in the way; forks inherit it, and hooks
 * of the host are forks: with those it comes after them.
 */
static void lay_label(struct plan_build *build, const char *profile, const char *label)
{
	char text[sizeof("exec ") + APPARMOR_NAME_MAX];

	if (profile) {
		(void)snprintf(text, sizeof(text), "exec %s", profile);
		lay_attribute(build, "self/attr/apparmor/exec", text);
	}
	if (label)
		lay_attribute(build, "self/attr/exec", label);
}

static int check_label(const char *profile, const char *label, struct error *err)
{
	if (label && (!*label || strlen(label) >= SELINUX_LABEL_SIZE))
		return error_set(err, ERR_INVALID, "SELinux: '%.64s' is not a label", label);
	return profile ? apparmor_check_name(profile, err) : 0;
}

static int finish(struct plan_build *build, const char *name, struct plan **ret_plan, struct error *err)
{
	if (plan_build_finish(build, ret_plan, err) < 0)
		return error_prefix(err, "lay out plan");
	(void)snprintf((*ret_plan)->name, sizeof((*ret_plan)->name), "monopod: %s", name);
	return 0;
}

static uint32_t new_flags(const struct container_spec *spec)
{
	return (spec->net_ns == NS_NEW ? CLONE_NEWNET : 0U) | (spec->ipc_ns == NS_NEW ? CLONE_NEWIPC : 0U) |
	       (spec->uts_ns == NS_NEW ? CLONE_NEWUTS : 0U);
}

/* The cgroup namespace, which begins where the process is by now, and those that a user namespace is to own. */
static void lay_unshare(struct plan_build *build, const struct container_spec *spec)
{
	uint32_t flags = (spec->user_ns ? new_flags(spec) : 0) | (spec->new_cgroup_ns ? CLONE_NEWCGROUP : 0U);
	struct plan_op *op;

	if (flags == 0)
		return;
	op = plan_add(build, PLAN_UNSHARE);
	op->value[0] = flags;
	if (spec->user_ns)
		op->fd = plan_add_fd(build, spec->user_ns->fd);
}

/* The container's root owns what is made for the container. Maps that leave root out leave that to the host's. */
static void lay_owner(struct plan_build *build, const struct user_ns_spec *user_ns)
{
	struct error ignored;
	struct plan_op *op;
	uid_t uid;
	gid_t gid;

	if (!user_ns || outside_uid(user_ns, 0, &uid, &ignored) < 0 || outside_gid(user_ns, 0, &gid, &ignored) < 0)
		return;
	op = plan_add(build, PLAN_OWNER);
	op->uid = uid;
	op->gid = gid;
}

/*
 * The files are made and mounted by the host's root, in a mount namespace that belongs to the host: so proc and sysfs can be mounted, and
 * nodes made. Then the process becomes one of the user namespace and takes a copy of the mounts with it. The kernel locks what a less
 * privileged user namespace gets a copy of: masks stay, and what is read-only remains so, whatever rights the container has in there.
 */
static void lay_user_ns(struct plan_build *build, const struct user_ns_spec *user_ns)
{
	if (!user_ns)
		return;
	lay_join(build, user_ns->fd, CLONE_NEWUSER);
	lay_inside(build, user_ns);
	plan_add(build, PLAN_UNSHARE)->value[0] = CLONE_NEWNS;
}

static struct command command_of(const struct container_spec *spec, const char *cwd, bool late_fork)
{
	return (struct command){
		.argv = spec->argv,
		.envp = spec->envp,
		.cwd = cwd,
		.identity = &spec->identity,
		.rlimits = spec->rlimits,
		.n_rlimits = spec->n_rlimits,
		.seccomp = spec->seccomp,
		.user_ns = spec->user_ns,
		.tty = spec->tty,
		.forks_last = late_fork,
		.extras = &spec->extras,
		.hooks = spec->hooks,
		.recorded = spec->waits ? SYNC_READY : spec->recorded,
		.waits = spec->waits,
		.no_command = spec->no_command,
		.start_socket = spec->start_socket,
	};
}

static void lay_time(struct plan_build *build, const struct time_ns_spec *time)
{
	if (!time)
		return;
	lay_join(build, time->fd, CLONE_NEWTIME);
	if (time->fd == NS_NEW)
		plan_add(build, PLAN_TIME)->text = plan_add_text(build, time->offsets ? time->offsets : "");
}

/* Cgroup, namespaces and, on a kernel whose procfs shows only the reader's PID namespace, the process that is in it. */
static void lay_world(struct plan_build *build, const struct container_spec *spec, bool late_fork)
{
	build->clone_flags = CLONE_NEWNS | (spec->user_ns ? 0 : new_flags(spec));
	if (spec->set_oom_score_adj)
		lay_oom_score(build, spec->oom_score_adj);
	lay_cgroup_entry(build, spec->cgroup, spec->pid_ns == NS_NEW);
	(void)plan_add(build, PLAN_SIGNALS);
	if (!spec->hooks)
		lay_label(build, spec->apparmor, spec->selinux);
	lay_join(build, spec->net_ns, CLONE_NEWNET);
	lay_join(build, spec->ipc_ns, CLONE_NEWIPC);
	lay_join(build, spec->uts_ns, CLONE_NEWUTS);
	lay_unshare(build, spec);
	if (!spec->new_cgroup_ns && spec->joins_cgroup_ns)
		lay_join(build, spec->cgroup_ns, CLONE_NEWCGROUP);
	lay_time(build, spec->time_ns);
	lay_join(build, spec->pid_ns, CLONE_NEWPID);
	if (spec->pid_ns >= 0 && !late_fork)
		lay_fork(build, -1, 0, "enter PID namespace");
}

static void lay_console(struct plan_build *build, const struct identity *who, bool show)
{
	struct plan_op *op = plan_add(build, PLAN_CONSOLE);

	op->uid = who->uid;
	op->flags |= show ? PLAN_FILE : 0;
}

static bool has_own_dev(const struct container_spec *spec)
{
	bool own = false;
	struct error ignored;
	char target[PATH_MAX];

	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (clean_path(target, spec->mounts[i].target, "", &ignored) == 0 && !strcmp(target, "/dev"))
			own = spec->mounts[i].kind == MOUNT_TMPFS;
	}
	return own;
}

/* Ids were checked by command_check(). */
static void lay_work_dir(struct plan_build *build, const struct container_spec *spec, const char *cwd)
{
	struct error ignored;
	struct plan_op *op;
	uid_t uid = 0;
	gid_t gid = 0;

	if (!strcmp(cwd, "/"))
		return;
	(void)outside_uid(spec->user_ns, spec->identity.uid, &uid, &ignored);
	(void)outside_gid(spec->user_ns, spec->identity.gid, &gid, &ignored);
	op = plan_add(build, PLAN_MKDIR);
	op->text = plan_add_text(build, cwd);
	op->mode = 0755;
	op->uid = uid;
	op->gid = gid;
}

static int lay_files(struct plan_build *build, const struct container_spec *spec, const char *cwd, bool late_fork,
		     struct error *err)
{
	lay_owner(build, spec->user_ns);
	if (lay_root(build, spec, err) < 0 || lay_mounts(build, spec, late_fork, err) < 0)
		return -1;
	if (spec->tty && !spec->user_ns)
		lay_console(build, &spec->identity, has_own_dev(spec));
	if (lay_create_hooks(build, spec->hooks, err) < 0)
		return -1;
	if (spec->hooks)
		lay_label(build, spec->apparmor, spec->selinux);
	lay_work_dir(build, spec, cwd);
	if (lay_paths(build, spec, err) < 0)
		return -1;
	if (spec->readonly_rootfs) {
		struct plan_op *op = plan_add(build, PLAN_ATTRIBUTES);

		op->text = plan_add_text(build, "/");
		op->value[0] = MOUNT_ATTR_RDONLY;
	}
	if (spec->root_propagation) {
		struct plan_op *op = plan_add(build, PLAN_PROPAGATION);

		op->text = plan_add_text(build, "/");
		op->value[0] = spec->root_propagation;
		op->flags |= spec->root_propagation_recursive ? PLAN_RECURSIVE : 0;
	}
	return 0;
}

static bool mounts_proc(const struct container_spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (spec->mounts[i].kind == MOUNT_PROC)
			return true;
	}
	return false;
}

static int lay_container(struct plan_build *build, const struct container_spec *spec, struct error *err)
{
	/* hooks are told the process's pid, which must not change after them */
	bool late_fork = spec->pid_ns >= 0 && !spec->hooks && (!mounts_proc(spec) || procfs_takes_pidns());
	struct command command;
	char cwd[PATH_MAX];

	if (clean_path(cwd, spec->cwd && spec->cwd[0] ? spec->cwd : "/", "working directory", err) < 0)
		return -1;
	command = command_of(spec, cwd, late_fork);
	if (command_check(&command, err) < 0 || check_label(spec->apparmor, spec->selinux, err) < 0)
		return -1;
	build->user_ns = spec->user_ns;
	build->mount_label = spec->mount_label;
	lay_world(build, spec, late_fork);
	if (lay_settings(build, spec, err) < 0 || lay_files(build, spec, cwd, late_fork, err) < 0)
		return -1;
	lay_limits(build, &command);
	lay_user_ns(build, spec->user_ns);
	if (spec->tty && spec->user_ns)
		lay_console(build, &spec->identity, has_own_dev(spec));
	return lay_command(build, &command, err);
}

int plan_compile(const struct container_spec *spec, struct plan **ret_plan, struct error *err)
{
	_cleanup_plan_build_ struct plan_build build;

	plan_build_init(&build);
	if (lay_container(&build, spec, err) < 0)
		return -1;
	return finish(&build, spec->name, ret_plan, err);
}

static void lay_exec_join(struct plan_build *build, const struct exec_spec *spec)
{
	uint64_t namespaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

	namespaces |= spec->joins_pid_ns ? CLONE_NEWPID : 0;
	namespaces |= spec->joins_time_ns ? CLONE_NEWTIME : 0;
	namespaces |= spec->user_ns ? CLONE_NEWUSER : 0;
	lay_join(build, spec->target_pidfd, namespaces);
	lay_inside(build, spec->user_ns);
	if (spec->tty)
		lay_console(build, &spec->identity, false);
}

/* In a user namespace all that is looked up in the container's files is looked up with the container's own rights. */
static int lay_exec_process(struct plan_build *build, const struct exec_spec *spec, struct error *err)
{
	char cwd[PATH_MAX];
	struct command command = {
		.argv = spec->argv,
		.envp = spec->envp,
		.cwd = cwd,
		.identity = &spec->identity,
		.rlimits = spec->rlimits,
		.n_rlimits = spec->n_rlimits,
		.seccomp = spec->seccomp,
		.user_ns = spec->user_ns,
		.tty = spec->tty,
		.forks_last = spec->joins_pid_ns,
		.extras = &spec->extras,
	};

	if (clean_path(cwd, spec->cwd && spec->cwd[0] ? spec->cwd : "/", "working directory", err) < 0 ||
	    command_check(&command, err) < 0 || check_label(spec->apparmor, spec->selinux, err) < 0)
		return -1;
	if (spec->target_pidfd < 0)
		return error_set(err, ERR_INVALID, "no container to join");
	if (spec->set_oom_score_adj)
		lay_oom_score(build, spec->oom_score_adj);
	lay_affinity(build, &spec->extras.first_cpus);
	lay_cgroup_entry(build, spec->cgroup, false);
	(void)plan_add(build, PLAN_SIGNALS);
	lay_label(build, spec->apparmor, spec->selinux);
	lay_limits(build, &command);
	lay_exec_join(build, spec);
	return lay_command(build, &command, err);
}

int plan_compile_exec(const struct exec_spec *spec, struct plan **ret_plan, struct error *err)
{
	_cleanup_plan_build_ struct plan_build build;

	plan_build_init(&build);
	if (lay_exec_process(&build, spec, err) < 0)
		return -1;
	return finish(&build, spec->name, ret_plan, err);
}

static int finish_staying(struct plan_build *build, const char *comm, const char *name, struct plan **ret_plan, struct error *err)
{
	plan_add(build, PLAN_STAY)->text = plan_add_text(build, comm);
	plan_set_argv(build, NULL);
	plan_set_envp(build, NULL);
	return finish(build, name, ret_plan, err);
}

int plan_compile_pod_init(const struct pod_init_spec *spec, struct plan **ret_plan, struct error *err)
{
	_cleanup_plan_build_ struct plan_build build;

	plan_build_init(&build);
	build.clone_flags = CLONE_NEWNS;
	lay_cgroup_entry(&build, spec->cgroup, !spec->user_ns);
	(void)plan_add(&build, PLAN_SIGNALS);
	lay_join(&build, spec->net_ns, CLONE_NEWNET);
	lay_join(&build, spec->ipc_ns, CLONE_NEWIPC);
	lay_join(&build, spec->uts_ns, CLONE_NEWUTS);
	if (spec->user_ns) {
		lay_join(&build, spec->user_ns->fd, CLONE_NEWUSER);
		lay_fork(&build, -1, CLONE_NEWPID, "make PID namespace");
	}
	(void)plan_add(&build, PLAN_CLOSE_ON_EXEC);
	(void)plan_add(&build, PLAN_SESSION);
	lay_nobody(&build, spec->user_ns);
	return finish_staying(&build, "pod-init", spec->name, ret_plan, err);
}

int plan_compile_holder(const char *name, unsigned flags, struct plan **ret_plan, struct error *err)
{
	_cleanup_plan_build_ struct plan_build build;

	plan_build_init(&build);
	build.clone_flags = CLONE_NEWNS;
	(void)plan_add(&build, PLAN_SIGNALS);
	plan_add(&build, PLAN_UNSHARE)->value[0] = flags;
	(void)plan_add(&build, PLAN_CLOSE_ON_EXEC);
	return finish_staying(&build, "namespaces", name, ret_plan, err);
}

int plan_compile_guest(const char *name, int user_ns, struct plan **ret_plan, struct error *err)
{
	_cleanup_plan_build_ struct plan_build build;

	plan_build_init(&build);
	build.clone_flags = CLONE_NEWNS;
	(void)plan_add(&build, PLAN_SIGNALS);
	lay_join(&build, user_ns, CLONE_NEWUSER);
	(void)plan_add(&build, PLAN_CLOSE_ON_EXEC);
	return finish_staying(&build, "guest", name, ret_plan, err);
}
