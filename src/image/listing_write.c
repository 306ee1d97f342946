/* The writing half of listing.h: runs in the unpacking process. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/io.h"
#include "image/listing.h"

int listing_begin(struct listing_writer *w, int fd, struct error *err)
{
	w->fd = fd;
	if (fd < 0)
		return 0;
	w->content = XXH3_createState();
	w->all = XXH3_createState();
	if (!w->content || !w->all)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a listing");
	(void)XXH3_128bits_reset(w->all);
	w->len = sizeof(LISTING_MAGIC) - 1;
	memcpy(w->data, LISTING_MAGIC, w->len);
	return 0;
}

void listing_release(struct listing_writer *w)
{
	(void)XXH3_freeState(w->content);
	(void)XXH3_freeState(w->all);
	w->content = w->all = NULL;
}

void listing_begin_file(struct listing_writer *w)
{
	if (w->fd < 0)
		return;
	(void)XXH3_128bits_reset(w->content);
	w->next_offset = 0;
	w->has_holes = false;
}

void listing_add_data(struct listing_writer *w, const void *data, size_t len, uint64_t offset)
{
	if (w->fd < 0 || w->has_holes)
		return;
	w->has_holes = offset != w->next_offset;
	if (w->has_holes)
		return;
	(void)XXH3_128bits_update(w->content, data, len);
	w->next_offset = offset + len;
}

static int flush(struct listing_writer *w, struct error *err)
{
	(void)XXH3_128bits_update(w->all, w->data, w->len);
	if (io_write_all(w->fd, w->data, w->len, "the layer's listing", err) < 0)
		return -1;
	w->bytes += w->len;
	w->len = 0;
	return 0;
}

static void put(struct listing_writer *w, const void *data, size_t len)
{
	memcpy(w->data + w->len, data, len);
	w->len += len;
}

/* One record is shorter than the buffer: two paths at most. */
static int add(struct listing_writer *w, struct listing_record *record, const char *path, const char *target, struct error *err)
{
	size_t path_len = strlen(path), target_len = target ? strlen(target) : 0;

	if (path_len >= PATH_MAX || target_len >= PATH_MAX)
		return error_set(err, ERR_INVALID, "path too long");
	if (w->bytes + w->len > LISTING_MAX_BYTES)
		return error_set(err, ERR_EXHAUSTED, "names of more than %zu bytes", LISTING_MAX_BYTES);
	record->path_len = (uint16_t)path_len;
	record->target_len = (uint16_t)target_len;
	if (w->len + sizeof(*record) + path_len + target_len > sizeof(w->data) && flush(w, err) < 0)
		return -1;
	put(w, record, sizeof(*record));
	put(w, path, path_len);
	put(w, target ? target : "", target_len);
	w->records++;
	return 0;
}

static void describe_file(const struct listing_writer *w, struct archive_entry *e, struct listing_record *record)
{
	XXH128_hash_t hash;

	record->size = (uint64_t)archive_entry_size(e);
	if (w->has_holes || w->next_offset != record->size) {
		record->kind = LISTING_SPARSE;
		return;
	}
	hash = XXH3_128bits_digest(w->content);
	record->kind = LISTING_FILE;
	record->hash[0] = hash.low64;
	record->hash[1] = hash.high64;
}

static void describe_node(struct archive_entry *e, struct listing_record *record)
{
	record->kind = LISTING_NODE;
	record->mode |= archive_entry_filetype(e);
	record->size = archive_entry_filetype(e) == AE_IFIFO ? 0 : archive_entry_rdev(e);
}

int listing_add(struct listing_writer *w, const char *path, struct archive_entry *e, struct error *err)
{
	struct listing_record record = {
		.mode = archive_entry_perm(e) & 07777,
		.uid = (uint32_t)archive_entry_uid(e),
		.gid = (uint32_t)archive_entry_gid(e),
	};
	const char *target = NULL;

	if (w->fd < 0)
		return 0;
	if (archive_entry_hardlink(e)) {
		record.kind = LISTING_HARDLINK;
		target = archive_entry_hardlink(e);
	} else if (archive_entry_filetype(e) == AE_IFLNK) {
		record.kind = LISTING_SYMLINK;
		target = archive_entry_symlink(e);
	} else if (archive_entry_filetype(e) == AE_IFDIR) {
		record.kind = LISTING_DIRECTORY;
	} else if (archive_entry_filetype(e) == AE_IFREG) {
		describe_file(w, e, &record);
	} else {
		describe_node(e, &record);
	}
	return add(w, &record, path, target, err);
}

int listing_add_whiteout(struct listing_writer *w, const char *path, struct error *err)
{
	struct listing_record record = { .kind = LISTING_NODE, .mode = S_IFCHR };

	return w->fd < 0 ? 0 : add(w, &record, path, NULL, err);
}

int listing_add_implied(struct listing_writer *w, const char *path, struct error *err)
{
	struct listing_record record = { .kind = LISTING_IMPLIED };

	return w->fd < 0 ? 0 : add(w, &record, path, NULL, err);
}

int listing_end(struct listing_writer *w, struct error *err)
{
	struct listing_record record = { .kind = LISTING_END, .size = w->records };
	XXH128_hash_t hash;

	if (w->fd < 0)
		return 0;
	if (flush(w, err) < 0)
		return -1;
	hash = XXH3_128bits_digest(w->all);
	record.hash[0] = hash.low64;
	record.hash[1] = hash.high64;
	return io_write_all(w->fd, &record, sizeof(record), "the layer's listing", err);
}
