/*
 * Files by descriptor. Every descriptor opened here is close-on-exec. Paths below a directory that somebody else may write to (a
 * root file system, an image layer) are resolved by io_open_in_root() and used as descriptors from then on: security.md's first
 * primitive.
 */
#ifndef MONOPOD_BASE_IO_H
#define MONOPOD_BASE_IO_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

/* Writes all of it, through short writes and EINTR. Errors name `what`. */
int io_write_all(int fd, const void *data, size_t len, const char *what, struct error *err);

/* Appends the file's content to *b, whose max is the limit. `dirfd` may be AT_FDCWD. */
int io_read_file(int dirfd, const char *path, struct buffer *b, struct error *err);

/* The same from where an open file stands. Errors name `what`. */
int io_read_fd(int fd, const char *what, struct buffer *b, struct error *err);

/* One open-write-close, for cgroup and sysctl files: the value is written by a single write(2). */
int io_write_value(int dirfd, const char *path, const char *value, struct error *err);

/* Creates or replaces `path` atomically (temporary name, rename); no fsync. `mode` as for open(2). */
int io_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/* openat2(2) with RESOLVE_IN_ROOT and no magic links (Linux 5.6): symbolic links never leave `rootfd`. Use O_PATH or O_NONBLOCK where
 * a fifo or a device may lie: opening those can block or act. */
int io_open_in_root(int rootfd, const char *path, int flags, mode_t mode, struct error *err);

/* mkdir -p; components that exist are fine. Not for paths that others control. */
int io_make_dirs(const char *path, mode_t mode, struct error *err);

/* Removes a file or a tree of any depth by descriptors, never following links below `path`, never entering a mount point (`path`
 * itself may be none either): that fails with ERR_STATE. A missing path is success. Stops at the first failure. */
int io_remove_tree(int dirfd, const char *path, struct error *err);

#endif
