/* The child's half of a start: from the clone to the exec. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "floor.h"

static void join_cgroups(const struct pod *pod)
{
	char path[512];

	for (unsigned i = 0; i < floor_.n_hierarchies; i++) {
		if (floor_.hierarchies[i].unified)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s/c/tasks", floor_.hierarchies[i].path, pod->cgroup);
		write_file(path, "0");
	}
}

static void make_dev(void)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = { { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
		      { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };
	static const char *const links[][2] = { { "/proc/self/fd", "dev/fd" },
						{ "/proc/self/fd/0", "dev/stdin" },
						{ "/proc/self/fd/1", "dev/stdout" },
						{ "/proc/self/fd/2", "dev/stderr" },
						{ "pts/ptmx", "dev/ptmx" } };

	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k"));
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		MUST(symlink(links[i][0], links[i][1]));
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mkdir("dev/shm", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	MUST(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"));
}

static void mask_paths(void)
{
	static const char *const files[] = { "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list",
					     "proc/sched_debug" };
	static const char *const dirs[] = { "proc/acpi", "proc/asound", "proc/scsi", "sys/firmware" };
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (access(files[i], F_OK) == 0)
			MUST(mount("dev/null", files[i], NULL, MS_BIND, NULL));
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (access(dirs[i], F_OK) == 0)
			MUST(mount("tmpfs", dirs[i], "tmpfs", MS_RDONLY, "size=0k"));
	}
	for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++) {
		if (access(readonly[i], F_OK) < 0)
			continue;
		MUST(mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL));
		MUST(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	}
}

static void enter_root(const struct pod *pod)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(move_mount(pod->overlay, "", AT_FDCWD, pod->dir, MOVE_MOUNT_F_EMPTY_PATH));
	MUST(chdir(pod->dir));
	MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	MUST(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
	make_dev();
	mask_paths();
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
}

/* Docker's fourteen: what most containers run with. */
static void drop_capabilities(void)
{
	const uint64_t keep = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FSETID | 1ULL << CAP_FOWNER |
			      1ULL << CAP_MKNOD | 1ULL << CAP_NET_RAW | 1ULL << CAP_SETGID | 1ULL << CAP_SETUID |
			      1ULL << CAP_SETFCAP | 1ULL << CAP_SETPCAP | 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_SYS_CHROOT |
			      1ULL << CAP_KILL | 1ULL << CAP_AUDIT_WRITE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (!(keep >> cap & 1))
			MUST(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	}
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(keep >> (32 * i));
	MUST(syscall(SYS_capset, &header, data));
}

__attribute__((noreturn)) static void child(const struct pod *pod)
{
	static char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
				      (char *)(uintptr_t) "echo ready; exec sleep 3600", NULL };
	static char *const envp[] = { (char *)(uintptr_t) "PATH=/bin", NULL };
	const struct sock_fprog program = { .len = FILTER_RULES + 4, .filter = floor_.filter };

	/* A worker that dies takes its pod along. */
	MUST(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
	join_cgroups(pod);
	for (int i = floor_.host_network ? NS_IPC : NS_NET; i < 3; i++)
		MUST(setns(pod->ns[i], ns_flags[i]));
	MUST(unshare(CLONE_NEWCGROUP));
	MUST(sethostname("floor", 5));
	enter_root(pod);
	MUST(setsid());
	MUST(dup2(pod->line_pipe[1], STDOUT_FILENO));
	drop_capabilities();
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	(void)execve("/bin/sh", argv, envp);
	die("exec /bin/sh");
}

/* vfork semantics with clone3's flags. Inline, because the child runs on our stack below this frame and must not return into a
 * library function's. */
static inline __attribute__((always_inline)) long clone3_vfork(const struct clone_args *args)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)) : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(*args);

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
	return x0;
#else
#error "no clone3 for this architecture"
#endif
}

__attribute__((noinline)) void start_process(struct pod *pod)
{
	volatile struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK | CLONE_NEWPID | CLONE_NEWNS, .exit_signal = SIGCHLD };
	long pid;

	if (pod->unified_cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)pod->unified_cgroup;
	}
	pid = clone3_vfork((const struct clone_args *)(uintptr_t)&args);
	if (pid == 0)
		child(pod);
	if (pid < 0) {
		errno = (int)-pid;
		die("clone3");
	}
	pod->pid = (pid_t)pid;
}
