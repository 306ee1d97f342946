#include "runtime/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"

#define NAME_LEN (SYSCTL_PATH_SIZE - 1)

/* A line of numbers (arbitrary). */
#define VALUE_LEN 1024

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/*
 * What may stand in a name beside its separators, and in a value: numbers, words, lists, addresses, ranges. No control byte, no
 * '+', '=' or '/': nothing that any other tool would take for a second setting.
 */
static const char name_bytes[] = LETTERS "_-.";
static const char value_bytes[] = LETTERS "_-.,: \t";

enum owner { OWNER_NET, OWNER_IPC, OWNER_UTS };

/* A name that ends in '/' is a prefix. Kept per namespace: Documentation/admin-guide/sysctl/, namespaces(7). */
static const struct {
	const char *path;
	enum owner owner;
} allowed[] = {
	{ "net/", OWNER_NET },          { "fs/mqueue/", OWNER_IPC },        { "kernel/shmmax", OWNER_IPC },
	{ "kernel/shmall", OWNER_IPC }, { "kernel/shmmni", OWNER_IPC },     { "kernel/shm_rmid_forced", OWNER_IPC },
	{ "kernel/msgmax", OWNER_IPC }, { "kernel/msgmnb", OWNER_IPC },     { "kernel/msgmni", OWNER_IPC },
	{ "kernel/sem", OWNER_IPC },    { "kernel/domainname", OWNER_UTS },
};

/* True when `text` is not empty and holds nothing but `bytes`. */
static bool consists_of(const char *text, const char *bytes)
{
	return *text && text[strspn(text, bytes)] == '\0';
}

/*
 * sysctl(8): the separator that comes first in a name is its separator, the other one stands for '.' inside a component
 * ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"). Writes the path below /proc/sys.
 */
int sysctl_path(const char *name, char path[SYSCTL_PATH_SIZE])
{
	size_t len = strlen(name), first = strcspn(name, "./");
	char separator = name[first];

	if (len == 0 || len > NAME_LEN)
		return -1;
	for (size_t i = 0; i <= len; i++) {
		char c = name[i];

		path[i] = c == separator ? '/' : c == '/' ? '.' : c;
	}
	path[len] = '\0';
	return 0;
}

/* Every component has a byte, only bytes of names, and is none of the two that move. */
static bool path_is_sound(const char *path)
{
	char copy[NAME_LEN + 1], *rest = copy, *part;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	while ((part = strsep(&rest, "/"))) {
		if (!consists_of(part, name_bytes) || !strcmp(part, ".") || !strcmp(part, ".."))
			return false;
	}
	return true;
}

static bool matches(const char *path, const char *pattern)
{
	size_t len = strlen(pattern);

	return pattern[len - 1] == '/' ? !strncmp(path, pattern, len) : !strcmp(path, pattern);
}

static int find_owner(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		if (matches(path, allowed[i].path))
			return (int)allowed[i].owner;
	}
	return -1;
}

static int check_value(const struct sysctl_spec *sysctl, struct error *err)
{
	const char *value = sysctl->value;

	if (!value || !*value)
		return error_set(err, ERR_INVALID, "sysctl %s: the value is empty", sysctl->name);
	if (strlen(value) > VALUE_LEN)
		return error_set(err, ERR_INVALID, "sysctl %s: the value is longer than %d bytes", sysctl->name, VALUE_LEN);
	if (!consists_of(value, value_bytes))
		return error_set(err, ERR_INVALID, "sysctl %s: the value holds byte 0x%02x, which is not allowed", sysctl->name,
				 (unsigned char)value[strspn(value, value_bytes)]);
	return 0;
}

int sysctl_check(const struct sysctl_spec *sysctl, const struct sysctl_scope *own, struct error *err)
{
	static const char *const names[] = { [OWNER_NET] = "network", [OWNER_IPC] = "IPC", [OWNER_UTS] = "UTS" };
	const bool owned[] = { [OWNER_NET] = own->net, [OWNER_IPC] = own->ipc, [OWNER_UTS] = own->uts };
	char path[NAME_LEN + 1];
	int owner;

	if (!sysctl->name || sysctl_path(sysctl->name, path) < 0 || !path_is_sound(path))
		return error_set(err, ERR_INVALID, "sysctl: the name is malformed");
	owner = find_owner(path);
	if (owner < 0)
		return error_set(err, ERR_INVALID, "sysctl %s: not one that a pod may set", sysctl->name);
	if (!owned[owner])
		return error_set(err, ERR_INVALID, "sysctl %s: the pod uses the host's %s namespace", sysctl->name, names[owner]);
	return check_value(sysctl, err);
}

/* A descriptor of /proc/sys that is really procfs, whatever is mounted on the host. */
static int open_proc_sys(struct error *err)
{
	_cleanup_fd_ int fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return error_sys(err, errno, "open /proc/sys");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return error_set(err, ERR_DENIED, "open /proc/sys: it is not procfs");
	return steal_fd(&fd);
}

static int write_one(int proc_sys, const struct sysctl_spec *sysctl, struct error *err)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	_cleanup_fd_ int fd = -1;
	char path[NAME_LEN + 1];

	if (sysctl_path(sysctl->name, path) < 0)
		return error_set(err, ERR_INVALID, "sysctl: the name is malformed");
	fd = (int)syscall(SYS_openat2, proc_sys, path, &how, sizeof(how));
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_INVALID, "sysctl %s: this kernel does not have it", sysctl->name);
	if (fd < 0)
		return error_sys(err, errno, "open sysctl %s", sysctl->name);
	if (write(fd, sysctl->value, strlen(sysctl->value)) >= 0)
		return 0;
	if (errno == EINVAL || errno == ERANGE)
		return error_set(err, ERR_INVALID, "sysctl %s: the kernel refuses the value '%s'", sysctl->name, sysctl->value);
	return error_sys(err, errno, "write '%s' to sysctl %s", sysctl->value, sysctl->name);
}

int sysctls_write(const struct sysctl_spec *sysctls, size_t n, struct error *err)
{
	_cleanup_fd_ int proc_sys = open_proc_sys(err);

	if (proc_sys < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (write_one(proc_sys, &sysctls[i], err) < 0)
			return -1;
	}
	return 0;
}
