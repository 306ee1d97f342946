/*
 * oci_floor: the bare kernel work of one `run` of a bundle of tools/bench-oci.sh, and nothing else.
 *
 *     oci_floor BUNDLE ROOTFS NAME
 *
 * What a runtime is asked for by BUNDLE "spec": its own process, a group NAME in each hierarchy of version 1 with the device rules, new
 * namespaces, the bundle's file systems, masks, limits and capabilities, exec of "true", its end, and the groups' removal. "least" leaves
 * out the rules, the masks and the limits, all namespaces but mount and PID, all file systems but /proc and /dev. No file is read but mountinfo
 * (the bundle's content is written down here), none is written, nothing is checked, an error ends the program. It is linked
 * statically, and its child is cloned from the namespaces of the host as in crun and runc. What a runtime takes beyond this is its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIERARCHIES_MAX 16

static struct {
	char path[400];    /* of the group */
	char options[128]; /* the controllers, as mount(2) takes them */
	char base[128];    /* the hierarchy's name below /sys/fs/cgroup */
	int tasks;
} groups[HIERARCHIES_MAX];
static int n_groups;
static bool least; /* the bundle of that name, not "spec" */

__attribute__((noreturn)) static void die(const char *what)
{
	(void)fprintf(stderr, "oci_floor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

#define MUST(call)                                                                                                                 \
	({                                                                                                                         \
		__typeof__(call) _result = (call);                                                                                 \
		if (_result < 0)                                                                                                   \
			die(#call);                                                                                                \
		_result;                                                                                                           \
	})

/* --- groups ------------------------------------------------------------------------------------------------------------ */

static void add_group(const char *where, const char *options, const char *name)
{
	const char *base = strrchr(where, '/');
	const char *controllers = strchr(options, ',');

	if (n_groups == HIERARCHIES_MAX || !base || !controllers || strstr(options, "name="))
		return;
	(void)snprintf(groups[n_groups].path, sizeof(groups[0].path), "%s/%s", where, name);
	(void)snprintf(groups[n_groups].options, sizeof(groups[0].options), "%s", controllers + 1);
	(void)snprintf(groups[n_groups].base, sizeof(groups[0].base), "%s", base + 1);
	n_groups++;
}

static void find_hierarchies(const char *name)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], where[256], type[64], options[512];

	if (!f)
		die("open mountinfo");
	while (fgets(line, sizeof(line), f)) {
		const char *tail = strstr(line, " - ");

		if (tail && sscanf(line, "%*s %*s %*s %*s %255s", where) == 1 &&
		    sscanf(tail, " - %63s %*s %511s", type, options) == 2 && !strcmp(type, "cgroup"))
			add_group(where, options, name);
	}
	(void)fclose(f);
}

static int open_at(const char *dir, const char *file, int flags)
{
	char path[512];

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
		die(file);
	return MUST(open(path, flags | O_CLOEXEC));
}

static void write_at(const char *dir, const char *file, const char *value)
{
	int fd = open_at(dir, file, O_WRONLY);

	MUST(write(fd, value, strlen(value)));
	(void)close(fd);
}

/* Version 1's cpuset starts empty and admits nobody. */
static void fill_cpuset(const char *dir, const char *file)
{
	char up[64], value[256];
	int fd;
	ssize_t n;

	(void)snprintf(up, sizeof(up), "../%s", file);
	fd = open_at(dir, up, O_RDONLY);
	n = MUST(read(fd, value, sizeof(value) - 1));
	(void)close(fd);
	value[n] = '\0';
	write_at(dir, file, value);
}

static void restrict_devices(const char *dir)
{
	static const char *const rules[] = { "c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",
					     "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm" };
	int fd;

	write_at(dir, "devices.deny", "a");
	fd = open_at(dir, "devices.allow", O_WRONLY);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		MUST(write(fd, rules[i], strlen(rules[i])));
	(void)close(fd);
}

static void make_groups(void)
{
	for (int i = 0; i < n_groups; i++) {
		MUST(mkdir(groups[i].path, 0755));
		if (strstr(groups[i].options, "cpuset")) {
			fill_cpuset(groups[i].path, "cpuset.cpus");
			fill_cpuset(groups[i].path, "cpuset.mems");
		}
		if (!least && strstr(groups[i].options, "devices"))
			restrict_devices(groups[i].path);
		groups[i].tasks = open_at(groups[i].path, "tasks", O_WRONLY);
	}
}

/* --- the child --------------------------------------------------------------------------------------------------------- */

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

	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		MUST(symlink(links[i][0], links[i][1]));
}

