#include "image/untar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/attributes.h"
#include "image/listing.h"
#include "image/tree.h"

#define READ_STEP ((size_t)128 * 1024)

/* What file systems allocate at least for data. */
#define BLOCK_BYTES 4096

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* Directories get their time last, when nothing is written into them any more. */
struct directory_time {
	char *path;
	struct timespec mtime;
};

struct untar {
	const struct untar_options *options;
	struct tree tree;
	struct listing_writer listing;
	int tarfd;
	bool stream_ended;  /* no more bytes */
	bool archive_ended; /* in the padding of the last file */
	char chunk[READ_STEP];
	struct archive *archive;
	uint64_t bytes;    /* of data blocks */
	uint64_t apparent; /* sum of file sizes: what the limit is for, since a sparse file may be filled later */
	struct directory_time *times;
	size_t n_times, cap_times;
};

/* One entry on its way to the disk. */
struct entry {
	struct archive_entry *e;
	char path[PATH_MAX];
	const char *name; /* last component of path */
	int dirfd;        /* the directory to put it in; the tree's */
};

static int archive_failed(struct archive *a, const char *what, struct error *err)
{
	const char *text = archive_error_string(a);

	return error_set(err, archive_errno(a) == ENOMEM ? ERR_EXHAUSTED : ERR_INVALID, "%s: %s", what,
			 text ? text : "damaged tar");
}

static int remember_time(struct untar *u, const struct entry *entry, struct error *err)
{
	struct directory_time *slot;

	if (u->n_times == u->cap_times) {
		size_t cap = u->cap_times ? 2 * u->cap_times : 64;
		struct directory_time *grown = reallocarray(u->times, cap, sizeof(*grown));

		if (!grown)
			return error_set(err, ERR_EXHAUSTED, "out of memory for %zu directories", cap);
		u->times = grown;
		u->cap_times = cap;
	}
	slot = &u->times[u->n_times];
	*slot = (struct directory_time){ strdup(entry->path), attributes_mtime(entry->e) };
	if (!slot->path)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a path");
	u->n_times++;
	return 0;
}

/* A directory that was replaced since then is skipped: its time went with it. */
static void set_directory_times(struct untar *u)
{
	struct error ignored;

	for (size_t i = 0; i < u->n_times; i++) {
		const struct timespec times[2] = { u->times[i].mtime, u->times[i].mtime };
		const char *name;
		_cleanup_fd_ int dirfd = tree_open_existing_parent(&u->tree, u->times[i].path, &name, &ignored);

		if (dirfd >= 0)
			(void)utimensat(dirfd, *name ? name : ".", times, AT_SYMLINK_NOFOLLOW);
	}
}

static int write_at(int fd, const void *data, size_t len, off_t offset, struct error *err)
{
	const char *next = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, next, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EFBIG ? error_set(err, ERR_EXHAUSTED, "file over the limit")
					      : error_sys(err, errno, "write file");
		next += n;
		len -= (size_t)n;
		offset += n;
	}
	return 0;
}

