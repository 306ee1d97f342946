/*
 * What the builtin profile allows: the facts of the default profile that container engines share (as of 2026, with AF_ALG and AF_VSOCK
 * denied and io_uring gone), ordered by subject. Everything that is not named is denied with EPERM.
 */
#include "runtime/seccomp_profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/socket.h>

#include "base/mem.h"

#define CAP(name) (UINT64_C(1) << (CAP_##name))

static const char files[] =
	"access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
	"fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat "
	"fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat "
	"getcwd getdents getdents64 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown "
	"lchown32 link linkat listmount _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at "
	"newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink "
	"readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 "
	"statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat "
	"utime utimensat utimensat_time64 utimes vmsplice write writev";

static const char attributes[] =
	"fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr "
	"lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat";

static const char memory[] =
	"brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall "
	"mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
	"process_mrelease remap_file_pages";

static const char processes[] =
	"capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 "
	"getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 "
	"getrlimit getrusage getsid get_thread_area gettid getuid getuid32 ioprio_get ioprio_set landlock_add_rule "
	"landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv "
	"process_vm_writev ptrace rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max "
	"sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
	"sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 "
	"setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid "
	"setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid set_thread_area set_tid_address setuid "
	"setuid32 sysinfo times ugetrlimit uname uretprobe vfork wait4 waitid waitpid";

static const char signals_and_waiting[] =
	"alarm epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
	"eventfd eventfd2 kill _newselect pause pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 "
	"restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
	"rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo select sigaltstack signalfd signalfd4 sigprocmask "
	"sigreturn tgkill tkill";

static const char clocks[] =
	"adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	"clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create "
	"timer_delete timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 "
	"timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64";

static const char ipc[] =
	"futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list ipc mq_getsetattr "
	"mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl "
	"msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 set_robust_list shmat shmctl shmdt "
	"shmget";

static const char network[] =
	"accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 "
	"recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair";

static const char asynchronous_io[] = "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit";

static const char random_numbers[] = "getrandom";

/* Each name exists on its own architectures only. */
static const char architecture[] =
	"arch_prctl modify_ldt arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

static const char clone_call[] = "clone";
static const char clone3_call[] = "clone3";
static const char personality_call[] = "personality";
static const char socket_call[] = "socket";

static const char with_sys_admin[] =
	"bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
	"lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
	"quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare";

static const char with_dac_read_search[] = "open_by_handle_at";
static const char with_sys_boot[] = "reboot";
static const char with_sys_chroot[] = "chroot";
static const char with_sys_module[] = "delete_module init_module finit_module";
static const char with_sys_pacct[] = "acct";
static const char with_sys_ptrace[] = "kcmp pidfd_getfd process_madvise";
static const char with_sys_rawio[] = "iopl ioperm";
static const char with_sys_time[] = "settimeofday stime clock_settime clock_settime64";
static const char with_sys_tty_config[] = "vhangup";
static const char with_sys_nice[] = "get_mempolicy mbind set_mempolicy set_mempolicy_home_node";
static const char with_syslog[] = "syslog";
static const char with_bpf[] = "bpf";
static const char with_perfmon[] = "perf_event_open";

/* What is allowed without a condition: always, or to whom holds one of these capabilities. */
static const struct {
	uint64_t with_caps; /* 0: always */
	const char *names;
} sets[] = {
	{ 0, files },
	{ 0, attributes },
	{ 0, memory },
	{ 0, processes },
	{ 0, signals_and_waiting },
	{ 0, clocks },
	{ 0, ipc },
	{ 0, network },
	{ 0, asynchronous_io },
	{ 0, random_numbers },
	{ 0, architecture },
	{ CAP(SYS_ADMIN), with_sys_admin },
	{ CAP(DAC_READ_SEARCH), with_dac_read_search },
	{ CAP(SYS_BOOT), with_sys_boot },
	{ CAP(SYS_CHROOT), with_sys_chroot },
	{ CAP(SYS_MODULE), with_sys_module },
	{ CAP(SYS_PACCT), with_sys_pacct },
	{ CAP(SYS_PTRACE), with_sys_ptrace },
	{ CAP(SYS_RAWIO), with_sys_rawio },
	{ CAP(SYS_TIME), with_sys_time },
	{ CAP(SYS_TTY_CONFIG), with_sys_tty_config },
	{ CAP(SYS_NICE), with_sys_nice },
	{ CAP(SYSLOG), with_syslog },
	{ CAP(BPF), with_bpf },
	{ CAP(PERFMON), with_perfmon },
};

