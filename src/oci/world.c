#include "oci/world_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "runtime/apparmor.h"
#include "runtime/caps.h"
#include "runtime/hook.h"
#include "runtime/kernel.h"
#include "runtime/selinux.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* Linux 5.6 */
#endif

int world_keep(struct world *world, int fd)
{
	world->fds[world->n_fds++] = fd;
	return fd;
}

const char *world_in_bundle(struct arena *arena, const char *bundle, const char *path)
{
	return path[0] == '/' ? path : arena_printf(arena, "%s/%s", bundle, path);
}

static int open_root(struct world *world, struct arena *arena, const struct config *config, const char *bundle, struct error *err)
{
	const char *path = world_in_bundle(arena, bundle, config->root);
	struct stat st;
	int fd;

	if (!path)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	world->rootfs_path = realpath(path, NULL);
	if (!world->rootfs_path)
		return error_sys(err, errno, "root.path %s", path);
	fd = sys_open_tree(AT_FDCWD, world->rootfs_path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0)
		return error_sys(err, errno, "root.path %s", path);
	world->spec.rootfs = world_keep(world, fd);
	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "root.path %s is not a directory", path);
	return 0;
}

/* --- namespaces -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int type;
} namespaces[OCI_NS_KINDS] = {
	[OCI_NS_PID] = { "pid", CLONE_NEWPID },    [OCI_NS_NETWORK] = { "network", CLONE_NEWNET },
	[OCI_NS_MOUNT] = { "mount", CLONE_NEWNS }, [OCI_NS_IPC] = { "ipc", CLONE_NEWIPC },
	[OCI_NS_UTS] = { "uts", CLONE_NEWUTS },    [OCI_NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP },
	[OCI_NS_USER] = { "user", CLONE_NEWUSER }, [OCI_NS_TIME] = { "time", CLONE_NEWTIME },
};

/* A descriptor, NS_NEW or NS_HOST. */
static int open_namespace(struct world *world, const struct config *config, enum ns_kind kind, int *ret_ns, struct error *err)
{
	const struct namespace_config *ns = &config->namespaces[kind];
	int fd;

	*ret_ns = ns->wanted ? NS_NEW : NS_HOST;
	if (!ns->path)
		return 0;
	/* not blocking: the path may be anything */
	fd = open(ns->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return error_sys(err, errno, "%s namespace %s", namespaces[kind].name, ns->path);
	*ret_ns = world_keep(world, fd);
	if (ioctl(fd, NS_GET_NSTYPE) != namespaces[kind].type)
		return error_set(err, ERR_INVALID, "%s namespace %s: it is none of that type", namespaces[kind].name, ns->path);
	return 0;
}

static int open_namespaces(struct world *world, const struct config *config, struct error *err)
{
	struct container_spec *spec = &world->spec;

	if (open_namespace(world, config, OCI_NS_PID, &spec->pid_ns, err) < 0 ||
	    open_namespace(world, config, OCI_NS_NETWORK, &spec->net_ns, err) < 0 ||
	    open_namespace(world, config, OCI_NS_IPC, &spec->ipc_ns, err) < 0 ||
	    open_namespace(world, config, OCI_NS_UTS, &spec->uts_ns, err) < 0 ||
	    open_namespace(world, config, OCI_NS_CGROUP, &spec->cgroup_ns, err) < 0 ||
	    open_namespace(world, config, OCI_NS_TIME, &world->time_ns.fd, err) < 0 ||
	    open_namespace(world, config, OCI_NS_USER, &world->user_ns, err) < 0)
		return -1;
	world->time_ns.offsets = config->time_offsets;
	if (config->namespaces[OCI_NS_TIME].wanted)
		spec->time_ns = &world->time_ns;
	spec->new_cgroup_ns = spec->cgroup_ns == NS_NEW;
	spec->joins_cgroup_ns = spec->cgroup_ns >= 0;
	return 0;
}

/* --- process and hooks ------------------------------------------------------------------------------------------------- */

/* Without AppArmor "unconfined" holds by itself; any other profile would silently not. */
static int resolve_profile(struct process_config *process, struct error *err)
{
	const char *profile = process->apparmor_profile;

	if (!profile || !*profile || (!strcmp(profile, "unconfined") && !apparmor_is_on())) {
		process->apparmor_profile = NULL;
		return 0;
	}
	if (strcmp(profile, "unconfined") != 0 && apparmor_check_profile(profile, err) < 0)
		return error_prefix(err, "process.apparmorProfile");
	return 0;
}

static int resolve_label(struct process_config *process, struct error *err)
{
	const char *label = process->selinux_label;

	if (!label || !*label) {
		process->selinux_label = NULL;
		return 0;
	}
	if (!selinux_is_on(SELINUX_FS))
		return error_set(err, ERR_STATE, "process.selinuxLabel: SELinux is off here");
	return selinux_check_label(SELINUX_FS, label, err) < 0 ? error_prefix(err, "process.selinuxLabel") : 0;
}

int world_identity(struct process_config *process, struct error *err)
{
	uint64_t ours = caps_all();

	if (resolve_profile(process, err) < 0 || resolve_label(process, err) < 0)
		return -1;
	/* nobody can grant what he does not hold; as other runtimes do */
	process->identity.bounding &= ours;
	process->identity.permitted &= ours;
	process->identity.inheritable &= ours;
	process->identity.ambient &= ours;
	return 0;
}

static void fill_process(struct container_spec *spec, const struct process_config *process)
{
	static const char *const nothing[] = { "/", NULL };

	/* without a process there is nothing to start, and `start` says so */
	spec->no_command = process->args == NULL;
	spec->argv = process->args ? process->args : nothing;
	spec->envp = process->env;
	spec->cwd = process->cwd;
	spec->identity = process->identity;
	spec->rlimits = process->rlimits;
	spec->n_rlimits = process->n_rlimits;
	spec->set_oom_score_adj = process->set_oom_score_adj;
	spec->oom_score_adj = process->oom_score_adj;
	spec->tty = process->terminal;
	spec->extras = process->extras;
	spec->extras.first_cpus = spec->extras.cpus = (struct cpu_mask){ 0 };
	spec->apparmor = process->apparmor_profile;
	spec->selinux = process->selinux_label;
}

/* Without SELinux files have no label, and nothing is less protected for it. */
static int fill_mount_label(struct container_spec *spec, const char *label, struct error *err)
{
	if (!label || !*label || !selinux_is_on(SELINUX_FS))
		return 0;
	spec->mount_label = label;
	return selinux_check_label(SELINUX_FS, label, err) < 0 ? error_prefix(err, "linux.mountLabel") : 0;
}

static void fill_rest(struct container_spec *spec, const struct config *config)
{
	spec->readonly_rootfs = config->readonly_root;
	spec->hostname = config->hostname;
	spec->domainname = config->domainname;
	spec->sysctls = config->sysctls;
	spec->n_sysctls = config->n_sysctls;
	spec->devices = config->devices;
	spec->n_devices = config->n_devices;
	spec->masked_paths = config->masked_paths;
	spec->readonly_paths = config->readonly_paths;
	spec->root_propagation = config->root_propagation;
	spec->root_propagation_recursive = config->root_propagation_recursive;
}

static int open_hooks(struct world *world, const struct config *config, struct error *err)
{
	struct hooks_spec *hooks = &world->hooks;

	*hooks = (struct hooks_spec){
		.outside = config->hooks[HOOK_PRESTART].n + config->hooks[HOOK_CREATE_RUNTIME].n > 0,
		.create_container = config->hooks[HOOK_CREATE_CONTAINER].hooks,
		.n_create_container = config->hooks[HOOK_CREATE_CONTAINER].n,
		.start_container = config->hooks[HOOK_START_CONTAINER].hooks,
		.n_start_container = config->hooks[HOOK_START_CONTAINER].n,
		.state = -1,
		.output = STDERR_FILENO,
		.host_tree = -1,
		.rootfs_path = world->rootfs_path,
	};
	if (!hooks->outside && hooks->n_create_container + hooks->n_start_container == 0)
		return 0;
	hooks->state = hook_state_open(err);
	if (hooks->state < 0)
		return -1;
	(void)world_keep(world, hooks->state);
	world->spec.hooks = hooks;
	if (!hooks->outside && hooks->n_create_container == 0)
		return 0;
	hooks->host_tree = hook_host_tree(err);
	return hooks->host_tree < 0 ? -1 : world_keep(world, hooks->host_tree) < 0 ? -1 : 0;
}

int world_open(const struct config *config, const char *id, const char *bundle, const struct cgroup_roots *roots,
	       const struct cgroup *cgroup, struct world *ret_world, struct error *err)
{
	struct arena *arena = (struct arena *)(uintptr_t)&config->arena;
	struct world *world = ret_world;

	*world = (struct world){
		.has_user_ns = config->namespaces[OCI_NS_USER].wanted,
		.spec = { .name = id, .rootfs = -1, .cgroup = cgroup, .cgroup_roots = roots },
		/* root, namespaces, mounts, hooks' two */
		.fds = arena_new_array(arena, int, config->n_mounts + OCI_NS_KINDS + CGROUP_TREES_MAX + 3),
	};
	if (!world->fds)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (open_root(world, arena, config, bundle, err) < 0 || open_namespaces(world, config, err) < 0 ||
	    fill_mount_label(&world->spec, config->mount_label, err) < 0 ||
	    world_open_mounts(world, arena, config, bundle, err) < 0 || open_hooks(world, config, err) < 0)
		return -1;
	fill_process(&world->spec, &config->process);
	fill_rest(&world->spec, config);
	return 0;
}

void world_close(struct world *world)
{
	for (size_t i = 0; i < world->n_fds; i++)
		(void)close(world->fds[i]);
	world->n_fds = 0;
	free(world->rootfs_path);
	world->rootfs_path = NULL;
}