static int write_data(struct untar *u, int fd, uint64_t size, struct error *err)
{
	uint64_t written = 0;
	const void *data;
	la_int64_t offset;
	size_t len;
	int result;

	while ((result = archive_read_data_block(u->archive, &data, &len, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || (uint64_t)offset > size || len > size - (uint64_t)offset)
			return error_set(err, ERR_INVALID, "data beyond the end of the file");
		if (write_at(fd, data, len, offset, err) < 0)
			return -1;
		listing_add_data(&u->listing, data, len, (uint64_t)offset);
		written += len;
	}
	/* Some builders end the stream with the last byte of the last file: neither padding nor end mark. Nothing is missing then. */
	if (result != ARCHIVE_EOF && !(u->stream_ended && written == size))
		return archive_failed(u->archive, "read file", err);
	u->archive_ended = result != ARCHIVE_EOF;
	if (written < size && ftruncate(fd, (off_t)size) < 0)
		return error_sys(err, errno, "set the size of a sparse file");
	u->bytes += (written + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	return 0;
}

/* Mostly there is nothing of that name, and looking first would cost as much as a file. The mode is the final one, since the umask is 0;
 * what else there is to it comes when the content is complete (attributes_set). */
static int open_new(const struct untar *u, const struct entry *entry, struct error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	mode_t mode = u->options->is_layer ? archive_entry_perm(entry->e) & 0777 : 0600;
	int fd = openat(entry->dirfd, entry->name, flags, mode);

	if (fd < 0 && errno == EEXIST) {
		if (tree_remove(entry->dirfd, entry->name, err) < 0)
			return -1;
		fd = openat(entry->dirfd, entry->name, flags, mode);
	}
	return fd < 0 ? error_sys(err, errno, "create file") : fd;
}

static int make_file(struct untar *u, const struct entry *entry, struct error *err)
{
	la_int64_t size = archive_entry_size(entry->e);
	const struct timespec times[2] = { attributes_mtime(entry->e), attributes_mtime(entry->e) };
	_cleanup_fd_ int fd = -1;

	if (size < 0 || (uint64_t)size > u->options->max_bytes - u->apparent)
		return error_set(err, ERR_EXHAUSTED, "files of more than %llu bytes", (unsigned long long)u->options->max_bytes);
	u->apparent += (uint64_t)size;
	fd = open_new(u, entry, err);
	if (fd < 0)
		return -1;
	listing_begin_file(&u->listing);
	if (write_data(u, fd, (uint64_t)size, err) < 0)
		return -1;
	if (!u->options->is_layer)
		return 0;
	if (attributes_set(fd, entry->e, err) < 0)
		return -1;
	return futimens(fd, times) < 0 ? error_sys(err, errno, "set time") : 0;
}

static int make_symlink(struct untar *u, const struct entry *entry, struct error *err)
{
	const char *target = archive_entry_symlink(entry->e);

	if (!target || !*target || strlen(target) >= PATH_MAX)
		return error_set(err, ERR_INVALID, "bad target of a symbolic link");
	if (symlinkat(target, entry->dirfd, entry->name) < 0)
		return error_sys(err, errno, "create symbolic link");
	return u->options->is_layer ? attributes_set_at(entry->dirfd, entry->name, entry->e, err) : 0;
}

/* The link's own name exists only when it was to be replaced, and was removed by then. */
static int make_hardlink(struct untar *u, const struct entry *entry, struct error *err)
{
	const char *raw = archive_entry_hardlink(entry->e);
	char target[PATH_MAX];
	const char *name;
	_cleanup_fd_ int dirfd = -1;

	if (tree_remove(entry->dirfd, entry->name, err) < 0)
		return -1;
	if (tree_clean_path(raw, target, err) < 0)
		return error_prefix(err, "target of a hard link");
	dirfd = tree_open_existing_parent(&u->tree, target, &name, err);
	if (dirfd < 0)
		return error_prefix(err, "target of a hard link");
	if (linkat(dirfd, *name ? name : ".", entry->dirfd, entry->name, 0) < 0)
		return errno == ENOENT || errno == EPERM
			       ? error_set(err, ERR_INVALID, "target of the hard link, '%.200s', is not a file of this archive",
					   target)
			       : error_sys(err, errno, "create hard link");
	return 0;
}

/* The mode is exact because confine_unpacker() cleared the umask. */
static int make_node(const struct entry *entry, struct error *err)
{
	mode_t type = archive_entry_filetype(entry->e);
	mode_t mode = archive_entry_perm(entry->e) & 07777;

	if (mknodat(entry->dirfd, entry->name, type | mode, type == AE_IFIFO ? 0 : archive_entry_rdev(entry->e)) < 0)
		return error_sys(err, errno, "create a %s", type == AE_IFIFO ? "fifo" : "device node");
	return attributes_set_at(entry->dirfd, entry->name, entry->e, err);
}

static int apply_directory_metadata(struct untar *u, const struct entry *entry, struct error *err)
{
	_cleanup_fd_ int fd = -1;

	if (!u->options->is_layer)
		return 0;
	fd = openat(entry->dirfd, *entry->name ? entry->name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open directory");
	if (attributes_set(fd, entry->e, err) < 0)
		return -1;
	return remember_time(u, entry, err);
}

static int make_directory(struct untar *u, const struct entry *entry, struct error *err)
{
	struct stat st;
	bool exists = !*entry->name || fstatat(entry->dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	bool was_whiteout = exists && *entry->name && u->options->is_layer && tree_is_whiteout(&st);

	if (exists && *entry->name && !S_ISDIR(st.st_mode)) {
		if (tree_remove(entry->dirfd, entry->name, err) < 0)
			return -1;
		exists = false;
	}
	if (!exists) {
		if (tree_count_inode(&u->tree, err) < 0)
			return -1;
		if (mkdirat(entry->dirfd, entry->name, 0700) < 0)
			return error_sys(err, errno, "create directory");
		u->tree.directories++;
	}
	if (was_whiteout && u->options->on_opaque(u->options->arg, entry->path, err) < 0)
		return -1;
	return apply_directory_metadata(u, entry, err);
}

static int make_special(struct untar *u, const struct entry *entry, struct error *err)
{
	if (tree_remove(entry->dirfd, entry->name, err) < 0)
		return -1;
	switch (archive_entry_filetype(entry->e)) {
	case AE_IFLNK:
		return make_symlink(u, entry, err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		if (u->options->is_layer)
			return make_node(entry, err);
		return error_set(err, ERR_INVALID, "a device node or fifo has no place here");
	default:
		return error_set(err, ERR_INVALID, "unknown type of file");
	}
}

static int make_other(struct untar *u, const struct entry *entry, struct error *err)
{
	if (!*entry->name)
		return error_set(err, ERR_INVALID, "the root is not a directory");
	if (archive_entry_hardlink(entry->e))
		return make_hardlink(u, entry, err);
	if (tree_count_inode(&u->tree, err) < 0)
		return -1;
	return archive_entry_filetype(entry->e) == AE_IFREG ? make_file(u, entry, err) : make_special(u, entry, err);
}

/* ".wh.NAME" becomes "NAME". */
static void strip_prefix(struct entry *entry, const char *hidden)
{
	memmove(entry->path + (entry->name - entry->path), hidden, strlen(hidden) + 1);
}

/* Where this layer has a directory of that name, the white-out means that it starts empty; where it has something else, that
 * hides the lower one anyway. */
static int make_whiteout(struct untar *u, struct entry *entry, const char *hidden, struct error *err)
{
	struct stat st;

	if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))
		return error_set(err, ERR_INVALID, "white-out of nothing");
	if (fstatat(entry->dirfd, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISDIR(st.st_mode))
			return 0;
		strip_prefix(entry, hidden);
		return u->options->on_opaque(u->options->arg, entry->path, err);
	}
	if (tree_count_inode(&u->tree, err) < 0)
		return -1;
	if (mknodat(entry->dirfd, hidden, S_IFCHR, makedev(0, 0)) < 0)
		return error_sys(err, errno, "create white-out");
	strip_prefix(entry, hidden);
	return listing_add_whiteout(&u->listing, entry->path, err);
}

/* Markers take no place themselves, but the directory that they are in was made for them if nothing else has. */
static int apply_marker(struct untar *u, struct entry *entry, struct error *err)
{
	const char *hidden = entry->name + strlen(WHITEOUT_PREFIX);
	bool is_opaque = !strcmp(entry->name, WHITEOUT_OPAQUE);

	if (strncmp(entry->name, WHITEOUT_META, strlen(WHITEOUT_META)) != 0)
		return make_whiteout(u, entry, hidden, err);
	entry->path[entry->name > entry->path ? entry->name - entry->path - 1 : 0] = '\0';
	if (listing_add_implied(&u->listing, entry->path, err) < 0)
		return -1;
	/* The rest of that name space is housekeeping of the file system that invented it. */
	return is_opaque ? u->options->on_opaque(u->options->arg, entry->path, err) : 0;
}

static bool is_marker(const struct untar *u, const char *name)
{
	return u->options->is_layer && !strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX));
}

/* umoci writes a white-out for each file of a directory that was removed or has become something else. There, what hides the directory hides
 * them too. */
static bool is_idle_whiteout(const struct untar *u, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && is_marker(u, slash + 1) && strncmp(slash + 1, WHITEOUT_META, strlen(WHITEOUT_META)) != 0 &&
	       tree_is_covered(&u->tree, path);
}

static int place_entry(struct untar *u, struct entry *entry, struct error *err)
{
	if (attributes_check(entry->e, err) < 0)
		return -1;
	if (is_idle_whiteout(u, entry->path))
		return 0;
	entry->dirfd = tree_open_parent(&u->tree, entry->path, &entry->name, err);
	if (entry->dirfd < 0)
		return -1;
	if (is_marker(u, entry->name))
		return apply_marker(u, entry, err);
	if (archive_entry_filetype(entry->e) == AE_IFDIR && !archive_entry_hardlink(entry->e) ? make_directory(u, entry, err) < 0
											      : make_other(u, entry, err) < 0)
		return -1;
	return listing_add(&u->listing, entry->path, entry->e, err);
}

static int unpack_entry(struct untar *u, struct archive_entry *e, struct error *err)
{
	const char *raw = archive_entry_pathname(e);
	struct entry entry = { .e = e, .dirfd = -1 };

	if (!raw)
		return error_set(err, ERR_INVALID, "entry without a readable name");
	if (tree_clean_path(raw, entry.path, err) < 0 || place_entry(u, &entry, err) < 0)
		return error_prefix(err, "entry '%.200s'", raw);
	return 0;
}

static int unpack_all(struct untar *u, struct error *err)
{
	uint64_t entries = 0;
	struct archive_entry *e;
	int result = ARCHIVE_EOF;

	/* A warning says that a name is not valid in some encoding; the bytes are there all the same. */
	while (!u->archive_ended && ((result = archive_read_next_header(u->archive, &e)) == ARCHIVE_OK || result == ARCHIVE_WARN)) {
		if (++entries > u->options->max_inodes)
			return error_set(err, ERR_EXHAUSTED, "more than %llu entries", (unsigned long long)u->options->max_inodes);
		if (unpack_entry(u, e, err) < 0)
			return -1;
	}
	if (result != ARCHIVE_EOF && !u->archive_ended)
		return archive_failed(u->archive, "read tar", err);
	set_directory_times(u);
	return 0;
}

/* What follows the end mark is padding; it is read so that the sender can finish. */
static int drain(int fd, struct error *err)
{
	char chunk[16 * 1024];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "read tar");
	}
	return 0;
}