#if defined(__x86_64__)
static const uint32_t abis[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X32, SCMP_ARCH_X86 };
#elif defined(__aarch64__)
static const uint32_t abis[] = { SCMP_ARCH_AARCH64, SCMP_ARCH_ARM };
#else
#error "the system calls of this architecture have not been looked at"
#endif

/* The values of personality(2): PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is. */
static const uint32_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

/*
 * Domains of socket(2) that are denied, of those below DOMAINS; all from there on are. Some have no namespace (AF_VSOCK reaches the
 * hypervisor's host, AF_ALG the kernel's crypto), the others nobody maintains. 12, 19, 23: DECnet, Econet, IrDA, which the kernel has
 * dropped.
 */
#define DOMAINS 46
static const uint8_t denied_domains[] = { 12, 19, AF_ATMSVC, 23, AF_WANPIPE, 34 /* IUCV */, AF_CAIF, AF_ALG, AF_VSOCK };

/* Flags of clone(2) that make a namespace: CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. */
#define CLONE_NAMESPACES 0x7e020000U

static struct seccomp_arg int_arg(enum seccomp_op op, uint64_t value, uint64_t datum)
{
	return (struct seccomp_arg){ .index = 0, .op = op, .is_int = true, .value = value, .datum = datum };
}

struct rule_list {
	struct seccomp_rule *rules;
	size_t n;
};

static void add_rule(struct rule_list *list, const char *names, uint32_t action, const struct seccomp_arg *args, size_t n_args)
{
	list->rules[list->n++] = (struct seccomp_rule){ names, action, args, n_args };
}

/* Allowed with any one of the harmless values: a rule for each. */
static void add_personality(struct rule_list *list, struct seccomp_arg *args)
{
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++) {
		args[i] = int_arg(SECCOMP_OP_EQ, personalities[i], 0);
		add_rule(list, personality_call, SECCOMP_RET_ALLOW, &args[i], 1);
	}
}

/* Allowed when the domain is none of the denied ones: one rule with all of these conditions. */
static void add_socket(struct rule_list *list, struct seccomp_arg *args)
{
	args[0] = int_arg(SECCOMP_OP_LT, DOMAINS, 0);
	for (size_t i = 0; i < ARRAY_SIZE(denied_domains); i++)
		args[1 + i] = int_arg(SECCOMP_OP_NE, denied_domains[i], 0);
	add_rule(list, socket_call, SECCOMP_RET_ALLOW, args, 1 + ARRAY_SIZE(denied_domains));
}

static void add_conditional(struct rule_list *list, struct seccomp_arg *args, uint64_t caps)
{
	add_personality(list, args);
	args += ARRAY_SIZE(personalities);
	add_socket(list, args);
	args += 1 + ARRAY_SIZE(denied_domains);
	if (caps & CAP(SYS_ADMIN))
		return;
	args[0] = int_arg(SECCOMP_OP_MASKED_EQ, CLONE_NAMESPACES, 0);
	add_rule(list, clone_call, SECCOMP_RET_ALLOW, args, 1);
	/* Its flags lie in memory, where a filter cannot look; libc falls back to clone. */
	add_rule(list, clone3_call, SECCOMP_RET_ERRNO | ENOSYS, NULL, 0);
}

int profile_policy(uint64_t caps, struct arena *arena, struct seccomp_policy *ret_policy, struct error *err)
{
	struct rule_list list = { .rules = arena_new_array(arena, struct seccomp_rule,
							   ARRAY_SIZE(sets) + ARRAY_SIZE(personalities) + 3) };
	struct seccomp_arg *args =
		arena_new_array(arena, struct seccomp_arg, ARRAY_SIZE(personalities) + ARRAY_SIZE(denied_domains) + 2);

	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "seccomp profile: out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		if (sets[i].with_caps == 0 || (sets[i].with_caps & caps))
			add_rule(&list, sets[i].names, SECCOMP_RET_ALLOW, NULL, 0);
	}
	add_conditional(&list, args, caps);
	*ret_policy = (struct seccomp_policy){
		.default_action = SECCOMP_RET_ERRNO | EPERM,
		.beyond_action = SECCOMP_RET_ERRNO | ENOSYS,
		/* Without it kernels before 5.16 turn speculative store bypass off for the process, which costs it dear; later ones never do. */
		.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		.abis = abis,
		.n_abis = ARRAY_SIZE(abis),
		.rules = list.rules,
		.n_rules = list.n,
	};
	return 0;
}

uint64_t profile_relevant_caps(void)
{
	uint64_t set = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		set |= sets[i].with_caps;
	return set;
}
