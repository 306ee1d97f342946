/* What belongs to a new namespace and is set from inside, and what a process hands on through exec besides its identity. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

int op_hostname(struct run *run, const struct plan_op *op)
{
	return (int)SYS(sethostname, op_text(run, op), text_length(op_text(run, op)));
}

int op_domainname(struct run *run, const struct plan_op *op)
{
	return (int)SYS(setdomainname, op_text(run, op), text_length(op_text(run, op)));
}

/* A procfs of its own, mounted nowhere: no mount of the image or of the container lies in it (CVE-2019-16884). */
static int own_proc(struct run *run)
{
	int fs, result;

	if (run->proc >= 0)
		return run->proc;
	fs = (int)SYS(fsopen, "proc", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	result = (int)SYS(fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
	if (result == 0)
		run->proc = (int)SYS(fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	(void)SYS(close, fs);
	return result < 0 ? result : run->proc;
}

/* `text` is "sys/net/ipv4/ip_forward": what the kernel shows there is that of the namespaces of this process. */
int op_sysctl(struct run *run, const struct plan_op *op)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	const char *value = plan_text(run->plan, plan_list(run->plan, op)[0]);
	int proc = own_proc(run);
	long n;
	int fd;

	if (proc < 0)
		return proc;
	fd = (int)SYS(openat2, proc, op_text(run, op), &how, sizeof(how));
	if (fd < 0)
		return fd;
	n = SYS(write, fd, value, text_length(value));
	(void)SYS(close, fd);
	return n < 0 ? (int)n : 0;
}

/* Of the kernel's own making and thrown away again: nothing that lies on the container's /proc is trusted (CVE-2019-16884, CVE-2019-19921),
 * and no descriptor of the host's processes is in reach when the container's can look. */
int op_label(struct run *run, const struct plan_op *op)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
	const char *value = op_text(run, op);
	int proc = own_proc(run);
	long n;
	int fd;

	if (proc < 0)
		return proc;
	fd = (int)SYS(openat2, proc, plan_text(run->plan, plan_list(run->plan, op)[0]), &how, sizeof(how));
	(void)SYS(close, proc);
	run->proc = -1;
	if (fd < 0)
		return fd;
	n = SYS(write, fd, value, text_length(value));
	(void)SYS(close, fd);
	return n < 0 ? (int)n : 0;
}

/* struct ifreq of net/if.h, as far as flags need it: 40 bytes on 64-bit architectures. */
struct interface_flags {
	char name[16];
	short flags;
	char rest[22];
};

#define SIOCGIFFLAGS 0x8913
#define SIOCSIFFLAGS 0x8914
#define IFF_UP 1

int op_loopback(struct run *run, const struct plan_op *op)
{
	struct interface_flags lo = { .name = "lo" };
	int fd = (int)SYS(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
	int result;

	(void)run, (void)op;
	/* a kernel without IPv4 has no loopback to set up */
	if (fd < 0)
		return fd == -EAFNOSUPPORT ? 0 : fd;
	result = (int)SYS(ioctl, fd, SIOCGIFFLAGS, &lo);
	lo.flags |= IFF_UP;
	if (result == 0)
		result = (int)SYS(ioctl, fd, SIOCSIFFLAGS, &lo);
	(void)SYS(close, fd);
	return result;
}

int op_personality(struct run *run, const struct plan_op *op)
{
	long result = SYS(personality, op->value[0]);

	(void)run;
	return result < 0 ? (int)result : 0;
}

int op_scheduler(struct run *run, const struct plan_op *op)
{
	return (int)SYS(sched_setattr, 0, plan_list(run->plan, op), 0);
}

int op_io_priority(struct run *run, const struct plan_op *op)
{
	(void)run;
	return (int)SYS(ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, op->value[0]);
}

int op_affinity(struct run *run, const struct plan_op *op)
{
	long result = SYS(sched_setaffinity, 0, op->n_list * sizeof(uint32_t), plan_list(run->plan, op));

	return result < 0 ? (int)result : 0;
}

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static int write_offsets(int proc, const char *text)
{
	int fd;
	long n;

	if (text[0] == '\0')
		return 0;
	fd = (int)SYS(openat, proc, "self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = SYS(write, fd, text, text_length(text));
	(void)SYS(close, fd);
	return n < 0 ? (int)n : 0;
}

/*
 * A time namespace is made for children, and its offsets stand when the first process is in it (time_namespaces(7)). This process takes it
 * for itself, so that nobody has to be forked. The clock jumps: what is measured goes on from where it was.
 */
int op_time(struct run *run, const struct plan_op *op)
{
	uint64_t before_us = now_us();
	int result = (int)SYS(unshare, CLONE_NEWTIME), proc = -1, fd = -1;

	if (result == 0)
		proc = own_proc(run);
	if (proc < 0)
		return result < 0 ? result : proc;
	result = write_offsets(proc, op_text(run, op));
	if (result == 0)
		fd = (int)SYS(openat, proc, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	(void)SYS(close, proc);
	run->proc = -1;
	if (result < 0 || fd < 0)
		return result < 0 ? result : fd;
	result = (int)SYS(setns, fd, CLONE_NEWTIME);
	(void)SYS(close, fd);
	run->shift_us = now_us() - before_us;
	return result;
}
