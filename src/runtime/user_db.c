#include "runtime/user_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

#define PASSWD_FIELDS 7
#define GROUP_FIELDS 4

/* Returns 0 to go on, 1 to stop, negative to fail. The line may be changed. */
typedef int line_visit(char *line, void *data, struct error *err);

/* A file being cut into lines. */
struct line_reader {
	int fd;
	char buffer[USER_DB_LINE_SIZE];
	size_t len;       /* bytes in buffer */
	size_t left;      /* bytes of the file that may still be read */
	bool in_overlong; /* the rest of the current line is to be skipped */
};

/*
 * Opens without touching: a descriptor that cannot read tells what the file is, and only a regular one is opened for reading, again
 * through that descriptor. -1 without an error: nothing to read.
 */
static int open_db(int rootfs, const char *path, int *ret_fd, struct error *err)
{
	struct error absent = ERROR_INIT;
	_cleanup_fd_ int handle = io_open_in_root(rootfs, path, O_PATH, 0, &absent);
	struct stat st;
	char link[64];

	*ret_fd = -1;
	if (handle < 0 && (absent.sys_errno == ENOENT || absent.sys_errno == ENOTDIR || absent.sys_errno == ELOOP))
		return 0;
	if (handle < 0 || fstat(handle, &st) < 0)
		return error_sys(err, handle < 0 ? absent.sys_errno : errno, "open %s of the container", path);
	if (!S_ISREG(st.st_mode))
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", handle);
	*ret_fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return *ret_fd < 0 ? error_sys(err, errno, "open %s of the container", path) : 0;
}

/* Hands out one line; a line with a NUL in it is none. */
static int take_line(struct line_reader *reader, char *line, size_t len, line_visit *visit, void *data, struct error *err)
{
	bool skip = reader->in_overlong;

	reader->in_overlong = false;
	if (skip || memchr(line, '\0', len))
		return 0;
	line[len] = '\0';
	return visit(line, data, err);
}

/* Visits every complete line in the buffer and moves what is left to its front. */
static int take_lines(struct line_reader *reader, line_visit *visit, void *data, struct error *err)
{
	char *start = reader->buffer, *end;
	size_t rest = reader->len;
	int r = 0;

	while (r == 0 && (end = memchr(start, '\n', rest))) {
		size_t len = (size_t)(end - start);

		r = take_line(reader, start, len, visit, data, err);
		start = end + 1;
		rest -= len + 1;
	}
	memmove(reader->buffer, start, rest);
	reader->len = rest;
	if (rest == sizeof(reader->buffer)) {
		reader->in_overlong = true;
		reader->len = 0;
	}
	return r;
}

static int fill(struct line_reader *reader, bool *ret_end, const char *path, struct error *err)
{
	size_t room = sizeof(reader->buffer) - reader->len;
	ssize_t n;

	if (room > reader->left)
		room = reader->left;
	do {
		n = read(reader->fd, reader->buffer + reader->len, room);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(err, errno, "read %s of the container", path);
	reader->len += (size_t)n;
	reader->left -= (size_t)n;
	*ret_end = n == 0;
	return 0;
}

static int for_each_line(int rootfs, const char *path, line_visit *visit, void *data, struct error *err)
{
	struct line_reader reader = { .left = USER_DB_FILE_BYTES };
	_cleanup_fd_ int fd = -1;
	bool end = false;
	int r = 0;

	if (open_db(rootfs, path, &fd, err) < 0)
		return -1;
	if (fd < 0)
		return 0;
	reader.fd = fd;
	while (r == 0 && !end) {
		if (fill(&reader, &end, path, err) < 0)
			return -1;
		r = take_lines(&reader, visit, data, err);
	}
	/* A last line without a newline counts, unless the limit cut it. */
	if (r == 0 && reader.len > 0 && reader.len < sizeof(reader.buffer) && reader.left > 0)
		r = take_line(&reader, reader.buffer, reader.len, visit, data, err);
	return r < 0 ? -1 : 0;
}

/* Fields that are missing at the end are empty, as hand-written files of small images have them. */
static void split(char *line, char *fields[], size_t n)
{
	char *end = line + strlen(line);

	for (size_t i = 0; i < n; i++) {
		char *field = strsep(&line, ":");

		fields[i] = field ? field : end;
	}
}

/* Digits only, below (uid_t)-1. */
static bool parse_number(const char *text, uint32_t *ret_value)
{
	uint64_t value = 0;

	if (!*text || text[strspn(text, "0123456789")] != '\0')
		return false;
	for (const char *p = text; *p; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value >= UINT32_MAX)
			return false;
	}
	*ret_value = (uint32_t)value;
	return true;
}

struct passwd_search {
	const struct passwd_query *query;
	struct passwd_match *match;
};

static int on_passwd(char *line, void *data, struct error *err)
{
	struct passwd_search *search = data;
	struct passwd_match *match = search->match;
	char *fields[PASSWD_FIELDS];
	uint32_t uid, gid;

	(void)err;
	split(line, fields, PASSWD_FIELDS);
	if (!parse_number(fields[2], &uid) || !parse_number(fields[3], &gid))
		return 0;
	if (!*fields[0] || strlen(fields[0]) >= sizeof(match->name))
		return 0;
	if (search->query->by_uid ? uid != search->query->uid : strcmp(fields[0], search->query->name) != 0)
		return 0;
	match->found = true;
	match->uid = uid;
	match->gid = gid;
	(void)snprintf(match->name, sizeof(match->name), "%s", fields[0]);
	/* A home directory that does not fit is as good as none. */
	(void)snprintf(match->home, sizeof(match->home), "%s", strlen(fields[5]) < sizeof(match->home) ? fields[5] : "");
	return 1;
}

int passwd_find(int rootfs, const struct passwd_query *query, struct passwd_match *ret_match, struct error *err)
{
	struct passwd_search search = { query, ret_match };

	ret_match->found = false;
	return for_each_line(rootfs, "/etc/passwd", on_passwd, &search, err);
}

struct group_search {
	const char *name;
	bool found;
	uint32_t gid;
};

static int on_group_name(char *line, void *data, struct error *err)
{
	struct group_search *search = data;
	char *fields[GROUP_FIELDS];

	(void)err;
	split(line, fields, GROUP_FIELDS);
	if (strcmp(fields[0], search->name) != 0)
		return 0;
	search->found = parse_number(fields[2], &search->gid);
	return search->found ? 1 : 0;
}

int group_find(int rootfs, const char *name, bool *ret_found, gid_t *ret_gid, struct error *err)
{
	struct group_search search = { .name = name };

	if (for_each_line(rootfs, "/etc/group", on_group_name, &search, err) < 0)
		return -1;
	*ret_found = search.found;
	*ret_gid = search.gid;
	return 0;
}

struct membership_search {
	const char *user;
	membership_visit *visit;
	void *data;
};

static int on_group_members(char *line, void *data, struct error *err)
{
	struct membership_search *search = data;
	char *fields[GROUP_FIELDS], *member;
	uint32_t gid;

	split(line, fields, GROUP_FIELDS);
	if (!*fields[0] || !parse_number(fields[2], &gid))
		return 0;
	while ((member = strsep(&fields[3], ","))) {
		if (!strcmp(member, search->user))
			return search->visit(gid, search->data, err);
	}
	return 0;
}

int group_memberships(int rootfs, const char *user, membership_visit *visit, void *data, struct error *err)
{
	struct membership_search search = { user, visit, data };

	return for_each_line(rootfs, "/etc/group", on_group_members, &search, err);
}
