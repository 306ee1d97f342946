#include "image/verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/tree.h"

#define READ_STEP ((size_t)128 * 1024)

struct walk {
	const struct verify_options *options;
	struct listing *listing;
	struct listing_hash hash;
	struct verify_usage usage;
	char path[PATH_MAX];
	char chunk[READ_STEP];
};

__attribute__((format(printf, 3, 4))) static void tell(const struct walk *w, const char *path, const char *fmt, ...)
{
	char what[2 * PATH_MAX + 64];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	w->options->found(w->options->arg, *path ? path : "the root", what);
}

static int check_cancelled(const struct walk *w, struct error *err)
{
	if (w->options->cancelled && atomic_load(w->options->cancelled))
		return error_set(err, ERR_CANCELLED, "cancelled");
	return 0;
}

/* Running out of descriptors or memory is our trouble, not the layer's. */
static int cannot_look(const struct walk *w, const char *what, struct error *err)
{
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return error_sys(err, errno, "%s '%.200s'", what, w->path);
	tell(w, w->path, "cannot be read: %s", strerrordesc_np(errno));
	return 0;
}

/* ---- one entry ---- */

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a fifo";
	case S_IFCHR:
	case S_IFBLK:
		return "a device node";
	default:
		return "something else";
	}
}

static mode_t type_of(const struct listing_record *record)
{
	switch (record->kind) {
	case LISTING_DIRECTORY:
	case LISTING_IMPLIED:
		return S_IFDIR;
	case LISTING_SYMLINK:
		return S_IFLNK;
	case LISTING_NODE:
		return record->mode & S_IFMT;
	default:
		return S_IFREG;
	}
}

/* Returns false when there is no point in looking further. */
static bool compare_type(const struct walk *w, const struct listing_record *record, const struct stat *st)
{
	mode_t type = type_of(record);

	if ((st->st_mode & S_IFMT) == type)
		return true;
	tell(w, w->path, "is %s and not %s", type_name(st->st_mode), type_name(type));
	return false;
}

/* A symbolic link has no mode of its own. */
static void compare_owner(const struct walk *w, const struct listing_record *record, const struct stat *st)
{
	if (st->st_uid != record->uid || st->st_gid != record->gid)
		tell(w, w->path, "belongs to %u:%u and not to %u:%u", (unsigned)st->st_uid, (unsigned)st->st_gid,
		     (unsigned)record->uid, (unsigned)record->gid);
	if (record->kind != LISTING_SYMLINK && (st->st_mode & 07777) != (record->mode & 07777))
		tell(w, w->path, "has mode %04o and not %04o", (unsigned)(st->st_mode & 07777), (unsigned)(record->mode & 07777));
}

static int hash_content(struct walk *w, int fd, uint64_t ret_hash[2], struct error *err)
{
	ssize_t n;

	if (listing_hash_begin(&w->hash, err) < 0)
		return -1;
	while ((n = read(fd, w->chunk, sizeof(w->chunk))) != 0) {
		if (check_cancelled(w, err) < 0)
			return -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			tell(w, w->path, "cannot be read: %s", strerrordesc_np(errno));
			return 1;
		}
		listing_hash_add(&w->hash, w->chunk, (size_t)n);
		w->usage.bytes += (uint64_t)n;
	}
	listing_hash_end(&w->hash, ret_hash);
	return 0;
}

static int compare_content(struct walk *w, int dirfd, const char *name, const struct listing_record *record, const struct stat *st,
			   struct error *err)
{
	_cleanup_fd_ int fd = -1;
	uint64_t hash[2];
	int result;

	if ((uint64_t)st->st_size != record->size) {
		tell(w, w->path, "has %llu bytes instead of %llu", (unsigned long long)st->st_size,
		     (unsigned long long)record->size);
		return 0;
	}
	if (record->kind == LISTING_SPARSE)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return cannot_look(w, "open", err);
	result = hash_content(w, fd, hash, err);
	if (result == 0 && memcmp(hash, record->hash, sizeof(hash)) != 0)
		tell(w, w->path, "holds something else than was unpacked");
	return result < 0 ? -1 : 0;
}

static int compare_target(struct walk *w, int dirfd, const char *name, const struct listing_entry *entry, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	if (n < 0)
		return cannot_look(w, "read", err);
	if ((size_t)n != entry->target_len || memcmp(target, entry->target, (size_t)n) != 0)
		tell(w, w->path, "points to '%.*s' and not to '%.*s'", (int)n, target, (int)entry->target_len, entry->target);
	return 0;
}

