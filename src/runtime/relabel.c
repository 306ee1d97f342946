#include "runtime/relabel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"

/* Each level holds a descriptor; whoever writes to a volume can make more of them than a process may have (arbitrary). */
#define MAX_DEPTH 128

#define LABEL_SIZE 512 /* far beyond any label; a longer one is not ours and is replaced */

/* Directories of a host that belong to it as they are; what lies below some of them is often a volume. */
static const char *const hosts_own[] = {
	"/",       "/bin",   "/boot", "/dev", "/etc",     "/home",    "/lib",     "/lib32",   "/lib64",
	"/libx32", "/media", "/mnt",  "/opt", "/proc",    "/root",    "/run",     "/sbin",    "/srv",
	"/sys",    "/tmp",   "/usr",  "/var", "/var/lib", "/var/log", "/var/run", "/var/tmp",
};

/* Nothing of these at any depth. */
static const char *const hosts_trees[] = { "/bin",   "/boot",   "/dev",  "/etc",  "/lib", "/lib32",
					   "/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr" };

static bool is_in_tree(const char *path, const char *top)
{
	size_t length = strlen(top);

	return !strncmp(path, top, length) && (path[length] == '/' || path[length] == '\0');
}

static int check_place(int fd, struct error *err)
{
	char link[64], path[PATH_MAX];
	ssize_t n;
	bool own = false;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return error_sys(err, errno, "relabel: read %s", link);
	path[n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(hosts_own); i++)
		own = own || !strcmp(path, hosts_own[i]);
	for (size_t i = 0; i < ARRAY_SIZE(hosts_trees); i++)
		own = own || is_in_tree(path, hosts_trees[i]);
	return own ? error_set(err, ERR_INVALID, "selinux_relabel: %s is the host's own and keeps its labels", path) : 0;
}

struct walk {
	const char *name, *label;
	uint64_t mount_id;
	bool no_labels; /* the file system has none */
};

/* `path` leads through a descriptor to the last component, which is not followed. */
static int set_label(struct walk *walk, const char *path, bool follow, struct error *err)
{
	size_t length = strlen(walk->label) + 1; /* the kernel's labels end in a NUL */
	char now[LABEL_SIZE];
	ssize_t n = follow ? getxattr(path, walk->name, now, sizeof(now)) : lgetxattr(path, walk->name, now, sizeof(now));
	int r;

	if (n == (ssize_t)length && !memcmp(now, walk->label, length))
		return 0;
	r = follow ? setxattr(path, walk->name, walk->label, length, 0) : lsetxattr(path, walk->name, walk->label, length, 0);
	if (r == 0 || errno == ENOENT) /* gone meanwhile */
		return 0;
	if (errno == EOPNOTSUPP) {
		walk->no_labels = true;
		return 0;
	}
	return error_sys(err, errno, "relabel");
}

static int walk_dir(struct walk *walk, int fd, unsigned depth, struct error *err);

/* Opens nothing but directories: a device or a pipe is only looked at. */
static int visit(struct walk *walk, int dir, const char *name, unsigned depth, struct error *err)
{
	char path[64 + NAME_MAX];
	struct statx st;
	int fd;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID, &st) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "relabel: stat %s", name);
	if (st.stx_mnt_id != walk->mount_id)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	if (set_label(walk, path, false, err) < 0)
		return error_prefix(err, "%s", name);
	if (!S_ISDIR(st.stx_mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : error_sys(err, errno, "relabel: open %s", name);
	return walk_dir(walk, fd, depth + 1, err);
}

/* Takes the descriptor. */
static int walk_dir(struct walk *walk, int fd, unsigned depth, struct error *err)
{
	DIR *dir = depth < MAX_DEPTH ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int result = 0;

	if (!dir) {
		(void)(depth < MAX_DEPTH ? error_sys(err, errno, "relabel: read a directory")
					 : error_set(err, ERR_EXHAUSTED, "relabel: more than %d directories deep", MAX_DEPTH));
		(void)close(fd);
		return -1;
	}
	while (result == 0 && !walk->no_labels && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = visit(walk, fd, entry->d_name, depth, err);
	}
	(void)closedir(dir);
	return result;
}

int relabel_tree(int fd, const char *name, const char *label, struct error *err)
{
	struct walk walk = { .name = name, .label = label };
	char path[64];
	struct statx st;
	int dir;

	if (check_place(fd, err) < 0)
		return -1;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &st) < 0)
		return error_sys(err, errno, "relabel: stat");
	walk.mount_id = st.stx_mnt_id;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (set_label(&walk, path, true, err) < 0)
		return -1;
	if (!S_ISDIR(st.stx_mode) || walk.no_labels)
		return 0;
	dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? error_sys(err, errno, "relabel: open") : walk_dir(&walk, dir, 0, err);
}
