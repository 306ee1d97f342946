#include "runtime/features.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/caps.h"
#include "runtime/cgroup_internal.h"
#include "runtime/kernel.h"
#include "runtime/rootfs_internal.h"

#define DETAIL_SIZE sizeof(((struct feature_result *)0)->detail)

/* Major and minor number of the running kernel in one: 5.15 is 515. */
static int kernel_version(char *release, size_t size)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return 0;
	(void)snprintf(release, size, "%s", name.release);
	return major * 100 + (minor > 99 ? 99 : minor);
}

static bool probe_kernel(char *detail)
{
	return kernel_version(detail, DETAIL_SIZE) >= 515;
}

static bool probe_root(char *detail)
{
	uint64_t wanted = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_SETFCAP;

	(void)snprintf(detail, DETAIL_SIZE, "uid %u", geteuid());
	return geteuid() == 0 && (caps_all() & wanted) == wanted;
}

/* True when the file has this word; whole files of procfs and sysfs are short. */
static bool file_has_word(const char *path, const char *word)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(65536);
	struct error ignored = ERROR_INIT;
	char *rest, *token;

	if (io_read_file(AT_FDCWD, path, &text, &ignored) < 0)
		return false;
	rest = text.data;
	while ((token = strsep(&rest, " \t\n,"))) {
		if (!strcmp(token, word))
			return true;
	}
	return false;
}

/* A file system that is built in or loaded; else whether its module lies ready to be loaded by the first mount. */
static bool has_file_system(const char *name, const char *module, char *detail)
{
	char release[128] = "", path[300];

	if (file_has_word("/proc/filesystems", name))
		return true;
	(void)kernel_version(release, sizeof(release));
	(void)snprintf(path, sizeof(path), "/lib/modules/%s/kernel/fs/%s", release, module);
	if (access(path, F_OK) < 0)
		return false;
	(void)snprintf(detail, DETAIL_SIZE, "as a module");
	return true;
}

static bool probe_overlay(char *detail)
{
	return has_file_system("overlay", "overlayfs", detail);
}

static bool probe_mqueue(char *detail)
{
	/* Part of CONFIG_POSIX_MQUEUE, never a module. */
	return has_file_system("mqueue", "mqueue", detail);
}

static bool probe_lowerdir_plus(char *detail)
{
	if (!file_has_word("/proc/filesystems", "overlay")) {
		(void)snprintf(detail, DETAIL_SIZE, "not asked: overlay is not loaded");
		return false;
	}
	return overlay_takes_layers();
}

/* On a detached copy of the root mount, which nobody else sees. */
static bool probe_mount_calls(char *detail)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_fd_ int fd = sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd >= 0 && sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr) == 0)
		return true;
	(void)snprintf(detail, DETAIL_SIZE, "%s", strerror(errno));
	return false;
}

static bool probe_idmapped_mounts(char *detail)
{
	/* Overlays on idmapped layers. */
	return kernel_version(detail, DETAIL_SIZE) >= 519;
}

static bool probe_seccomp(char *detail)
{
	unsigned action = SECCOMP_RET_ERRNO;

	(void)detail;
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool probe_pidfd(char *detail)
{
	_cleanup_fd_ int fd = sys_pidfd_open(getpid(), 0);

	(void)detail;
	return fd >= 0;
}

/* PIDFD_GET_INFO of linux/pidfd.h (Linux 6.13, the exit code 6.15), which Debian's headers do not have; 64 bytes, the first version. */
struct pidfd_info_v0 {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t ids[8];
	int32_t exit_code;
};
_Static_assert(sizeof(struct pidfd_info_v0) == 64, "PIDFD_INFO_SIZE_VER0");
#define GET_INFO _IOWR(0xFF, 11, struct pidfd_info_v0)
#define INFO_EXIT (UINT64_C(1) << 3)

/* The exit code is there after the reap only, so a child has to end for it: one without a signal, which no reaper waits for. */
static bool probe_pidfd_exit(char *detail)
{
	struct pidfd_info_v0 info = { .mask = INFO_EXIT };
	_cleanup_fd_ int pidfd = -1;
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = 0 };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(7);
	if (pid < 0 || waitpid((pid_t)pid, NULL, __WALL) != pid) {
		(void)snprintf(detail, DETAIL_SIZE, "no child: %s", strerror(errno));
		return false;
	}
	return ioctl(pidfd, GET_INFO, &info) == 0 && (info.mask & INFO_EXIT) && WEXITSTATUS(info.exit_code) == 7;
}

static bool probe_user_namespaces(char *detail)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(64);
	struct error ignored = ERROR_INIT;

	if (io_read_file(AT_FDCWD, "/proc/sys/user/max_user_namespaces", &text, &ignored) < 0 || !text.data)
		return false;
	text.data[strcspn(text.data, "\n")] = '\0';
	(void)snprintf(detail, DETAIL_SIZE, "at most %s", text.data);
	return strcmp(text.data, "0") != 0;
}

static struct cgroup_roots *open_roots(char *detail)
{
	struct cgroup_roots *roots;
	struct error err = ERROR_INIT;

	if (cgroup_roots_open("auto", &roots, &err) == 0)
		return roots;
	(void)snprintf(detail, DETAIL_SIZE, "%.*s", (int)DETAIL_SIZE - 1, err.text);
	return NULL;
}

