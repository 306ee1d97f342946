/*
 * Making the namespaces of a pod.
 *
 * The calling thread remembers its own namespaces, unshares (or, where a user namespace is to own them, which a thread cannot enter
 * without its process, joins those that another process has made), sets the host name and the sysctls from inside, pins each namespace by a
 * bind mount, and returns to its own. The mount happens in the mount namespace of the host, which unshare() here does not change.
 * Failures: before unshare() nothing happened; after it the pins made so far are removed and the thread returns all the same; only a
 * failing return spoils the thread.
 */
#include "runtime/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/spec.h"
#include "runtime/sysctl.h"
#include "runtime/userns.h"

/* HOST_NAME_MAX of Linux; __NEW_UTS_LEN in the kernel. */
#define HOSTNAME_LEN 64

static const struct pin_kind {
	const char *name; /* of the pin and of the link below /proc/thread-self/ns */
	int clone_flag;
	size_t spec_offset; /* of the bool in struct pod_ns_spec */
	size_t fd_offset;   /* of the descriptor in struct pod_namespaces */
	bool of_process;    /* no thread has one for itself */
} pin_kinds[] = {
	{ "user", CLONE_NEWUSER, offsetof(struct pod_ns_spec, new_user), offsetof(struct pod_namespaces, user), true },
	{ "net", CLONE_NEWNET, offsetof(struct pod_ns_spec, new_net), offsetof(struct pod_namespaces, net), false },
	{ "ipc", CLONE_NEWIPC, offsetof(struct pod_ns_spec, new_ipc), offsetof(struct pod_namespaces, ipc), false },
	{ "uts", CLONE_NEWUTS, offsetof(struct pod_ns_spec, new_uts), offsetof(struct pod_namespaces, uts), false },
};

#define N_KINDS ARRAY_SIZE(pin_kinds)
#define KIND_USER 0

static bool is_new(const struct pod_ns_spec *spec, size_t kind)
{
	return *(const bool *)((const char *)spec + pin_kinds[kind].spec_offset);
}

static int *fd_of(struct pod_namespaces *ns, size_t kind)
{
	return (int *)((char *)ns + pin_kinds[kind].fd_offset);
}

static int check_hostname(const struct pod_ns_spec *spec, struct error *err)
{
	const char *name = spec->hostname;

	if (!spec->new_uts || !name || !*name)
		return 0;
	if (strlen(name) > HOSTNAME_LEN)
		return error_set(err, ERR_INVALID, "hostname '%.80s': longer than %d bytes", name, HOSTNAME_LEN);
	for (const char *p = name; *p; p++) {
		/* RFC 1123 letters, and the underscore that others accept. */
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", *p))
			return error_set(err, ERR_INVALID, "hostname: byte 0x%02x is not allowed", (unsigned char)*p);
	}
	return 0;
}

int pod_namespaces_check(const struct pod_ns_spec *spec, struct error *err)
{
	const struct sysctl_scope own = { .net = spec->new_net, .ipc = spec->new_ipc, .uts = spec->new_uts };

	if (check_hostname(spec, err) < 0 || (spec->new_user && id_maps_check(&spec->id_maps, err) < 0))
		return -1;
	if (spec->n_sysctls > SYSCTLS_MAX)
		return error_set(err, ERR_INVALID, "sysctls: %zu of them, more than %d", spec->n_sysctls, SYSCTLS_MAX);
	for (size_t i = 0; i < spec->n_sysctls; i++) {
		if (sysctl_check(&spec->sysctls[i], &own, err) < 0)
			return -1;
	}
	return 0;
}

static int pin_path(char path[PATH_MAX], const char *dir, size_t kind, struct error *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, pin_kinds[kind].name) >= PATH_MAX)
		return error_sys(err, ENAMETOOLONG, "pin namespaces below %.100s", dir);
	return 0;
}

static int open_own(size_t kind)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", pin_kinds[kind].name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool is_entered(const struct pod_ns_spec *spec, size_t kind)
{
	return is_new(spec, kind) && !pin_kinds[kind].of_process;
}

/* Opens the calling thread's namespaces of the kinds that the pod gets anew; -2 for the others. */
static int open_owns(const struct pod_ns_spec *spec, int fds[N_KINDS], struct error *err)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		fds[i] = is_entered(spec, i) ? open_own(i) : NS_HOST;
		if (fds[i] == -1)
			return error_sys(err, errno, "open the thread's %s namespace", pin_kinds[i].name);
	}
	return 0;
}

static void close_all(int fds[N_KINDS])
{
	for (size_t i = 0; i < N_KINDS; i++)
		close_fd(&fds[i]);
}

static int pin(const char *dir, size_t kind, int ns, struct error *err)
{
	_cleanup_fd_ int file = -1;
	char path[PATH_MAX], source[64];

	if (pin_path(path, dir, kind, err) < 0)
		return -1;
	/* O_EXCL: whatever is there already is not ours to cover. */
	file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return error_sys(err, errno, "create pin %s", path);
	(void)snprintf(source, sizeof(source), "/proc/thread-self/fd/%d", ns);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
		(void)error_sys(err, errno, "mount pin %s", path);
		(void)unlink(path);
		return -1;
	}
	return 0;
}

static int unpin(const char *dir, size_t kind, struct error *err)
{
	char path[PATH_MAX];

	if (pin_path(path, dir, kind, err) < 0)
		return -1;
	/* EINVAL: a file on which nothing is mounted. */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return error_sys(err, errno, "unmount pin %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove pin %s", path);
	return 0;
}