static void make_dev_mounts(void)
{
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/shm", 0755));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	MUST(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
}

static void make_sys(void)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	char path[sizeof("sys/fs/cgroup/") + sizeof(groups[0].base)];

	MUST(mount("sysfs", "sys", "sysfs", flags | MS_RDONLY, NULL));
	MUST(mount("cgroup", "sys/fs/cgroup", "tmpfs", flags, "mode=755"));
	for (int i = 0; i < n_groups; i++) {
		(void)snprintf(path, sizeof(path), "sys/fs/cgroup/%s", groups[i].base);
		MUST(mkdir(path, 0755));
		MUST(mount("cgroup", path, "cgroup", flags | MS_RDONLY, groups[i].options));
	}
	MUST(mount(NULL, "sys/fs/cgroup", NULL, flags | MS_REMOUNT | MS_RDONLY, NULL));
}

static void mask_paths(void)
{
	static const char *const files[] = { "proc/kcore",      "proc/keys",        "proc/latency_stats",
					     "proc/timer_list", "proc/timer_stats", "proc/sched_debug" };
	static const char *const dirs[] = { "proc/acpi", "proc/asound", "proc/scsi", "sys/firmware",
					    "sys/devices/virtual/powercap" };
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (mount("dev/null", files[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
			die(files[i]);
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (mount("tmpfs", dirs[i], "tmpfs", MS_RDONLY, "size=0k") < 0 && errno != ENOENT)
			die(dirs[i]);
	}
	for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++) {
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			MUST(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
		else if (errno != ENOENT)
			die(readonly[i]);
	}
}

static void enter_root(const char *rootfs)
{
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	MUST(chdir(rootfs));
	MUST(mount("proc", "proc", "proc", 0, NULL));
	make_dev();
	if (!least) {
		make_dev_mounts();
		make_sys();
		mask_paths();
		MUST(mount(NULL, rootfs, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	}
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
}

static void bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	(void)close(fd);
}

static void drop_rights(void)
{
	const uint32_t keep = 1U << CAP_AUDIT_WRITE | 1U << CAP_KILL | 1U << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = keep, .permitted = keep } };
	const struct rlimit files = { 1024, 1024 };

	if (!least)
		MUST(setrlimit(RLIMIT_NOFILE, &files));
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (cap > 31 || !(keep >> cap & 1))
			MUST(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	}
	MUST(syscall(SYS_capset, &header, data));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

__attribute__((noreturn)) static void child(const char *rootfs)
{
	static char *const argv[] = { (char *)(uintptr_t) "true", NULL };
	static char *const envp[] = { (char *)(uintptr_t) "PATH=/bin", NULL };

	for (int i = 0; i < n_groups; i++)
		MUST(write(groups[i].tasks, "0", 1));
	if (!least) {
		MUST(unshare(CLONE_NEWCGROUP));
		MUST(sethostname("floor", 5));
		bring_up_loopback();
	}
	enter_root(rootfs);
	MUST(setsid());
	drop_rights();
	(void)execve("/bin/true", argv, envp);
	die("exec /bin/true");
}

int main(int argc, char **argv)
{
	const unsigned long spec_flags = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	int status = 0;
	long pid;

	if (argc != 4 || (strcmp(argv[1], "spec") != 0 && strcmp(argv[1], "least") != 0)) {
		(void)fputs("usage: oci_floor spec|least ROOTFS NAME\n", stderr);
		return 2;
	}
	least = !strcmp(argv[1], "least");
	find_hierarchies(argv[3]);
	make_groups();
	/* as fork(2): this process is so small that sharing its memory would gain nothing */
	pid = MUST(syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD | (least ? 0 : spec_flags), NULL, NULL, NULL, 0));
	if (pid == 0)
		child(argv[2]);
	MUST(waitpid((pid_t)pid, &status, 0));
	for (int i = 0; i < n_groups; i++)
		MUST(rmdir(groups[i].path));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