static bool probe_cgroup(char *detail)
{
	static const enum controller needed[] = { CONTROLLER_CPU, CONTROLLER_MEMORY, CONTROLLER_PIDS, CONTROLLER_CPUSET };
	struct cgroup_roots *roots = open_roots(detail);
	FILE *out = roots ? fmemopen(detail, DETAIL_SIZE, "w") : NULL;
	bool present = roots != NULL;

	for (size_t i = 0; roots && i < ARRAY_SIZE(needed); i++)
		present = present && roots_find(roots, needed[i]);
	if (out) {
		cgroup_roots_describe(roots, out);
		(void)fclose(out);
	}
	cgroup_roots_close(roots);
	return present;
}

/* By the controller of version 1, or by a BPF program of version 2: a kernel that has those looks for the group first, and EBADF says
 * that there is none of that descriptor. */
static bool probe_devices(char *detail)
{
	struct cgroup_roots *roots = open_roots(detail);
	union bpf_attr attr = { .query = { .target_fd = (unsigned)-1, .attach_type = BPF_CGROUP_DEVICE } };
	bool v1 = roots && roots_find(roots, CONTROLLER_DEVICES), v2;

	v2 = syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) == 0 || errno == EBADF;
	cgroup_roots_close(roots);
	(void)snprintf(detail, DETAIL_SIZE, "%s", v1 ? "devices controller" : v2 ? "BPF program" : "neither controller nor BPF");
	return v1 || v2;
}

static bool probe_cgroup_kill(char *detail)
{
	struct cgroup_roots *roots = open_roots(detail);
	bool v2 = false;

	for (size_t i = 0; roots && i < roots->n; i++)
		v2 = v2 || roots->hierarchies[i].version->unified;
	cgroup_roots_close(roots);
	return v2 && kernel_version(detail, DETAIL_SIZE) >= 514;
}

static bool probe_pressure(char *detail)
{
	(void)detail;
	return access("/proc/pressure/cpu", R_OK) == 0;
}

static bool probe_sys_resource(char *detail)
{
	(void)detail;
	return caps_all() >> CAP_SYS_RESOURCE & 1;
}

static bool probe_netfilter(char *detail)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		(void)snprintf(detail, DETAIL_SIZE, "%s", strerror(errno));
	return fd >= 0;
}

static bool probe_lsm(char *detail)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(1024);
	struct error ignored = ERROR_INIT;

	if (io_read_file(AT_FDCWD, "/sys/kernel/security/lsm", &text, &ignored) < 0 || !text.data)
		return false;
	(void)snprintf(detail, DETAIL_SIZE, "%.*s", (int)DETAIL_SIZE - 1, text.data);
	return strstr(text.data, "apparmor") || strstr(text.data, "selinux");
}

static const struct {
	const char *name;
	bool required;
	bool (*probe)(char *detail);
	const char *needed_for, *how_to_mend;
} features[] = {
	{ "root", true, probe_root, "namespaces, mounts, networks", "run as root, outside of an unprivileged container" },
	{ "kernel", true, probe_kernel, "everything: 5.15 is the oldest supported", "boot a newer kernel" },
	{ "overlay", true, probe_overlay, "root file systems of containers", "modprobe overlay, or CONFIG_OVERLAY_FS" },
	{ "mount calls", true, probe_mount_calls, "mounts by descriptor: open_tree, mount_setattr (5.12)",
	  "boot a newer kernel; allow the calls where seccomp filters the daemon" },
	{ "lowerdir+", false, probe_lowerdir_plus, "images of many layers without a detour", "Linux 6.8" },
	{ "mqueue", true, probe_mqueue, "POSIX message queues of pods", "CONFIG_POSIX_MQUEUE" },
	{ "cgroups", true, probe_cgroup, "limits of CPU, memory and processes",
	  "mount cgroup2 on /sys/fs/cgroup with its controllers" },
	{ "device rules", true, probe_devices, "keeping containers off the host's devices",
	  "CONFIG_CGROUP_DEVICE, or CONFIG_CGROUP_BPF" },
	{ "cgroup.kill", false, probe_cgroup_kill, "ending a container that forks faster than it is killed",
	  "mount cgroup2 (Linux 5.14)" },
	{ "pressure", false, probe_pressure, "pressure figures in statistics", "CONFIG_PSI, psi=1" },
	{ "seccomp", true, probe_seccomp, "filtering system calls", "CONFIG_SECCOMP_FILTER" },
	{ "pidfd", true, probe_pidfd, "signalling the right process", "boot a newer kernel" },
	{ "exit codes by pidfd", false, probe_pidfd_exit, "exit codes of containers that ended while the daemon was away",
	  "Linux 6.15" },
	{ "user namespaces", false, probe_user_namespaces, "pods with users of their own", "sysctl user.max_user_namespaces" },
	{ "idmapped mounts", false, probe_idmapped_mounts, "volumes of pods with users of their own", "Linux 5.19" },
	{ "CAP_SYS_RESOURCE", false, probe_sys_resource, "a negative oom_score_adj, and raising hard limits",
	  "grant it to the daemon; runtime.clamp_oom_score_adj goes without" },
	{ "netfilter", false, probe_netfilter, "masquerading, host ports", "modprobe nf_tables, or CONFIG_NF_TABLES" },
	{ "AppArmor or SELinux", false, probe_lsm, "a second line behind capabilities and seccomp", "boot with lsm=apparmor" },
};

size_t features_probe(struct feature_result *results, size_t max)
{
	for (size_t i = 0; i < max && i < ARRAY_SIZE(features); i++) {
		struct feature_result *r = &results[i];

		*r = (struct feature_result){ .name = features[i].name,
					      .required = features[i].required,
					      .needed_for = features[i].needed_for,
					      .how_to_mend = features[i].how_to_mend };
		r->present = features[i].probe(r->detail);
		r->detail[strcspn(r->detail, "\n")] = '\0';
	}
	return ARRAY_SIZE(features);
}
