#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

#define READ_STEP ((size_t)16 * 1024)

/* Trees deeper than this are not ours to walk: it bounds the descriptors that a removal holds (arbitrary). */
#define MAX_DEPTH 256

int io_write_all(int fd, const void *data, size_t len, const char *what, struct error *err)
{
	const char *next = data;

	while (len > 0) {
		ssize_t n = write(fd, next, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "write %s", what);
		next += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_to_end(int fd, const char *path, struct buffer *b, struct error *err)
{
	char chunk[READ_STEP];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read %s", path);
		if (buffer_append(b, chunk, (size_t)n, err) < 0)
			return error_prefix(err, "read %s", path);
	}
	return 0;
}

int io_read_file(int dirfd, const char *path, struct buffer *b, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "open %s", path);
	return read_to_end(fd, path, b, err);
}

int io_write_value(int dirfd, const char *path, const char *value, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, errno, "open %s", path);
	if (write(fd, value, strlen(value)) < 0)
		return error_sys(err, errno, "write '%s' to %s", value, path);
	return 0;
}

static int write_new_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0)
		return error_sys(err, errno, "create %s", path);
	return io_write_all(fd, data, len, path, err);
}

int io_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	char temporary[PATH_MAX];

	if (snprintf(temporary, sizeof(temporary), "%s.tmp", path) >= (int)sizeof(temporary))
		return error_sys(err, ENAMETOOLONG, "replace %s", path);
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
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC,
		.mode = mode,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	do {
		fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	} while (fd < 0 && errno == EAGAIN); /* a rename raced with the walk: openat2(2) asks to retry */
	return fd < 0 ? error_sys(err, errno, "open %s in root", path) : fd;
}

int io_make_dirs(const char *path, mode_t mode, struct error *err)
{
	char partial[PATH_MAX];
	size_t len = strlen(path);

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
	return 0;
}

static int remove_below(int dirfd, const char *name, dev_t dev, unsigned depth, struct error *err);

static int remove_entries(int fd, const char *name, dev_t dev, unsigned depth, struct error *err)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		(void)close(fd);
		return error_sys(err, errno, "list %s", name);
	}
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (remove_below(fd, entry->d_name, dev, depth + 1, err) < 0)
			return error_prefix(err, "%s", name);
	}
	return 0;
}

static int remove_below(int dirfd, const char *name, dev_t dev, unsigned depth, struct error *err)
{
	struct stat st;
	int fd;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return error_sys(err, errno, "remove %s", name);
	if (depth > MAX_DEPTH)
		return error_sys(err, ELOOP, "remove %s: deeper than %d levels", name, MAX_DEPTH);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "open %s", name);
	if (fstat(fd, &st) < 0 || (dev != 0 && st.st_dev != dev)) {
		(void)close(fd);
		return error_sys(err, EBUSY, "remove %s: a file system is mounted there", name);
	}
	if (remove_entries(fd, name, st.st_dev, depth, err) < 0)
		return -1;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove %s", name);
	return 0;
}

int io_remove_tree(int dirfd, const char *path, struct error *err)
{
	return remove_below(dirfd, path, 0, 0, err);
}
