/*
 * The directory that an archive is unpacked into, by descriptors only.
 *
 * A path that is handed in here was cleaned by tree_clean_path(). No symbolic link is ever followed: an archive that puts an entry
 * below a link is refused, because what the link names belongs to another layer or to nobody.
 */
#ifndef MONOPOD_IMAGE_TREE_H
#define MONOPOD_IMAGE_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

/* Directories below one another. Ten times the deepest real ones; io_remove_tree() has to get to the bottom of it. */
#define TREE_MAX_DEPTH 200

struct tree {
	int rootfd;
	bool is_layer;        /* a 0:0 device is a white-out */
	uint64_t inodes;      /* created; replaced ones are still counted */
	uint64_t directories; /* of these */
	uint64_t max_inodes;
	int parent_fd; /* the directory of the last entry, since the next one is mostly there too */
	char parent_path[PATH_MAX];
	int (*on_opaque)(void *arg, const char *path, struct error *err); /* a white-out made way for a new directory */
	void *on_opaque_arg;
};

void tree_init(struct tree *tree, int rootfd);
void tree_release(struct tree *tree);

/* Strips "./", "/" and double slashes; "" is the root itself. ".." anywhere, and components, paths or depths over the limits, are
 * ERR_INVALID. */
int tree_clean_path(const char *raw, char ret_path[PATH_MAX], struct error *err);

/* The directory that holds `path`, created with its parents when missing, and the last component in *ret_name (inside `path`).
 * The descriptor belongs to the tree and is good until the next call. */
int tree_open_parent(struct tree *tree, const char *path, const char **ret_name, struct error *err);

/* Whether something that is no directory stands where one above `path` would have to be: a file, a link, a white-out. */
bool tree_is_covered(const struct tree *tree, const char *path);

/* As tree_open_parent(), but creates nothing and leaves the tree's own descriptor alone; the caller closes the result. */
int tree_open_existing_parent(const struct tree *tree, const char *path, const char **ret_name, struct error *err);

/* Removes whatever bears the name, with everything below it. */
int tree_remove(int dirfd, const char *name, struct error *err);

/* To be called for each inode before it is created. */
int tree_count_inode(struct tree *tree, struct error *err);

/* overlayfs's sign for "the name below is gone" (Documentation/filesystems/overlayfs.rst). */
bool tree_is_whiteout(const struct stat *st);

#endif
