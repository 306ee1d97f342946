/*
 * Paths inside the container's root.
 *
 * An existing path is one openat2(2): RESOLVE_IN_ROOT keeps absolute links and ".." below the root. When something is missing, the path
 * is first spelled out without links (expand_links), by looking at one component after the other, and then made from descriptor to
 * descriptor with RESOLVE_NO_SYMLINKS: whoever swaps a component for a link in between makes the operation fail, never leave the root.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "runtime/init/run.h"
#include "runtime/init/sys.h"

/* As the kernel's MAXSYMLINKS. */
#define MAX_LINKS 40

/* A rename elsewhere in the tree makes a scoped walk fail with EAGAIN; a busy volume may do that some times in a row (arbitrary). */
#define MAX_TRIES 128

static int open_below(int dirfd, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS };
	int fd = -EAGAIN;

	for (int i = 0; i < MAX_TRIES && fd == -EAGAIN; i++)
		fd = (int)SYS(openat2, dirfd, path, &how, sizeof(how));
	return fd;
}

int path_open(const struct run *run, const char *path, uint64_t flags, uint64_t resolve)
{
	return open_below(run->root, path, flags, resolve | RESOLVE_IN_ROOT);
}

uint32_t file_type(int fd)
{
	struct statx st = { .stx_mode = 0 };

	return SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 ? st.stx_mode & S_IFMT : 0;
}

/* A path in the making: `done` holds components that exist and are no links, or are missing; `rest` is still to be looked at. */
struct expansion {
	char done[PATH_SIZE];
	size_t n_done;
	char rest[PATH_SIZE];
	unsigned n_links;
};

static size_t component_length(const char *s)
{
	size_t n = 0;

	while (s[n] != '\0' && s[n] != '/')
		n++;
	return n;
}

static void drop_component(struct expansion *x)
{
	while (x->n_done > 0 && x->done[--x->n_done] != '/')
		;
	x->done[x->n_done] = '\0';
}

static int add_component(struct expansion *x, const char *name, size_t length)
{
	if (x->n_done + 1 + length >= sizeof(x->done))
		return -ENAMETOOLONG;
	x->done[x->n_done++] = '/';
	text_copy(x->done + x->n_done, name, length);
	x->n_done += length;
	x->done[x->n_done] = '\0';
	return 0;
}

/* Replaces the link that `done` ends with by its target in front of the rest. */
static int follow_link(struct expansion *x, int fd, const char *rest)
{
	char joined[PATH_SIZE];
	size_t n_rest = text_length(rest);
	long n;

	joined[0] = '\0';
	n = SYS(readlinkat, fd, "", joined, sizeof(joined));
	if (n < 0)
		return (int)n;
	if (++x->n_links > MAX_LINKS)
		return -ELOOP;
	if ((size_t)n + 1 + n_rest >= sizeof(joined))
		return -ENAMETOOLONG;
	if (joined[0] == '/')
		x->n_done = 0;
	else
		drop_component(x);
	x->done[x->n_done] = '\0';
	joined[n] = '/';
	text_copy(joined + n + 1, rest, n_rest + 1);
	text_copy(x->rest, joined, (size_t)n + 1 + n_rest + 1);
	return 0;
}

/* Takes the first component off the rest. Returns 1 when there is none, else 0 or -errno. */
static int expand_one(const struct run *run, struct expansion *x)
{
	const char *rest = x->rest;
	size_t length;
	int fd, result;

	while (*rest == '/')
		rest++;
	length = component_length(rest);
	if (length == 0)
		return 1;
	if (length == 2 && rest[0] == '.' && rest[1] == '.') {
		drop_component(x);
		result = 0;
	} else {
		result = length == 1 && rest[0] == '.' ? 0 : add_component(x, rest, length);
	}
	rest += length;
	if (result < 0)
		return result;
	fd = path_open(run, x->n_done ? x->done : "/", O_PATH | O_NOFOLLOW, 0);
	if (fd >= 0 && file_type(fd) == S_IFLNK) {
		result = follow_link(x, fd, rest);
	} else {
		size_t n_rest = text_length(rest);

		/* moves to the front of the same buffer: forwards, so that the overlap is harmless */
		text_copy(x->rest, rest, n_rest + 1);
	}
	if (fd >= 0)
		(void)SYS(close, fd);
	return fd < 0 && fd != -ENOENT ? fd : result;
}

