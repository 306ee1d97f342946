#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

/* Memory beyond what the process has at start: libarchive's buffers, zstd's window of at most 128 MiB, the list of directory times. */
#define MAX_EXTRA_MEMORY ((rlim_t)512 << 20)

/* Enough for one path, the descriptors that are inherited, and a removal of a deep tree. */
#define MAX_DESCRIPTORS 512

/* What recreating other people's files takes: owners, modes despite owners, set-group-id bits, device nodes, file capabilities. */
static const int kept_capabilities[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP,
};

/* Between two descriptors, with the memory for it. */
static const int filter_calls[] = {
	SCMP_SYS(read),          SCMP_SYS(write),          SCMP_SYS(close),        SCMP_SYS(brk),
	SCMP_SYS(munmap),        SCMP_SYS(mremap),         SCMP_SYS(madvise),      SCMP_SYS(futex),
	SCMP_SYS(exit),          SCMP_SYS(exit_group),     SCMP_SYS(getrandom),    SCMP_SYS(getpid),
	SCMP_SYS(gettid),        SCMP_SYS(tgkill),         SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
	SCMP_SYS(sigaltstack),   SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(sched_yield),
	SCMP_SYS(clock_gettime),
};

/* Files below the root, by descriptor. */
static const int file_calls[] = {
	SCMP_SYS(openat),    SCMP_SYS(openat2),   SCMP_SYS(fstat),     SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(lseek),     SCMP_SYS(pwrite64),  SCMP_SYS(ftruncate), SCMP_SYS(mkdirat),    SCMP_SYS(mknodat),
	SCMP_SYS(symlinkat), SCMP_SYS(linkat),    SCMP_SYS(unlinkat),  SCMP_SYS(fchownat),   SCMP_SYS(fchown),
	SCMP_SYS(fchmod),    SCMP_SYS(utimensat), SCMP_SYS(fsetxattr), SCMP_SYS(getdents64), SCMP_SYS(fcntl),
	SCMP_SYS(fadvise64),
};

static int limit(int resource, rlim_t value, const char *name, struct error *err)
{
	struct rlimit old, new = { value, value };

	if (getrlimit(resource, &old) < 0)
		return error_sys(err, errno, "read limit %s", name);
	if (old.rlim_max < value)
		new.rlim_cur = new.rlim_max = old.rlim_max;
	return setrlimit(resource, &new) < 0 ? error_sys(err, errno, "set limit %s", name) : 0;
}

/* What the process has mapped already, and of that the writable part: sanitizers reserve terabytes, so fixed limits would not do. */
static void measure_memory(rlim_t *ret_all, rlim_t *ret_data)
{
	const rlim_t page = (rlim_t)sysconf(_SC_PAGESIZE);
	unsigned long all = 0, data = 0;
	FILE *file = fopen("/proc/self/statm", "re"); /* proc(5): size resident shared text lib data dt */

	if (file && fscanf(file, "%lu %*u %*u %*u %*u %lu", &all, &data) != 2)
		all = data = 0;
	if (file)
		(void)fclose(file);
	*ret_all = all * page;
	*ret_data = data * page;
}

static int limit_resources(rlim_t max_file_bytes, rlim_t max_descriptors, struct error *err)
{
	rlim_t all, data;

	measure_memory(&all, &data);
	(void)signal(SIGXFSZ, SIG_IGN); /* a write over the limit fails with EFBIG instead, which says more */
	if (limit(RLIMIT_AS, all + MAX_EXTRA_MEMORY, "address space", err) < 0 ||
	    limit(RLIMIT_DATA, data + MAX_EXTRA_MEMORY, "memory", err) < 0 || limit(RLIMIT_CORE, 0, "core", err) < 0)
		return -1;
	if (limit(RLIMIT_FSIZE, max_file_bytes, "file size", err) < 0)
		return -1;
	return limit(RLIMIT_NOFILE, max_descriptors, "descriptors", err);
}

