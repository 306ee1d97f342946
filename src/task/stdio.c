#include "task/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "task/path.h"

static const char *const names[3] = { "stdin", "stdout", "stderr" };

static int make_fifo(const char *dir, int which, const char *label, int *ret_inside, struct error *err)
{
	char path[PATH_MAX];

	if (path_format(path, err, "%s/%s", dir, names[which]) < 0)
		return -1;
	if ((unlink(path) < 0 && errno != ENOENT) || mkfifo(path, 0600) < 0)
		return error_sys(err, errno, "create fifo %s", path);
	if (label && lsetxattr(path, "security.selinux", label, strlen(label) + 1, 0) < 0)
		return error_sys(err, errno, "label fifo %s as %s", path, label);
	/* O_RDWR neither waits for the other end nor ever lacks it (fifo(7)). */
	*ret_inside = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return *ret_inside < 0 ? error_sys(err, errno, "open fifo %s", path) : 0;
}

static int open_read_end(const char *dir, int which, int *ret_fd, struct error *err)
{
	char path[PATH_MAX];

	if (path_format(path, err, "%s/%s", dir, names[which]) < 0)
		return -1;
	*ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? error_sys(err, errno, "open fifo %s", path) : 0;
}

static int make_in(const char *dir, bool with_stdin, const char *label, struct stdio *stdio, struct error *err)
{
	for (int which = with_stdin ? 0 : 1; which < 3; which++)
		if (make_fifo(dir, which, label, &stdio->inside[which], err) < 0)
			return -1;
	return 0;
}

int stdio_reopen(const char *dir, struct stdio *ret_stdio, struct error *err)
{
	for (int which = 1; which < 3; which++)
		if (open_read_end(dir, which, &ret_stdio->read_end[which - 1], err) < 0)
			return -1;
	return 0;
}

int stdio_make(const char *dir, bool with_stdin, const char *label, struct stdio *ret_stdio, struct error *err)
{
	struct stdio stdio = STDIO_INIT;

	if (make_in(dir, with_stdin, label, &stdio, err) < 0 || stdio_reopen(dir, &stdio, err) < 0) {
		stdio_release(&stdio);
		return -1;
	}
	*ret_stdio = stdio;
	return 0;
}

void stdio_close_inside(struct stdio *stdio)
{
	for (int i = 0; i < 3; i++)
		close_fd(&stdio->inside[i]);
}

void stdio_release(struct stdio *stdio)
{
	stdio_close_inside(stdio);
	close_fd(&stdio->read_end[0]);
	close_fd(&stdio->read_end[1]);
}