static void release(struct untar *u)
{
	for (size_t i = 0; i < u->n_times; i++)
		free(u->times[i].path);
	free(u->times);
	listing_release(&u->listing);
	tree_release(&u->tree);
	if (u->archive)
		(void)archive_read_free(u->archive);
	free(u);
}

static la_ssize_t read_stream(struct archive *a, void *arg, const void **ret_data)
{
	struct untar *u = arg;
	ssize_t n;

	do {
		n = read(u->tarfd, u->chunk, sizeof(u->chunk));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		archive_set_error(a, errno, "read stream: %s", strerror(errno));
	u->stream_ended = n == 0;
	*ret_data = u->chunk;
	return n;
}

static int open_archive(struct untar *u, struct error *err)
{
	u->archive = archive_read_new();
	if (!u->archive)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a tar reader");
	/* "empty" makes a stream of no bytes an archive of no entries, as other unpackers take it. */
	if (archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(u->archive) != ARCHIVE_OK ||
	    archive_read_open(u->archive, u, NULL, read_stream, NULL) != ARCHIVE_OK)
		return archive_failed(u->archive, "open tar", err);
	return 0;
}

static struct untar *make_untar(int tarfd, int rootfd, const struct untar_options *options)
{
	struct untar *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->options = options;
	u->tarfd = tarfd;
	tree_init(&u->tree, rootfd);
	u->tree.is_layer = options->is_layer;
	u->tree.max_inodes = options->max_inodes;
	u->tree.on_opaque = options->on_opaque;
	u->tree.on_opaque_arg = options->arg;
	return u;
}

/* What an empty directory takes: nothing on some file systems. */
static uint64_t directory_bytes(int rootfd)
{
	struct stat st;

	return fstat(rootfd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

int untar(int tarfd, int rootfd, const struct untar_options *options, struct untar_usage *ret_usage, struct error *err)
{
	struct untar *u = make_untar(tarfd, rootfd, options);
	uint64_t empty_bytes = directory_bytes(rootfd);
	int result;

	if (!u)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a tar reader");
	result = listing_begin(&u->listing, options->lists ? options->listing_fd : -1, err);
	if (result == 0)
		result = open_archive(u, err);
	if (result == 0)
		result = unpack_all(u, err);
	if (result == 0)
		result = listing_end(&u->listing, err);
	if (result == 0)
		result = drain(tarfd, err);
	if (result == 0)
		*ret_usage = (struct untar_usage){ u->bytes + u->tree.directories * empty_bytes, u->tree.inodes };
	release(u);
	return result;
}
