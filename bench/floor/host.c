/* The parent's half of a start, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

static void restrict_devices(const struct hierarchy *h, const char *path)
{
	static const char *const rules[] = { "c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",
					     "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm" };
	char file[PATH_MAX];

	if (h->unified && floor_.device_program >= 0) {
		int fd = MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		union bpf_attr attr = { .target_fd = (uint32_t)fd,
					.attach_bpf_fd = (uint32_t)floor_.device_program,
					.attach_type = BPF_CGROUP_DEVICE,
					.attach_flags = BPF_F_ALLOW_MULTI };

		(void)syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr));
		(void)close(fd);
	}
	if (!h->devices)
		return;
	(void)snprintf(file, sizeof(file), "%s/devices.deny", path);
	write_file(file, "a");
	(void)snprintf(file, sizeof(file), "%s/devices.allow", path);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		write_file(file, rules[i]);
}

void make_cgroups(struct pod *pod)
{
	char path[512];

	(void)snprintf(pod->cgroup, sizeof(pod->cgroup), "pod%u", pod->number);
	for (unsigned i = 0; i < floor_.n_hierarchies; i++) {
		const struct hierarchy *h = &floor_.hierarchies[i];

		(void)snprintf(path, sizeof(path), "%s/%s", h->path, pod->cgroup);
		MUST(mkdir(path, 0755));
		inherit_cpuset(path);
		(void)snprintf(path, sizeof(path), "%s/%s/c", h->path, pod->cgroup);
		MUST(mkdir(path, 0755));
		inherit_cpuset(path);
		restrict_devices(h, path);
		if (h->unified)
			pod->unified_cgroup = MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	}
}

/* Makes the pod's namespaces around this process, takes descriptors of them and steps back out. */
int make_namespaces(struct pod *pod)
{
	int flags = floor_.host_network ? CLONE_NEWIPC | CLONE_NEWUTS : CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	int inside = -1;

	MUST(unshare(flags));
	open_own_namespaces(pod->ns);
	if (!floor_.host_network) {
		inside = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
		bring_up_loopback(inside);
	}
	for (int i = 0; i < 3; i++) {
		if (flags & ns_flags[i])
			MUST(setns(floor_.init_ns[i], ns_flags[i]));
	}
	return inside;
}

void make_overlay(struct pod *pod)
{
	char path[PATH_MAX + 64];
	int fs;

	(void)snprintf(pod->dir, sizeof(pod->dir), "%.3900s/pod%u", floor_.dir, pod->number);
	MUST(mkdir(pod->dir, 0700));
	(void)snprintf(path, sizeof(path), "%s/upper", pod->dir);
	MUST(mkdir(path, 0755));
	fs = MUST(fsopen("overlay", FSOPEN_CLOEXEC));
	MUST(fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", path, 0));
	(void)snprintf(path, sizeof(path), "%s/work", pod->dir);
	MUST(mkdir(path, 0700));
	MUST(fsconfig(fs, FSCONFIG_SET_STRING, "workdir", path, 0));
	(void)snprintf(path, sizeof(path), "%s/lower", floor_.dir);
	MUST(fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", path, 0));
	MUST(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	pod->overlay = MUST(fsmount(fs, FSMOUNT_CLOEXEC, 0));
	(void)close(fs);
	(void)snprintf(path, sizeof(path), "%s/log", pod->dir);
	pod->log = MUST(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
	MUST(pipe2(pod->line_pipe, O_CLOEXEC));
}

/* What a runtime does with the first bytes: a log line in the CRI's format. */
void log_line(struct pod *pod)
{
	char text[256];
	char line[384];
	struct timespec t;
	struct tm tm;
	ssize_t n;
	int len;

	(void)close(pod->line_pipe[1]);
	pod->line_pipe[1] = -1;
	n = read(pod->line_pipe[0], text, sizeof(text));
	if (n <= 0)
		die("the container wrote nothing");
	(void)clock_gettime(CLOCK_REALTIME, &t);
	(void)gmtime_r(&t.tv_sec, &tm);
	len = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ stdout F %.*s", tm.tm_year + 1900, tm.tm_mon + 1,
		       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, t.tv_nsec, (int)n, text);
	MUST(write(pod->log, line, (size_t)len));
}

/* A group is busy for a moment after its last process was reaped. */
void remove_cgroup(const char *path)
{
	for (int i = 0; i < 1000 && rmdir(path) < 0 && errno == EBUSY; i++)
		(void)usleep(1000);
}

static void remove_pod_dir(const struct pod *pod)
{
	static const char *const names[] = { "work/work", "work", "upper", "log", "" };
	char path[PATH_MAX + 16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", pod->dir, names[i]);
		(void)unlinkat(AT_FDCWD, path, strcmp(names[i], "log") == 0 ? 0 : AT_REMOVEDIR);
	}
}

void end_pod(struct pod *pod)
{
	char path[512];

	(void)kill(pod->pid, SIGKILL);
	(void)waitpid(pod->pid, NULL, 0);
	(void)close(pod->overlay);
	(void)close(pod->log);
	(void)close(pod->line_pipe[0]);
	for (int i = 0; i < 3; i++)
		(void)close(pod->ns[i]);
	if (pod->unified_cgroup >= 0)
		(void)close(pod->unified_cgroup);
	for (unsigned i = 0; i < floor_.n_hierarchies; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/c", floor_.hierarchies[i].path, pod->cgroup);
		remove_cgroup(path);
		(void)snprintf(path, sizeof(path), "%s/%s", floor_.hierarchies[i].path, pod->cgroup);
		remove_cgroup(path);
	}
	remove_pod_dir(pod);
}