/* Inside the new namespaces: everything that is set from there. */
static int furnish(const struct pod_ns_spec *spec, struct error *err)
{
	if (spec->new_uts && spec->hostname && *spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return error_sys(err, errno, "set host name '%s'", spec->hostname);
	return spec->n_sysctls ? sysctls_write(spec->sysctls, spec->n_sysctls, err) : 0;
}

static int pin_all(const struct pod_ns_spec *spec, const char *dir, int fds[N_KINDS], struct error *err)
{
	struct error ignored = ERROR_INIT;

	for (size_t i = 0; i < N_KINDS; i++) {
		if (!is_new(spec, i) || pin(dir, i, fds[i], err) == 0)
			continue;
		while (i-- > 0) {
			if (is_new(spec, i))
				(void)unpin(dir, i, &ignored);
		}
		return -1;
	}
	return 0;
}

static int go_back(const int owns[N_KINDS])
{
	int r = 0;

	for (size_t i = 0; i < N_KINDS; i++) {
		if (owns[i] >= 0 && setns(owns[i], pin_kinds[i].clone_flag) < 0)
			r = -1;
	}
	return r;
}

/* In the new namespaces, which become fds[]. */
static int make_inside(const struct pod_ns_spec *spec, const struct ns_holder *holder, const char *dir, int fds[N_KINDS],
		       struct error *err)
{
	int r = furnish(spec, err) < 0 ? -1 : open_owns(spec, fds, err);

	if (r == 0 && spec->new_user)
		r = (fds[KIND_USER] = ns_holder_open(holder, pin_kinds[KIND_USER].name, err)) < 0 ? -1 : 0;
	if (r == 0 && pin_all(spec, dir, fds, err) == 0)
		return 0;
	close_all(fds);
	return -1;
}

static unsigned clone_flags(const struct pod_ns_spec *spec)
{
	unsigned flags = 0;

	for (size_t i = 0; i < N_KINDS; i++)
		flags |= is_entered(spec, i) ? (unsigned)pin_kinds[i].clone_flag : 0;
	return flags;
}

static int join_kind(const struct ns_holder *holder, size_t kind, struct error *err)
{
	_cleanup_fd_ int fd = ns_holder_open(holder, pin_kinds[kind].name, err);

	if (fd < 0)
		return -1;
	return setns(fd, pin_kinds[kind].clone_flag) < 0 ? error_sys(err, errno, "join new %s namespace", pin_kinds[kind].name) : 0;
}

/* The thread gets into the new namespaces. */
static int enter_new(const struct pod_ns_spec *spec, struct ns_holder *holder, struct error *err)
{
	unsigned flags = clone_flags(spec);

	if (!spec->new_user)
		return unshare((int)flags) < 0 ? error_sys(err, errno, "make new namespaces") : 0;
	if (ns_holder_start(spec->spawner, &spec->id_maps, flags, holder, err) < 0)
		return -1;
	for (size_t i = 0; i < N_KINDS; i++) {
		if (is_entered(spec, i) && join_kind(holder, i, err) < 0)
			return -1;
	}
	return 0;
}

int pod_namespaces_create(const struct pod_ns_spec *spec, const char *dir, struct pod_namespaces *ret_ns, bool *ret_thread_spoiled,
			  struct error *err)
{
	int owns[N_KINDS] = { -1, -1, -1, -1 }, fds[N_KINDS] = { NS_HOST, NS_HOST, NS_HOST, NS_HOST };
	struct ns_holder holder = { .pidfd = -1 };
	int r;

	*ret_thread_spoiled = false;
	if (pod_namespaces_check(spec, err) < 0)
		return -1;
	if (open_owns(spec, owns, err) < 0) {
		close_all(owns);
		return -1;
	}
	r = enter_new(spec, &holder, err) < 0 ? -1 : make_inside(spec, &holder, dir, fds, err);
	*ret_thread_spoiled = go_back(owns) < 0;
	close_all(owns);
	ns_holder_end(spec->spawner, &holder);
	for (size_t i = 0; r == 0 && i < N_KINDS; i++)
		*fd_of(ret_ns, i) = fds[i];
	return r;
}

/* True for a descriptor of a namespace of that kind, not for the bare file below a pin that is gone. */
static bool is_namespace(int fd, size_t kind)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC && ioctl(fd, NS_GET_NSTYPE) == pin_kinds[kind].clone_flag;
}

static int open_pin(const char *dir, size_t kind, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];

	if (pin_path(path, dir, kind, err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		*ret_fd = NS_HOST;
		return 0;
	}
	if (fd < 0)
		return error_sys(err, errno, "open pin %s", path);
	if (!is_namespace(fd, kind))
		return error_set(err, ERR_DATA_LOSS, "open pin %s: no %s namespace is mounted there", path, pin_kinds[kind].name);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int pod_namespaces_open(const char *dir, struct pod_namespaces *ret_ns, struct error *err)
{
	struct pod_namespaces ns = POD_NAMESPACES_INIT;

	for (size_t i = 0; i < N_KINDS; i++) {
		if (open_pin(dir, i, fd_of(&ns, i), err) < 0) {
			pod_namespaces_close(&ns);
			return -1;
		}
	}
	*ret_ns = ns;
	return 0;
}

void pod_namespaces_close(struct pod_namespaces *ns)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		close_fd(fd_of(ns, i));
		*fd_of(ns, i) = NS_HOST;
	}
}

int pod_namespaces_unpin(const char *dir, struct error *err)
{
	int r = 0;

	/* Every one is tried; the first error is reported. */
	for (size_t i = 0; i < N_KINDS; i++) {
		struct error later = ERROR_INIT;

		if (unpin(dir, i, r == 0 ? err : &later) < 0)
			r = -1;
	}
	return r;
}
