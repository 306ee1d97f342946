/* Copying a directory into a file system that was just made for a container. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/rootfs.h"

/* Each level holds two descriptors (arbitrary: no image's directories of data are nested as deep). */
#define DEPTH_MAX 100

static int copy_dir(int from, int to, unsigned depth, struct error *err);

/* Owner first: a change of it takes set-id bits away. */
static int copy_metadata(int fd, const struct stat *st, const char *name, struct error *err)
{
	const struct timespec times[] = { st->st_atim, st->st_mtim };

	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0 || futimens(fd, times) < 0)
		return error_sys(err, errno, "set owner and mode of %s", name);
	return 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st, struct error *err)
{
	/* not blocking: somebody may have put a fifo there since */
	_cleanup_fd_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_fd_ int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n = 1;

	if (in < 0 || out < 0)
		return error_sys(err, errno, "copy %s", name);
	while (n > 0)
		n = sendfile(out, in, NULL, (size_t)1 << 20);
	return n < 0 ? error_sys(err, errno, "copy %s", name) : copy_metadata(out, st, name, err);
}

static int copy_subdir(int from, int to, const char *name, const struct stat *st, unsigned depth, struct error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_fd_ int in = openat(from, name, flags), out = -1;

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return error_sys(err, errno, "copy %s", name);
	out = openat(to, name, flags);
	if (out < 0)
		return error_sys(err, errno, "copy %s", name);
	return copy_dir(in, out, depth + 1, err) < 0 ? -1 : copy_metadata(out, st, name, err);
}

static int copy_link(int from, int to, const char *name, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n >= 0)
		target[n] = '\0';
	return n < 0 || symlinkat(target, to, name) < 0 ? error_sys(err, errno, "copy link %s", name) : 0;
}

static int copy_node(int to, const char *name, const struct stat *st, struct error *err)
{
	return mknodat(to, name, st->st_mode, st->st_rdev) < 0 || fchmodat(to, name, st->st_mode & 07777, 0) < 0
		       ? error_sys(err, errno, "copy node %s", name)
		       : 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth, struct error *err)
{
	struct stat st;
	int r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "copy %s", name);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, name, &st, err);
	if (S_ISDIR(st.st_mode))
		return copy_subdir(from, to, name, &st, depth, err);
	r = S_ISLNK(st.st_mode) ? copy_link(from, to, name, err) : copy_node(to, name, &st, err);
	if (r == 0 && fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "set owner of %s", name);
	return r;
}

static int copy_entries(DIR *dir, int to, unsigned depth, struct error *err)
{
	const struct dirent *entry;

	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (copy_entry(dirfd(dir), to, entry->d_name, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int copy_dir(int from, int to, unsigned depth, struct error *err)
{
	_cleanup_fd_ int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r;

	if (!dir)
		return error_sys(err, errno, "read directory to copy");
	(void)steal_fd(&fd);
	r = depth >= DEPTH_MAX ? error_set(err, ERR_EXHAUSTED, "copy: directories nested deeper than %d", DEPTH_MAX)
			       : copy_entries(dir, to, depth, err);
	(void)closedir(dir);
	return r;
}

int copy_up(int from, int to, struct error *err)
{
	return copy_dir(from, to, 0, err);
}
