#include "cli/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cri_log.h"

#define READ_BYTES ((size_t)64 * 1024)

/* Time, stream and tags fit in this: enough of a line to know whether it ends one. */
#define LINE_HEAD_BYTES 80

static int watch_directory(struct log_reader *reader, struct error *err)
{
	_cleanup_free_
	char *copy = strdup(reader->path);
	const char *directory;

	if (!copy)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	directory = dirname(copy);
	reader->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (reader->notify < 0)
		return error_sys(err, errno, "watch files");
	if (inotify_add_watch(reader->notify, directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
		return error_sys(err, errno, "watch %s", directory);
	return 0;
}

static void print_line(void *arg, const char *line, size_t len)
{
	log_printer_put(arg, line, len);
}

int log_reader_open(struct log_reader *reader, const char *path, bool follow, struct log_printer *printer, struct error *err)
{
	*reader = (struct log_reader){ .path = path, .fd = -1, .notify = -1, .printer = printer };
	line_feed_init(&reader->lines, print_line, printer);
	/* Watching begins before the first look, so that nothing falls between. */
	if (follow && watch_directory(reader, err) < 0)
		return -1;
	reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (reader->fd < 0 && !(follow && errno == ENOENT))
		return error_sys(err, errno, "open %s", path);
	return 0;
}

void log_reader_release(struct log_reader *reader)
{
	close_fd(&reader->fd);
	close_fd(&reader->notify);
	line_feed_release(&reader->lines);
}

/* Finds the line end before `end` and stores where the line after it begins; 0 when there is none. */
static int line_start_before(int fd, off_t end, off_t *ret_start, struct error *err)
{
	char data[4096];

	while (end > 0) {
		size_t step = end < (off_t)sizeof(data) ? (size_t)end : sizeof(data);
		ssize_t n = pread(fd, data, step, end - (off_t)step);
		const char *found;

		if (n != (ssize_t)step)
			return error_sys(err, n < 0 ? errno : EIO, "read log");
		found = memrchr(data, '\n', step);
		if (found) {
			*ret_start = end - (off_t)step + (found - data) + 1;
			return 0;
		}
		end -= (off_t)step;
	}
	*ret_start = 0;
	return 0;
}

/* Does the line that begins at `start` end a line of the container, or only a part of one? */
static bool ends_whole_line(int fd, off_t start, off_t end)
{
	char head[LINE_HEAD_BYTES];
	size_t want = end - start < (off_t)sizeof(head) ? (size_t)(end - start) : sizeof(head);
	ssize_t n = pread(fd, head, want, start);
	struct cri_log_line line;

	return n <= 0 || cri_log_parse(head, (size_t)n, &line) < 0 || !line.partial;
}

int log_reader_tail(struct log_reader *reader, int64_t lines, int64_t *ret_missing, struct error *err)
{
	off_t end = reader->fd < 0 ? 0 : lseek(reader->fd, 0, SEEK_END);
	off_t begin = end;

	if (end < 0)
		return error_sys(err, errno, "seek in %s", reader->path);
	/* Backwards line by line: the end of an older whole line is counted when it is met, and the walk stops behind it. */
	while (end > 0) {
		off_t start = 0;

		if (line_start_before(reader->fd, end - 1, &start, err) < 0)
			return -1;
		if (ends_whole_line(reader->fd, start, end - 1) && lines-- <= 0)
			break;
		begin = end = start;
	}
	if (reader->fd >= 0 && lseek(reader->fd, begin, SEEK_SET) < 0)
		return error_sys(err, errno, "seek in %s", reader->path);
	*ret_missing = begin == 0 ? lines : -1;
	return 0;
}

int log_reader_drain(struct log_reader *reader, struct error *err)
{
	char data[READ_BYTES];

	while (reader->fd >= 0) {
		ssize_t n = read(reader->fd, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read %s", reader->path);
		if (n == 0)
			break;
		if (line_feed_put(&reader->lines, data, (size_t)n, err) < 0)
			return -1;
	}
	(void)fflush(reader->printer->streams[CRI_LOG_STDOUT]);
	(void)fflush(reader->printer->streams[CRI_LOG_STDERR]);
	return 0;
}

/* Another file under the path: what is left of the old one first, then the new one from its beginning. */
static int follow_rotation(struct log_reader *reader, struct error *err)
{
	_cleanup_fd_ int fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat old = { 0 };
	struct stat new = { 0 };

	if (fd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "open %s", reader->path);
	if (reader->fd >= 0 && fstat(reader->fd, &old) == 0 && fstat(fd, &new) == 0 && old.st_ino == new.st_ino &&
	    old.st_dev == new.st_dev)
		return 0;
	if (log_reader_drain(reader, err) < 0)
		return -1;
	close_fd(&reader->fd);
	reader->fd = steal_fd(&fd);
	return log_reader_drain(reader, err);
}

static void forget_events(int notify)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(notify, events, sizeof(events)) > 0) {
	}
}

int log_reader_follow(struct log_reader *reader, log_ended_cb *ended, void *arg, int interval_ms, struct error *err)
{
	int64_t ask_us = 0;
	bool over = false;

	for (;;) {
		struct pollfd poll_fd = { .fd = reader->notify, .events = POLLIN };
		int64_t now_us = clock_monotonic_us();

		if (now_us >= ask_us) {
			over = ended(arg);
			ask_us = now_us + (int64_t)interval_ms * 1000;
		}
		if (log_reader_drain(reader, err) < 0 || follow_rotation(reader, err) < 0)
			return -1;
		if (over)
			return 0;
		if (poll(&poll_fd, 1, interval_ms) < 0 && errno == EINTR)
			ask_us = 0;
		forget_events(reader->notify);
	}
}
