#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"

#define READ_STEP ((size_t)16 * 1024)

/* A removal holds a descriptor and glibc's 32 KiB of directory buffer for each level. A container can make trees of any depth, so
 * what lies deeper than this is moved up instead (arbitrary; few images are deeper). */
#define MAX_DEPTH 32

/* How often a directory is listed again because it was not empty after all: some file systems skip entries when others vanish
 * between two reads, and somebody may still be writing (arbitrary). */
#define MAX_PASSES 16

/* Retries of a walk that renames keep disturbing; a container that does so on purpose only fails its own operation (arbitrary). */
#define MAX_OPEN_TRIES 64

int io_write_all(int fd, const void *data, size_t len, const char *what, struct error *err)
{
	const char *next = data;

	while (len > 0) {
		ssize_t n = write(fd, next, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "write %s", what);
		next += n;
		len -= (size_t)n;
	}
	return 0;
}

int io_read_fd(int fd, const char *what, struct buffer *b, struct error *err)
{
	char chunk[READ_STEP];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read %s", what);
		if (buffer_append(b, chunk, (size_t)n, err) < 0)
			return error_prefix(err, "read %s", what);
	}
	return 0;
}

int io_read_file(int dirfd, const char *path, struct buffer *b, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "open %s", path);
	return io_read_fd(fd, path, b, err);
}

int io_write_value(int dirfd, const char *path, const char *value, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(value);
	ssize_t n;

	if (fd < 0)
		return error_sys(err, errno, "open %s", path);
	n = write(fd, value, len);
	if (n != (ssize_t)len)
		return error_sys(err, n < 0 ? errno : EIO, "write '%s' to %s", value, path);
	return 0;
}

static int write_new_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return error_sys(err, errno, "create %s", path);
	return io_write_all(fd, data, len, path, err);
}

int io_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	char temporary[PATH_MAX];

	/* One name for each thread: two that replace the same file do not meet, and what a crash left behind is reused. */
	if (snprintf(temporary, sizeof(temporary), "%s.tmp-%d", path, (int)gettid()) >= (int)sizeof(temporary))
		return error_sys(err, ENAMETOOLONG, "replace %s", path);
	(void)unlinkat(dirfd, temporary, 0);
	if (write_new_file(dirfd, temporary, data, len, mode, err) < 0)
		goto failed;
	if (renameat(dirfd, temporary, dirfd, path) < 0) {
		(void)error_sys(err, errno, "rename %s", temporary);
		goto failed;
	}
	return 0;
failed:
	(void)unlinkat(dirfd, temporary, 0);
	return -1;
}

int io_open_in_root(int rootfd, const char *path, int flags, mode_t mode, struct error *err)
{
	bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = creates ? mode : 0, /* openat2(2) refuses a mode that has no use */
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	for (int tries = 0; tries < MAX_OPEN_TRIES; tries++) {
		int fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));

		if (fd >= 0)
			return fd;
		if (errno != EAGAIN && errno != EINTR) /* EAGAIN: a rename raced with the walk, openat2(2) asks to retry */
			break;
	}
	return error_sys(err, errno, "open %s in root", path);
}

int io_make_dirs(const char *path, mode_t mode, struct error *err)
{
	char partial[PATH_MAX];
	size_t len = strlen(path);
	struct stat st;

	if (len == 0 || len >= sizeof(partial))
		return error_set(err, ERR_INVALID, "create directory '%s': bad length", path);
	memcpy(partial, path, len + 1);
	for (char *p = partial + 1; p <= partial + len; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		*p = '\0';
		if (mkdir(partial, mode) < 0 && errno != EEXIST)
			return error_sys(err, errno, "create directory %s", partial);
		if (p < partial + len)
			*p = '/';
	}
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) /* EEXIST is told of anything */
		return error_sys(err, ENOTDIR, "create directory %s", path);
	return 0;
}

/* ---- removing trees ---- */

struct removal {
	int topfd;         /* the tree's root while it is listed */
	unsigned moved_up; /* directories that were too deep */
};

