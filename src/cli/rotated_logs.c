#include "cli/rotated_logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "cli/cri_log.h"
#include "cli/line_feed.h"

/* The kubelet keeps five by default; who keeps more than this wants them from elsewhere. */
#define MAX_ROTATED 1024

#define READ_BYTES ((unsigned)64 * 1024)

/* ---- finding ---- */

/* "20261123-120000", and perhaps ".gz". */
static bool is_rotation(const char *suffix)
{
	size_t date = strspn(suffix, "0123456789");
	size_t time = suffix[date] == '-' ? strspn(suffix + date + 1, "0123456789") : 0;

	if (date != 8 || time != 6)
		return false;
	return !suffix[15] || !strcmp(suffix + 15, ".gz");
}

static bool is_wanted(int dir, const char *name, const struct stat *current, int64_t since_ns)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (st.st_dev == current->st_dev && st.st_ino == current->st_ino)
		return false;
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec >= since_ns;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted; a file and its compressed copy are there together for a moment, and are one. */
static size_t drop_copies(char **paths, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || strncmp(paths[i], paths[kept - 1], strlen(paths[kept - 1])) != 0)
			paths[kept++] = paths[i];
	}
	return kept;
}

struct search {
	const char *dir, *base;
	struct stat current;
	int64_t since_ns;
	struct arena *arena;
	struct rotated_logs *logs;
};

static int search_directory(const struct search *s, DIR *dir, struct error *err)
{
	size_t base_len = strlen(s->base);
	const struct dirent *entry;

	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, s->base, base_len) != 0 || entry->d_name[base_len] != '.' ||
		    !is_rotation(entry->d_name + base_len + 1) || !is_wanted(dirfd(dir), entry->d_name, &s->current, s->since_ns))
			continue;
		if (s->logs->n == MAX_ROTATED)
			return error_set(err, ERR_EXHAUSTED, "%s holds more than %d rotated files of this log", s->dir,
					 MAX_ROTATED);
		s->logs->paths[s->logs->n++] = arena_printf(s->arena, "%s/%s", s->dir, entry->d_name);
	}
	return arena_failed(s->arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

int rotated_logs_find(const char *path, int current_fd, int64_t since_ns, struct arena *arena, struct rotated_logs *ret_logs,
		      struct error *err)
{
	struct rotated_logs logs = { .paths = arena_new_array(arena, char *, MAX_ROTATED) };
	char *for_dir = arena_strdup(arena, path), *for_base = arena_strdup(arena, path);
	struct search search = { .since_ns = since_ns, .arena = arena, .logs = &logs };
	DIR *dir;
	int result;

	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	search.dir = dirname(for_dir);
	search.base = basename(for_base);
	if (current_fd >= 0 && fstat(current_fd, &search.current) < 0)
		return error_sys(err, errno, "look at %s", path);
	dir = opendir(search.dir);
	if (!dir)
		return error_sys(err, errno, "list %s", search.dir);
	result = search_directory(&search, dir, err);
	(void)closedir(dir);
	if (result < 0)
		return -1;
	qsort(logs.paths, logs.n, sizeof(*logs.paths), compare);
	logs.n = drop_copies(logs.paths, logs.n);
	*ret_logs = logs;
	return 0;
}

/* ---- reading ---- */

/* The kubelet may compress or remove a file meanwhile; -1 with ENOENT when it is gone. */
static int open_log(const char *path)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
	int fd = open(path, flags);
	char compressed[PATH_MAX];

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if ((size_t)snprintf(compressed, sizeof(compressed), "%s.gz", path) >= sizeof(compressed))
		return -1;
	return open(compressed, flags);
}

static int feed_all(gzFile file, const char *path, struct line_feed *feed, struct error *err)
{
	char data[READ_BYTES];
	const char *trouble;
	int n, code = Z_OK;

	while ((n = gzread(file, data, READ_BYTES)) > 0) {
		if (line_feed_put(feed, data, (size_t)n, err) < 0)
			return -1;
	}
	trouble = gzerror(file, &code);
	if (n < 0 || code != Z_OK) /* Z_BUF_ERROR: it ends too early */
		return error_set(err, ERR_DATA_LOSS, "read %s: %s", path, trouble);
	line_feed_end(feed);
	return 0;
}

/* zlib reads what is not compressed as it is. A file that is gone has no lines. */
static int each_line(const char *path, line_fn *fn, void *arg, struct error *err)
{
	_cleanup_fd_ int fd = open_log(path);
	struct line_feed feed;
	gzFile file;
	int result;

	if (fd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "open %s", path);
	file = gzdopen(fd, "r");
	if (!file)
		return error_set(err, ERR_EXHAUSTED, "open %s: out of memory", path);
	(void)steal_fd(&fd); /* the file's now */
	line_feed_init(&feed, fn, arg);
	result = feed_all(file, path, &feed, err);
	line_feed_release(&feed);
	(void)gzclose_r(file);
	return result;
}

static bool ends_whole_line(const char *text, size_t len)
{
	struct cri_log_line line;

	return cri_log_parse(text, len, &line) < 0 || !line.partial;
}

static void count(void *arg, const char *line, size_t len)
{
	*(int64_t *)arg += ends_whole_line(line, len);
}

struct printing {
	struct log_printer *printer;
	int64_t skip; /* whole lines */
};

static void print(void *arg, const char *line, size_t len)
{
	struct printing *p = arg;

	if (p->skip == 0)
		log_printer_put(p->printer, line, len);
	else
		p->skip -= ends_whole_line(line, len);
}

int rotated_logs_print(const struct rotated_logs *logs, int64_t lines, struct log_printer *printer, struct error *err)
{
	struct printing p = { .printer = printer };
	size_t first = lines == INT64_MAX ? 0 : logs->n;
	int64_t n = 0;

	while (first > 0 && n <= lines) { /* one more than wanted: its end is where printing begins */
		if (each_line(logs->paths[--first], count, &n, err) < 0)
			return -1;
	}
	p.skip = n > lines ? n - lines : 0;
	for (size_t i = first; i < logs->n; i++) {
		if (each_line(logs->paths[i], print, &p, err) < 0)
			return -1;
	}
	return 0;
}
