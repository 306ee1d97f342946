/* What is done once: an image, a bridge, our directory in each cgroup hierarchy. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "floor.h"

static void add_hierarchy(const char *where, const char *type, const char *options)
{
	struct hierarchy *h = &floor_.hierarchies[floor_.n_hierarchies];

	/* systemd's own hierarchy holds no controller. */
	if (floor_.n_hierarchies == MAX_HIERARCHIES || strstr(options, "name="))
		return;
	(void)snprintf(h->path, sizeof(h->path), "%s/floor-%d", where, (int)getpid());
	h->unified = strcmp(type, "cgroup2") == 0;
	h->devices = strstr(options, "devices");
	if (mkdir(h->path, 0755) < 0)
		return;
	floor_.n_hierarchies++;
}

static void find_hierarchies(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	char root[1024];
	char where[200];
	char type[64];
	char options[1024];

	if (!f)
		die("open mountinfo");
	while (fgets(line, sizeof(line), f)) {
		const char *tail = strstr(line, " - ");

		if (tail && sscanf(line, "%*s %*s %*s %1023s %199s", root, where) == 2 &&
		    sscanf(tail, " - %63s %*s %1023s", type, options) == 2 && strncmp(type, "cgroup", 6) == 0)
			add_hierarchy(where, type, options);
	}
	(void)fclose(f);
}

/* cpuset of version 1 starts empty and admits nobody until it has CPUs and memory. */
void inherit_cpuset(const char *path)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char from[PATH_MAX];
	char to[PATH_MAX];
	char value[256];

	for (int i = 0; i < 2; i++) {
		int fd;
		ssize_t n;

		(void)snprintf(from, sizeof(from), "%s/../%s", path, files[i]);
		(void)snprintf(to, sizeof(to), "%s/%s", path, files[i]);
		fd = open(from, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		n = read(fd, value, sizeof(value) - 1);
		(void)close(fd);
		value[n > 0 ? n : 0] = '\0';
		write_file(to, value);
	}
}

/* Device rules of version 2 are a program; its content does not matter to what attaching it costs. */
static int load_device_program(void)
{
	const struct bpf_insn allow[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
					  { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE };

	attr.insns = (uint64_t)(uintptr_t)allow;
	attr.insn_cnt = 2;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static void copy_file(const char *from, const char *to)
{
	int in = MUST(open(from, O_RDONLY | O_CLOEXEC));
	int out = MUST(open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
	char data[65536];
	ssize_t n;

	while ((n = read(in, data, sizeof(data))) > 0) {
		if (write(out, data, (size_t)n) != n)
			die("copy %s", from);
	}
	(void)close(in);
	(void)close(out);
}

static void make_image(void)
{
	static const char *const dirs[] = {
		"lower", "lower/bin", "lower/proc", "lower/sys", "lower/dev", "lower/etc", "lower/tmp"
	};
	char path[PATH_MAX + 64];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", floor_.dir, dirs[i]);
		MUST(mkdir(path, 0755));
	}
	(void)snprintf(path, sizeof(path), "%s/lower/bin/sh", floor_.dir);
	copy_file("/bin/busybox", path);
}

/* A chain of comparisons that no system call meets. */
static void make_filter(void)
{
	struct sock_filter *f = floor_.filter;

	*f++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	*f++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < FILTER_RULES; i++)
		*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 100000 + i, (uint8_t)(FILTER_RULES - i), 0);
	*f++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*f = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
}

void open_own_namespaces(int fds[3])
{
	static const char *const ns_names[3] = { "net", "ipc", "uts" };
	char path[64];

	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", ns_names[i]);
		fds[i] = MUST(open(path, O_RDONLY | O_CLOEXEC));
	}
}

void prepare(void)
{
	MUST(unshare(CLONE_NEWNET | CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (!mkdtemp(floor_.dir))
		die("make %s", floor_.dir);
	find_hierarchies();
	for (unsigned i = 0; i < floor_.n_hierarchies; i++)
		inherit_cpuset(floor_.hierarchies[i].path);
	make_image();
	make_filter();
	make_bridge();
	floor_.device_program = load_device_program();
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_DP || type == FTW_DNR)
		remove_cgroup(path);
	else
		(void)unlink(path);
	return 0;
}

/* Also what a worker left that died half way. */
void clean_up(void)
{
	(void)nftw(floor_.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	for (unsigned i = 0; i < floor_.n_hierarchies; i++)
		(void)nftw(floor_.hierarchies[i].path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