static int remove_dir(struct removal *removal, int dirfd, const char *name, unsigned depth, struct error *err);

static int remove_failed(int dirfd, const char *name, int sys_errno, struct error *err)
{
	char link[sizeof("/proc/self/fd/") + 12];
	char dir[ERROR_TEXT_SIZE / 2];
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	len = readlink(link, dir, sizeof(dir));
	if (sys_errno == EXDEV)
		return error_set(err, ERR_STATE, "remove %.*s/%s: a file system is mounted there", len > 0 ? (int)len : 0, dir,
				 name);
	return error_sys(err, sys_errno, "remove %.*s/%s", len > 0 ? (int)len : 0, dir, name);
}

static int remove_entry(struct removal *removal, int dirfd, const struct dirent *entry, unsigned depth, struct error *err)
{
	if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
		return 0;
	if (entry->d_type == DT_DIR)
		return remove_dir(removal, dirfd, entry->d_name, depth, err);
	if (unlinkat(dirfd, entry->d_name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EISDIR) /* not every file system fills d_type */
		return remove_dir(removal, dirfd, entry->d_name, depth, err);
	return remove_failed(dirfd, entry->d_name, errno, err);
}

/* Takes ownership of fd. */
static int remove_entries(struct removal *removal, int fd, const char *name, unsigned depth, struct error *err)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		(void)error_sys(err, errno, "list %s", name);
		(void)close(fd);
		return -1;
	}
	if (depth == 0)
		removal->topfd = fd;
	while (errno = 0, (entry = readdir(dir))) {
		if (remove_entry(removal, fd, entry, depth + 1, err) < 0)
			return -1;
	}
	return errno == 0 ? 0 : error_sys(err, errno, "list %s", name);
}

/* Into the root of the tree, from where a later pass removes it. The name is random because the tree's owner may be hostile. */
static int move_up(struct removal *removal, int dirfd, const char *name, struct error *err)
{
	char unique[ID_SIZE];

	id_generate(unique);
	if (renameat(dirfd, name, removal->topfd, unique) < 0 && errno != ENOENT)
		return remove_failed(dirfd, name, errno, err);
	removal->moved_up++;
	return 0;
}

/* RESOLVE_NO_XDEV (Linux 5.6) refuses bind mounts of the same file system too, which st_dev would not show. */
static int open_on_same_mount(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
}

static int remove_dir(struct removal *removal, int dirfd, const char *name, unsigned depth, struct error *err)
{
	if (depth > MAX_DEPTH)
		return move_up(removal, dirfd, name, err);
	for (unsigned pass = 0;; pass++) {
		int fd = open_on_same_mount(dirfd, name);

		if (fd < 0)
			return errno == ENOENT ? 0 : remove_failed(dirfd, name, errno, err);
		if (remove_entries(removal, fd, name, depth, err) < 0)
			return -1;
		if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY || pass >= MAX_PASSES + removal->moved_up)
			return remove_failed(dirfd, name, errno, err);
	}
}

static int remove_top(int dirfd, const char *name, struct error *err)
{
	struct removal removal = { .topfd = -1 };

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? remove_dir(&removal, dirfd, name, 0, err) : remove_failed(dirfd, name, errno, err);
}

int io_remove_tree(int dirfd, const char *path, struct error *err)
{
	char parent[PATH_MAX];
	_cleanup_fd_ int parentfd = -1;
	size_t len = strlen(path);
	char *name;

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len >= sizeof(parent) - 2)
		return error_sys(err, ENAMETOOLONG, "remove tree");
	(void)snprintf(parent, sizeof(parent), "%s%.*s", memchr(path, '/', len) ? "" : "./", (int)len, path);
	name = strrchr(parent, '/');
	*name++ = '\0';
	if (!strcmp(name, "") || !strcmp(name, ".") || !strcmp(name, ".."))
		return error_set(err, ERR_INVALID, "remove tree '%s': names no entry of a directory", path);
	parentfd = openat(dirfd, *parent ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parentfd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "open %s", parent);
	return remove_top(parentfd, name, err);
}