static int compare(struct walk *w, int dirfd, const char *name, const struct listing_entry *entry, const struct stat *st,
		   struct error *err)
{
	if (!compare_type(w, &entry->record, st) || entry->record.kind == LISTING_IMPLIED)
		return 0;
	compare_owner(w, &entry->record, st);
	switch (entry->record.kind) {
	case LISTING_FILE:
	case LISTING_SPARSE:
		return compare_content(w, dirfd, name, &entry->record, st, err);
	case LISTING_SYMLINK:
		return compare_target(w, dirfd, name, entry, err);
	case LISTING_NODE:
		if (!S_ISFIFO(st->st_mode) && st->st_rdev != entry->record.size)
			tell(w, w->path, "is another device");
		return 0;
	default:
		return 0;
	}
}

/* ---- the tree ---- */

static int walk_directory(struct walk *w, int fd, unsigned depth, struct error *err);

/* Whether the walk goes into it. */
static bool is_expected_directory(const struct walk *w, const struct listing_entry *entry, const struct stat *st)
{
	if (!S_ISDIR(st->st_mode))
		return false;
	return entry ? type_of(&entry->record) == S_IFDIR : listing_has_below(w->listing, w->path);
}

static int enter(struct walk *w, int dirfd, const char *name, unsigned depth, struct error *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? cannot_look(w, "open", err) : walk_directory(w, fd, depth + 1, err);
}

static int look_at(struct walk *w, int dirfd, const char *name, unsigned depth, struct error *err)
{
	struct listing_entry *entry = listing_find(w->listing, w->path);
	struct stat st;
	bool is_directory;

	w->usage.entries++;
	if (entry)
		entry->seen = true;
	if (check_cancelled(w, err) < 0)
		return -1;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return cannot_look(w, "look at", err);
	is_directory = is_expected_directory(w, entry, &st);
	if (!entry && !is_directory)
		tell(w, w->path, "is no part of the layer");
	if (entry && compare(w, dirfd, name, entry, &st, err) < 0)
		return -1;
	return is_directory && depth < TREE_MAX_DEPTH ? enter(w, dirfd, name, depth, err) : 0;
}

/* Appends "/NAME". False when it does not fit, which nothing that was unpacked does. */
static bool append_name(struct walk *w, size_t len, const char *name)
{
	int n = snprintf(w->path + len, sizeof(w->path) - len, "%s%s", len > 0 ? "/" : "", name);

	return n >= 0 && (size_t)n < sizeof(w->path) - len;
}

/* Takes ownership of `fd`. */
static int walk_directory(struct walk *w, int fd, unsigned depth, struct error *err)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	size_t len = strlen(w->path);
	const struct dirent *d;
	int result = 0;

	if (!dir) {
		(void)close(fd);
		return error_set(err, ERR_EXHAUSTED, "out of memory to list '%.200s'", w->path);
	}
	while (result == 0 && (errno = 0, d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (append_name(w, len, d->d_name))
			result = look_at(w, fd, d->d_name, depth, err);
		else
			tell(w, w->path, "holds a name that is too long");
		w->path[len] = '\0';
	}
	return result == 0 && errno ? cannot_look(w, "list", err) : result;
}

/* What lies below something that is missing is not told once more. */
static void tell_missing(const struct walk *w)
{
	const struct listing_entry *gone = NULL;
	char path[PATH_MAX];

	for (size_t i = 0; i < w->listing->n_entries; i++) {
		const struct listing_entry *e = &w->listing->entries[i];

		if (e->seen || (gone && e->path_len > gone->path_len && e->path[gone->path_len] == '/' &&
				!memcmp(e->path, gone->path, gone->path_len)))
			continue;
		gone = e;
		(void)snprintf(path, sizeof(path), "%.*s", (int)e->path_len, e->path);
		tell(w, path, "is missing");
	}
}

static int verify(struct walk *w, int rootfd, struct error *err)
{
	struct listing_entry *root = listing_find(w->listing, "");
	int fd = openat(rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return error_sys(err, errno, "open the layer");
	if (root && fstat(fd, &st) == 0) {
		root->seen = true;
		if (root->record.kind == LISTING_DIRECTORY)
			compare_owner(w, &root->record, &st);
	}
	if (walk_directory(w, fd, 0, err) < 0)
		return -1;
	tell_missing(w);
	return 0;
}

int layer_verify(int rootfd, struct listing *listing, const struct verify_options *options, struct verify_usage *ret_usage,
		 struct error *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int result;

	if (!w)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	w->options = options;
	w->listing = listing;
	result = verify(w, rootfd, err);
	if (result == 0)
		*ret_usage = w->usage;
	listing_hash_release(&w->hash);
	free(w);
	return result;
}
