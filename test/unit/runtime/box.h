/*
 * A container to look into: a root with busybox, the usual mounts, a script for /bin/sh, its output and exit code. One spawner for
 * all tests of an executable, made by box_open() as the group's setup.
 */
#ifndef MONOPOD_TEST_BOX_H
#define MONOPOD_TEST_BOX_H

#include "expect.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "runtime/caps.h"
#include "runtime/spawner.h"

#define BOX_TIMEOUT_MS 20000

static struct spawner *box_spawner;

__attribute__((unused)) static int box_open(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: containers need root\n");
		exit(77);
	}
	if (spawner_open(&box_spawner, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

__attribute__((unused)) static int box_close(void **state)
{
	(void)state;
	spawner_close(box_spawner);
	return 0;
}

static void box_copy(const char *from, const char *to)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT((size_t)16 << 20);

	expect_ok(io_read_file(AT_FDCWD, from, &b, &err));
	expect_ok(io_replace_file(AT_FDCWD, to, b.data, b.len, 0755, &err));
}

/* A root file system below the test's place; returns its path. */
__attribute__((unused)) static const char *box_root(void **state)
{
	static const char *const applets[] = { "sh",    "cat",  "ls",     "id",  "ps",    "grep",   "readlink", "stat", "sleep",
					       "mkdir", "true", "touch",  "env", "mount", "umount", "head",     "kill", "wc",
					       "tr",    "sort", "chroot", "awk", "echo",  "ln",     "chmod",    "chown" };
	static const char *const dirs[] = { "root/bin", "root/proc", "root/sys", "root/dev", "root/etc", "root/tmp", "root/data" };

	if (access("/bin/busybox", X_OK) < 0) {
		print_message("skipped: there is no /bin/busybox to put into a container\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		put_dir(in_place(state, dirs[i]));
	box_copy("/bin/busybox", in_place(state, "root/bin/busybox"));
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "root/bin/%s", applets[i]);
		assert_return_code(symlink("busybox", in_place(state, path)), errno);
	}
	return in_place(state, "root");
}

/* A detached mount of a directory or file; private, as volume_open() makes it, or what is mounted in it would reach a host that shares. */
static inline int box_tree(const char *path)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	assert_return_code(fd, errno);
	assert_return_code(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)), errno);
	return fd;
}

__attribute__((unused)) static const struct mount_spec box_mounts[] = {
	{ MOUNT_PROC, "/proc", false, -1, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ MOUNT_TMPFS, "/dev", false, -1, MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k" },
	{ MOUNT_DEVPTS, "/dev/pts", false, -1, MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ MOUNT_MQUEUE, "/dev/mqueue", false, -1, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ MOUNT_SYSFS, "/sys", false, -1, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL },
};

__attribute__((unused)) static const struct device_spec box_devices[] = {
	{ "/dev/null", S_IFCHR, 0666, 1, 3, 0, 0, false },   { "/dev/zero", S_IFCHR, 0666, 1, 5, 0, 0, false },
	{ "/dev/full", S_IFCHR, 0666, 1, 7, 0, 0, false },   { "/dev/tty", S_IFCHR, 0666, 5, 0, 0, 0, false },
	{ "/dev/random", S_IFCHR, 0666, 1, 8, 0, 0, false }, { "/dev/urandom", S_IFCHR, 0666, 1, 9, 0, 0, false },
};

__attribute__((unused)) static const char *const box_env[] = { "PATH=/usr/bin:/bin", "TERM=xterm", NULL };

/* Everything but command and root. */
static inline struct container_spec box_spec(const char *root)
{
	return (struct container_spec){
		.name = "box",
		.envp = box_env,
		.cwd = "/",
		.identity = { .bounding = caps_default(), .permitted = caps_default(), .no_new_privs = true },
		.net_ns = NS_HOST,
		.ipc_ns = NS_HOST,
		.uts_ns = NS_HOST,
		.pid_ns = NS_NEW,
		.rootfs = root ? box_tree(root) : -1,
		.mounts = box_mounts,
		.n_mounts = ARRAY_SIZE(box_mounts),
		.devices = box_devices,
		.n_devices = ARRAY_SIZE(box_devices),
	};
}

struct box_run {
	struct spawn_result spawned;
	int out; /* read end of stdout and stderr */
};

static inline int box_start_plan(const struct plan *plan, struct box_run *run, struct error *err)
{
	int pair[2], result;

	assert_return_code(pipe2(pair, O_CLOEXEC), errno);
	result = spawner_run(box_spawner, plan, (int[]){ -1, pair[1], pair[1] }, BOX_TIMEOUT_MS, &run->spawned, err);
	(void)close(pair[1]);
	run->out = pair[0];
	if (result < 0)
		(void)close(pair[0]);
	return result;
}

/* Starts the script (or spec->argv when NULL) and takes the spec's root. */
static inline int box_start(struct container_spec *spec, const char *script, struct box_run *run, struct error *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	_cleanup_plan_ struct plan *plan = NULL;
	int result;

	if (script)
		spec->argv = argv;
	result = plan_compile(spec, &plan, err);
	if (result == 0)
		result = box_start_plan(plan, run, err);
	close_fd(&spec->rootfs);
	return result;
}

/* The output up to its end, at most 64 KiB; valid until the next call. */
static inline const char *box_output(struct box_run *run)
{
	static char text[65536];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(text) - 1 && (got = read(run->out, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close_fd(&run->out);
	return text;
}

static inline int box_reap(struct box_run *run)
{
	siginfo_t info = { .si_pid = 0 };

	assert_return_code(waitid(P_PIDFD, (id_t)run->spawned.pidfd, &info, WEXITED), errno);
	close_fd(&run->spawned.pidfd);
	close_fd(&run->spawned.console_fd);
	free(run->spawned.times);
	run->spawned.times = NULL;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static inline void box_kill(struct box_run *run)
{
	assert_return_code(kill(run->spawned.pid, SIGKILL), errno);
	close_fd(&run->out);
	(void)box_reap(run);
}

/* Runs a script to its end; it must exit with 0. Returns its output. */
static inline const char *box_run(struct container_spec *spec, const char *script)
{
	struct box_run run;
	const char *text;
	int code;

	expect_ok(box_start(spec, script, &run, &err));
	text = box_output(&run);
	code = box_reap(&run);
	if (code != 0)
		fail_msg("'%s' exited with %d: %s", script, code, text);
	return text;
}

static inline void expect_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

static inline void expect_no_text(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' is in: %s", part, text);
}

/* A new namespace of this kind, as a descriptor. */
static inline int box_namespace(int kind, const char *name)
{
	char path[64];
	int saved, fd;

	(void)snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", name);
	saved = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(saved, errno);
	assert_return_code(unshare(kind), errno);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(setns(saved, kind), errno);
	(void)close(saved);
	assert_return_code(fd, errno);
	return fd;
}

/* Descriptors of this process. */
static inline unsigned box_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

/* True when this process has a child, dead or alive. */
static inline bool box_has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

#endif
