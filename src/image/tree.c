#include "image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

void tree_init(struct tree *tree, int rootfd)
{
	*tree = (struct tree){ .rootfd = rootfd, .parent_fd = -1 };
}

static void forget_parent(struct tree *tree)
{
	close_fd(&tree->parent_fd);
}

void tree_release(struct tree *tree)
{
	forget_parent(tree);
}

bool tree_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int tree_count_inode(struct tree *tree, struct error *err)
{
	if (tree->inodes >= tree->max_inodes)
		return error_set(err, ERR_EXHAUSTED, "more than %llu files", (unsigned long long)tree->max_inodes);
	tree->inodes++;
	return 0;
}

static int append_component(char path[PATH_MAX], size_t *len, const char *component, size_t n, struct error *err)
{
	if (n == 2 && component[0] == '.' && component[1] == '.')
		return error_set(err, ERR_INVALID, "'..' in a path");
	if (n > NAME_MAX || *len + n + 2 > PATH_MAX)
		return error_set(err, ERR_INVALID, "path too long");
	if (*len > 0)
		path[(*len)++] = '/';
	memcpy(path + *len, component, n);
	*len += n;
	return 0;
}

int tree_clean_path(const char *raw, char ret_path[PATH_MAX], struct error *err)
{
	char path[PATH_MAX];
	unsigned depth = 0;
	size_t len = 0;

	for (const char *p = raw; *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (n > 0 && !(n == 1 && *p == '.')) {
			if (++depth > TREE_MAX_DEPTH)
				return error_set(err, ERR_INVALID, "path deeper than %d directories", TREE_MAX_DEPTH);
			if (append_component(path, &len, p, n, err) < 0)
				return -1;
		}
		p += n;
	}
	path[len] = '\0';
	memcpy(ret_path, path, len + 1);
	return 0;
}

static int open_beneath(int dirfd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, dirfd, *path ? path : ".", &how, sizeof(how));
}

static int make_directory(struct tree *tree, int dirfd, const char *name, struct error *err)
{
	if (tree_count_inode(tree, err) < 0)
		return -1;
	if (mkdirat(dirfd, name, 0755) < 0)
		return error_sys(err, errno, "create a directory");
	tree->directories++;
	return 0;
}

/* What stands where a directory is needed: nothing, a white-out of this layer, or something that may not be a parent. */
static int make_way(struct tree *tree, int dirfd, const char *name, const char *path, struct error *err)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? make_directory(tree, dirfd, name, err) : error_sys(err, errno, "look at '%s'", path);
	if (S_ISLNK(st.st_mode))
		return error_set(err, ERR_INVALID, "its parent '%s' is a symbolic link", path);
	if (!tree->is_layer || !tree_is_whiteout(&st))
		return error_set(err, ERR_INVALID, "its parent '%s' is not a directory", path);
	if (unlinkat(dirfd, name, 0) < 0)
		return error_sys(err, errno, "remove a white-out");
	if (make_directory(tree, dirfd, name, err) < 0)
		return -1;
	return tree->on_opaque(tree->on_opaque_arg, path, err);
}

/* Opens `path`, creating what is missing; the components were checked by tree_clean_path(). */
static int make_parents(struct tree *tree, const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open_beneath(tree->rootfd, "");
	char partial[PATH_MAX];
	size_t len = strlen(path);
	char *name = partial;

	memcpy(partial, path, len + 1);
	while (fd >= 0 && name < partial + len) {
		size_t n = strcspn(name, "/");
		int next;

		name[n] = '\0';
		next = open_beneath(fd, name);
		if (next < 0) {
			if (make_way(tree, fd, name, partial, err) < 0)
				return -1;
			next = open_beneath(fd, name);
		}
		(void)close(fd);
		fd = next;
		if (name + n < partial + len)
			name[n] = '/';
		name += n + 1;
	}
	return fd < 0 ? error_sys(err, errno, "open '%.200s'", path) : steal_fd(&fd);
}

static void split(const char *path, char parent[PATH_MAX], const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	memcpy(parent, path, len);
	parent[len] = '\0';
	*ret_name = slash ? slash + 1 : path;
}

int tree_open_parent(struct tree *tree, const char *path, const char **ret_name, struct error *err)
{
	char parent[PATH_MAX];
	int fd;

	split(path, parent, ret_name);
	if (tree->parent_fd >= 0 && !strcmp(parent, tree->parent_path))
		return tree->parent_fd;
	fd = open_beneath(tree->rootfd, parent);
	if (fd < 0)
		fd = make_parents(tree, parent, err);
	if (fd < 0)
		return -1;
	forget_parent(tree);
	tree->parent_fd = fd;
	memcpy(tree->parent_path, parent, strlen(parent) + 1);
	return fd;
}

bool tree_is_covered(const struct tree *tree, const char *path)
{
	char parent[PATH_MAX];
	const char *name;
	_cleanup_fd_ int fd = -1;

	split(path, parent, &name);
	fd = open_beneath(tree->rootfd, parent);
	return fd < 0 && (errno == ENOTDIR || errno == ELOOP);
}

int tree_open_existing_parent(const struct tree *tree, const char *path, const char **ret_name, struct error *err)
{
	char parent[PATH_MAX];
	int fd;

	split(path, parent, ret_name);
	fd = open_beneath(tree->rootfd, parent);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return error_set(err, ERR_INVALID, "'%.200s' is not a directory of this archive", parent);
	return fd < 0 ? error_sys(err, errno, "open the directory of '%.200s'", path) : fd;
}

int tree_remove(int dirfd, const char *name, struct error *err)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return io_remove_tree(dirfd, name, err);
}