/* Spells `path` out without links. Components that do not exist stay as they are written. */
static int expand_links(const struct run *run, const char *path, struct expansion *x)
{
	size_t length = text_length(path);
	int result;

	if (length >= sizeof(x->rest))
		return -ENAMETOOLONG;
	text_copy(x->rest, path, length + 1);
	x->n_done = 0;
	x->done[0] = '\0';
	x->n_links = 0;
	do {
		result = expand_one(run, x);
	} while (result == 0);
	return result < 0 ? result : 0;
}

/* Makes directory `name` and opens it. Somebody else may have made it meanwhile: then it is theirs, owner and all. */
static int make_dir(int dirfd, const char *name, uint32_t mode, uint32_t uid, uint32_t gid)
{
	int made = (int)SYS(mkdirat, dirfd, name, mode);
	int result = 0;
	int fd;

	if (made < 0 && made != -EEXIST)
		return made;
	fd = open_below(dirfd, name, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
	if (fd >= 0 && made == 0 && (uid != 0 || gid != 0))
		result = (int)SYS(fchownat, fd, "", uid, gid, AT_EMPTY_PATH);
	if (result == 0)
		return fd;
	(void)SYS(close, fd);
	return result;
}

/* Walks `path`, whose components are no links, and makes what is missing. */
static int make_dirs(const struct run *run, char *path, uint32_t mode, uint32_t uid, uint32_t gid)
{
	int fd = open_below(run->root, ".", O_PATH | O_DIRECTORY, RESOLVE_BENEATH);
	char *next = path;

	while (fd >= 0) {
		size_t length;
		int child;
		char end;

		while (*next == '/')
			next++;
		length = component_length(next);
		if (length == 0)
			break;
		end = next[length];
		next[length] = '\0';
		child = open_below(fd, next, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
		if (child == -ENOENT)
			child = make_dir(fd, next, mode, uid, gid);
		(void)SYS(close, fd);
		fd = child;
		next += length;
		*next = end;
	}
	return fd;
}

int path_make_dir_for(const struct run *run, const struct plan_op *op, uint32_t mode, uint32_t uid, uint32_t gid)
{
	uint64_t resolve = op->flags & PLAN_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0;
	struct expansion x;
	int fd = path_open(run, op_text(run, op), O_PATH | O_DIRECTORY, resolve);

	if (fd != -ENOENT)
		return fd;
	if (op->flags & PLAN_NO_LINKS) {
		size_t length = text_length(op_text(run, op));

		if (length >= sizeof(x.done))
			return -ENAMETOOLONG;
		text_copy(x.done, op_text(run, op), length + 1);
	} else {
		int result = expand_links(run, op_text(run, op), &x);

		if (result < 0)
			return result;
	}
	return make_dirs(run, x.done, mode, uid, gid);
}

int path_make_dir(const struct run *run, const struct plan_op *op)
{
	return path_make_dir_for(run, op, 0755, run->uid, run->gid);
}

/* Cuts the last component off; returns where it starts. */
static char *split_last(char *path)
{
	size_t n = text_length(path);

	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n > 0)
		path[n - 1] = '\0';
	return path + n;
}

static int make_file(const struct run *run, int dirfd, const char *name)
{
	int fd = (int)SYS(openat, dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int result = 0;

	if (fd < 0)
		return fd;
	if (run->uid != 0 || run->gid != 0)
		result = (int)SYS(fchown, fd, run->uid, run->gid);
	(void)SYS(close, fd);
	return result < 0 ? result : open_below(dirfd, name, O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
}

int path_make_file(const struct run *run, const struct plan_op *op)
{
	struct expansion x;
	char *name;
	int dir, fd;

	fd = path_open(run, op_text(run, op), O_PATH, 0);
	if (fd != -ENOENT)
		return fd;
	fd = expand_links(run, op_text(run, op), &x);
	if (fd < 0)
		return fd;
	name = split_last(x.done);
	if (*name == '\0')
		return -EISDIR;
	dir = make_dirs(run, x.done, 0755, run->uid, run->gid);
	if (dir < 0)
		return dir;
	fd = make_file(run, dir, name);
	(void)SYS(close, dir);
	return fd;
}

int path_make_parent(const struct run *run, const char *path, const char **ret_name)
{
	char dir[PATH_SIZE];
	size_t length = text_length(path);
	const char *name;

	if (length >= sizeof(dir))
		return -ENAMETOOLONG;
	text_copy(dir, path, length + 1);
	name = split_last(dir);
	if (*name == '\0')
		return -EINVAL;
	*ret_name = path + (name - dir);
	return make_dirs(run, dir, 0755, run->uid, run->gid);
}