static int set_capabilities(uint64_t kept, struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = (uint32_t)kept, .permitted = (uint32_t)kept },
		{ .effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32) },
	};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_sys(err, errno, "clear ambient capabilities");
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return error_sys(err, errno, "drop capability %d", cap);
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return error_sys(err, errno, "set capabilities");
	return 0;
}

static int forbid_gains(struct error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "set no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_sys(err, errno, "become undumpable");
	return 0;
}

static int allow_calls(scmp_filter_ctx filter, const int *calls, size_t n)
{
	int result = 0;

	for (size_t i = 0; i < n && result == 0; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return result;
}

/* Memory may be mapped, but never as code. */
static int allow_memory(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &not_exec);

	return result ? result : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &not_exec);
}

/* What is not allowed fails with ENOSYS, after which a C library of another version falls back instead of dying. */
static int filter_system_calls(bool with_files, struct error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int result;

	if (!filter)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a system call filter");
	result = allow_calls(filter, filter_calls, ARRAY_SIZE(filter_calls));
	if (result == 0)
		result = allow_memory(filter);
	if (result == 0 && with_files)
		result = allow_calls(filter, file_calls, ARRAY_SIZE(file_calls));
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0 ? 0 : error_sys(err, -result, "load the system call filter");
}

/* A second fence where the kernel has Landlock (5.19 for hard links between directories, when enabled): files may be written below the
 * root, nothing may be executed. Its absence is no error: the first fence is the root itself. */
static int restrict_files(struct error *err)
{
	const uint64_t all = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;
	const struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	struct landlock_path_beneath_attr rule = { .allowed_access = all & ~LANDLOCK_ACCESS_FS_EXECUTE };
	_cleanup_fd_ int ruleset = -1;
	_cleanup_fd_ int root = -1;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
		return 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return error_sys(err, errno, "create a Landlock ruleset");
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_sys(err, errno, "open the root");
	rule.parent_fd = root;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return error_sys(err, errno, "add a Landlock rule");
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_sys(err, errno, "enforce Landlock");
	return 0;
}

/* The C library reads the configuration of its character set converters, which libarchive uses, when the first is opened: that has to
 * happen before "/" is a stranger's. */
static void load_converters(void)
{
	iconv_t converter = iconv_open("UTF-8", "ANSI_X3.4-1968");

	if (converter != (iconv_t)-1)
		(void)iconv_close(converter);
}

static int enter_layer(int layer_fd, struct error *err)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
	};
	int tree = (int)syscall(SYS_open_tree, layer_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return error_sys(err, errno, "clone the mount of the layer");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_sys(err, errno, "restrict the mount of the layer");
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return error_sys(err, errno, "create namespaces");
	if (fchdir(tree) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return error_sys(err, errno, "make the layer the root");
	/* The descriptor in the daemon's mount, where links are followed and devices live, must not stay. The one of the copy must:
	 * the mount is attached nowhere and lasts as long as it. It can be used for nothing that "/" cannot. */
	if (dup2(tree, layer_fd) < 0)
		return error_sys(err, errno, "replace the descriptor of the layer");
	(void)close(tree);
	return 0;
}

int confine_unpacker(int layer_fd, uint64_t max_file_bytes, struct error *err)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept_capabilities); i++)
		kept |= UINT64_C(1) << kept_capabilities[i];
	load_converters();
	(void)umask(0);
	if (limit_resources(max_file_bytes, MAX_DESCRIPTORS, err) < 0 || enter_layer(layer_fd, err) < 0)
		return -1;
	if (set_capabilities(kept, err) < 0 || forbid_gains(err) < 0 || restrict_files(err) < 0)
		return -1;
	return filter_system_calls(true, err);
}

int confine_inflater(struct error *err)
{
	if (limit_resources(0, 16, err) < 0)
		return -1;
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return error_sys(err, errno, "create namespaces");
	if (set_capabilities(0, err) < 0 || forbid_gains(err) < 0)
		return -1;
	return filter_system_calls(false, err);
}
