/*
 * What the builtin profile allows: the facts of the default profile that container engines share (as of 2026, with AF_ALG and AF_VSOCK
 * denied and io_uring gone), ordered by subject. Everything that is not named is denied with EPERM.
 */
#include "runtime/seccomp_profile.h"

#include <linux/capability.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
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

const struct profile_set profile_sets[] = {
	{ 0, 0, VERDICT_ALLOW, files },
	{ 0, 0, VERDICT_ALLOW, attributes },
	{ 0, 0, VERDICT_ALLOW, memory },
	{ 0, 0, VERDICT_ALLOW, processes },
	{ 0, 0, VERDICT_ALLOW, signals_and_waiting },
	{ 0, 0, VERDICT_ALLOW, clocks },
	{ 0, 0, VERDICT_ALLOW, ipc },
	{ 0, 0, VERDICT_ALLOW, network },
	{ 0, 0, VERDICT_ALLOW, asynchronous_io },
	{ 0, 0, VERDICT_ALLOW, random_numbers },
	{ 0, 0, VERDICT_ALLOW, architecture },
	{ 0, 0, VERDICT_IF_PERSONALITY, personality_call },
	{ 0, 0, VERDICT_IF_SOCKET_DOMAIN, socket_call },
	{ 0, CAP(SYS_ADMIN), VERDICT_IF_CLONE_PLAIN, clone_call },
	/* Its flags lie in memory, where a filter cannot look; libc falls back to clone. */
	{ 0, CAP(SYS_ADMIN), VERDICT_NO_SUCH_CALL, clone3_call },
	{ CAP(SYS_ADMIN), 0, VERDICT_ALLOW, with_sys_admin },
	{ CAP(DAC_READ_SEARCH), 0, VERDICT_ALLOW, with_dac_read_search },
	{ CAP(SYS_BOOT), 0, VERDICT_ALLOW, with_sys_boot },
	{ CAP(SYS_CHROOT), 0, VERDICT_ALLOW, with_sys_chroot },
	{ CAP(SYS_MODULE), 0, VERDICT_ALLOW, with_sys_module },
	{ CAP(SYS_PACCT), 0, VERDICT_ALLOW, with_sys_pacct },
	{ CAP(SYS_PTRACE), 0, VERDICT_ALLOW, with_sys_ptrace },
	{ CAP(SYS_RAWIO), 0, VERDICT_ALLOW, with_sys_rawio },
	{ CAP(SYS_TIME), 0, VERDICT_ALLOW, with_sys_time },
	{ CAP(SYS_TTY_CONFIG), 0, VERDICT_ALLOW, with_sys_tty_config },
	{ CAP(SYS_NICE), 0, VERDICT_ALLOW, with_sys_nice },
	{ CAP(SYSLOG), 0, VERDICT_ALLOW, with_syslog },
	{ CAP(BPF), 0, VERDICT_ALLOW, with_bpf },
	{ CAP(PERFMON), 0, VERDICT_ALLOW, with_perfmon },
};
const size_t profile_n_sets = ARRAY_SIZE(profile_sets);

const uint32_t profile_personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
const size_t profile_n_personalities = ARRAY_SIZE(profile_personalities);

/* 12, 19, 23: DECnet, Econet, IrDA, which the kernel has dropped. */
const uint8_t profile_denied_domains[] = { 12, 19, AF_ATMSVC, 23, AF_WANPIPE, 34 /* IUCV */, AF_CAIF, AF_ALG, AF_VSOCK };
const size_t profile_n_denied_domains = ARRAY_SIZE(profile_denied_domains);

const struct profile_number profile_numbers[] = {
	{ 0, "cachestat", 451 },
	{ 0, "fchmodat2", 452 },
	{ 0, "map_shadow_stack", 453 },
	{ 0, "futex_wake", 454 },
	{ 0, "futex_wait", 455 },
	{ 0, "futex_requeue", 456 },
	{ 0, "statmount", 457 },
	{ 0, "listmount", 458 },
	{ 0, "lsm_get_self_attr", 459 },
	{ 0, "lsm_set_self_attr", 460 },
	{ 0, "lsm_list_modules", 461 },
	{ 0, "mseal", 462 },
	{ 0, "setxattrat", 463 },
	{ 0, "getxattrat", 464 },
	{ 0, "listxattrat", 465 },
	{ 0, "removexattrat", 466 },
	{ SCMP_ARCH_X86_64, "uretprobe", 335 },
	{ SCMP_ARCH_X86, "recvmmsg", 337 },
	{ SCMP_ARCH_X86, "sendmmsg", 345 },
	{ SCMP_ARCH_X86, "socket", 359 },
	{ SCMP_ARCH_X86, "socketpair", 360 },
	{ SCMP_ARCH_X86, "bind", 361 },
	{ SCMP_ARCH_X86, "connect", 362 },
	{ SCMP_ARCH_X86, "listen", 363 },
	{ SCMP_ARCH_X86, "accept4", 364 },
	{ SCMP_ARCH_X86, "getsockopt", 365 },
	{ SCMP_ARCH_X86, "setsockopt", 366 },
	{ SCMP_ARCH_X86, "getsockname", 367 },
	{ SCMP_ARCH_X86, "getpeername", 368 },
	{ SCMP_ARCH_X86, "sendto", 369 },
	{ SCMP_ARCH_X86, "sendmsg", 370 },
	{ SCMP_ARCH_X86, "recvfrom", 371 },
	{ SCMP_ARCH_X86, "recvmsg", 372 },
	{ SCMP_ARCH_X86, "shutdown", 373 },
	{ SCMP_ARCH_X86, "semget", 393 },
	{ SCMP_ARCH_X86, "semctl", 394 },
	{ SCMP_ARCH_X86, "shmget", 395 },
	{ SCMP_ARCH_X86, "shmctl", 396 },
	{ SCMP_ARCH_X86, "shmat", 397 },
	{ SCMP_ARCH_X86, "shmdt", 398 },
	{ SCMP_ARCH_X86, "msgget", 399 },
	{ SCMP_ARCH_X86, "msgsnd", 400 },
	{ SCMP_ARCH_X86, "msgrcv", 401 },
	{ SCMP_ARCH_X86, "msgctl", 402 },
};
const size_t profile_n_numbers = ARRAY_SIZE(profile_numbers);

uint64_t profile_relevant_caps(void)
{
	uint64_t set = 0;

	for (size_t i = 0; i < profile_n_sets; i++)
		set |= profile_sets[i].with_caps | profile_sets[i].without_caps;
	return set;
}

bool profile_next_name(const char **rest, char name[PROFILE_NAME_SIZE])
{
	const char *start = *rest + strspn(*rest, " ");
	size_t len = strcspn(start, " ");

	(void)snprintf(name, PROFILE_NAME_SIZE, "%.*s", (int)len, start);
	*rest = start + len;
	return len > 0;
}
