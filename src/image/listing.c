/*
 * The reading half of listing.h.
 *
 * A tar may name a path twice, put a file where a directory was, and make directories that it never names. So the records are sorted by
 * path, and of each path the last one counts; what lay below a path goes when something else than a directory takes its place; and
 * what is no directory goes when something lies below it later.
 */
#include "image/listing.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/tree.h"

#define MAGIC_LEN (sizeof(LISTING_MAGIC) - 1)

/* ---- from bytes to entries ---- */

static int damaged(struct error *err, const char *why)
{
	return error_set(err, ERR_DATA_LOSS, "the listing is damaged: %s", why);
}

static bool has_hash(const char *data, size_t len, const struct listing_record *end)
{
	XXH128_hash_t hash = XXH3_128bits(data, len);

	return hash.low64 == end->hash[0] && hash.high64 == end->hash[1];
}

/* The last record says how many there are before it. */
static int check_frame(const struct buffer *text, size_t *ret_records, struct error *err)
{
	struct listing_record end;
	size_t len;

	if (text->len < MAGIC_LEN + sizeof(end) || memcmp(text->data, LISTING_MAGIC, MAGIC_LEN) != 0)
		return damaged(err, "it does not begin as one");
	len = text->len - sizeof(end);
	memcpy(&end, text->data + len, sizeof(end));
	if (end.kind != LISTING_END || !has_hash(text->data, len, &end))
		return damaged(err, "it is not what was written");
	if (end.size > len / sizeof(end))
		return damaged(err, "it counts wrong");
	*ret_records = (size_t)end.size;
	return 0;
}

/* As the writer cleans them: no component that leads elsewhere. */
static bool is_clean(const char *path, size_t len)
{
	char text[PATH_MAX], clean[PATH_MAX];
	struct error ignored;

	if (len >= sizeof(text) || memchr(path, '\0', len))
		return false;
	memcpy(text, path, len);
	text[len] = '\0';
	return tree_clean_path(text, clean, &ignored) == 0 && !strcmp(text, clean);
}

static bool is_known(uint32_t kind)
{
	switch (kind) {
	case LISTING_FILE:
	case LISTING_SPARSE:
	case LISTING_DIRECTORY:
	case LISTING_IMPLIED:
	case LISTING_SYMLINK:
	case LISTING_HARDLINK:
	case LISTING_NODE:
		return true;
	default:
		return false;
	}
}

/* Returns the bytes that were used, 0 for none. */
static size_t parse_entry(const char *data, size_t len, struct listing_entry *ret)
{
	struct listing_entry entry = { 0 };

	if (len < sizeof(entry.record))
		return 0;
	memcpy(&entry.record, data, sizeof(entry.record));
	entry.path_len = entry.record.path_len;
	entry.target_len = entry.record.target_len;
	if (entry.path_len + entry.target_len > len - sizeof(entry.record) || !is_known(entry.record.kind))
		return 0;
	entry.path = data + sizeof(entry.record);
	entry.target = entry.path + entry.path_len;
	if (!is_clean(entry.path, entry.path_len))
		return 0;
	*ret = entry;
	return sizeof(entry.record) + entry.path_len + entry.target_len;
}

static int parse_entries(struct listing *listing, size_t n, struct error *err)
{
	const char *data = listing->text.data + MAGIC_LEN;
	size_t left = listing->text.len - MAGIC_LEN - sizeof(struct listing_record);

	listing->entries = calloc(n + 1, sizeof(*listing->entries));
	if (!listing->entries)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a listing of %zu entries", n);
	for (size_t i = 0; i < n; i++) {
		size_t used = parse_entry(data, left, &listing->entries[i]);

		if (used == 0)
			return damaged(err, "a record makes no sense");
		listing->entries[i].order = (uint32_t)i;
		data += used;
		left -= used;
	}
	listing->n_entries = n;
	return left == 0 ? 0 : damaged(err, "it counts wrong");
}

/* ---- order ---- */

/* '/' comes before every other character: then all that lies below a path follows it at once. */
static int compare_paths(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = a_len < b_len ? a_len : b_len;

	for (size_t i = 0; i < n; i++) {
		if (a[i] == b[i])
			continue;
		if (a[i] == '/' || b[i] == '/')
			return a[i] == '/' ? -1 : 1;
		return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
	}
	return (a_len > b_len) - (a_len < b_len);
}

static int by_path(const void *left, const void *right)
{
	const struct listing_entry *a = left, *b = right;
	int order = compare_paths(a->path, a->path_len, b->path, b->path_len);

	return order ? order : (a->order > b->order) - (a->order < b->order);
}

/* The first entry that is not before (`path`, `order`). */
static size_t find_place(const struct listing *listing, const char *path, size_t len, uint32_t order)
{
	const struct listing_entry key = { .path = path, .path_len = len, .order = order };
	size_t low = 0, high = listing->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_path(&listing->entries[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool lies_below(const struct listing_entry *e, const char *path, size_t len)
{
	if (len == 0)
		return e->path_len > 0;
	return e->path_len > len && e->path[len] == '/' && !memcmp(e->path, path, len);
}

static bool has_path(const struct listing_entry *e, const char *path, size_t len)
{
	return e->path_len == len && !memcmp(e->path, path, len);
}

/* ---- what the whole tar leaves ---- */

static bool is_directory(const struct listing_entry *e)
{
	return e->record.kind == LISTING_DIRECTORY || e->record.kind == LISTING_IMPLIED;
}

/* The target is what stood there when the link was made: an earlier entry of the tar, which is no link any more. */
static int resolve_hardlink(struct listing *listing, struct listing_entry *link, struct error *err)
{
	char raw[PATH_MAX], path[PATH_MAX];
	const struct listing_entry *target;
	size_t i;

	if (link->target_len >= sizeof(raw))
		return damaged(err, "the target of a link is too long");
	memcpy(raw, link->target, link->target_len);
	raw[link->target_len] = '\0';
	if (tree_clean_path(raw, path, err) < 0)
		return damaged(err, "the target of a link makes no sense");
	i = find_place(listing, path, strlen(path), link->order);
	target = i > 0 ? &listing->entries[i - 1] : NULL;
	if (!target || !has_path(target, path, strlen(path)) || is_directory(target))
		return damaged(err, "a link has no target");
	link->record = target->record;
	link->target = target->target;
	link->target_len = target->target_len;
	return 0;
}

static int resolve_hardlinks(struct listing *listing, struct error *err)
{
	_cleanup_free_
	uint32_t *by_order = calloc(listing->n_entries + 1, sizeof(*by_order));

	if (!by_order)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a listing of %zu entries", listing->n_entries);
	for (size_t i = 0; i < listing->n_entries; i++)
		by_order[listing->entries[i].order] = (uint32_t)i;
	for (size_t i = 0; i < listing->n_entries; i++) {
		struct listing_entry *e = &listing->entries[by_order[i]];

		if (e->record.kind == LISTING_HARDLINK && resolve_hardlink(listing, e, err) < 0)
			return -1;
	}
	return 0;
}

/* A path that something may lie below, while the entries behind it are looked at. */
struct ancestor {
	const char *path;
	size_t len;
	int64_t emptied; /* the last time that something else than a directory stood here; -1: never */
};

/* One level each, and the root. */
#define MAX_ANCESTORS (TREE_MAX_DEPTH + 2)

static bool was_emptied(const struct ancestor *stack, size_t depth, uint32_t order)
{
	for (size_t i = 0; i < depth; i++) {
		if (stack[i].emptied >= (int64_t)order)
			return true;
	}
	return false;
}

static bool has_later_below(const struct listing *listing, size_t next, const struct listing_entry *e)
{
	for (size_t i = next; i < listing->n_entries && lies_below(&listing->entries[i], e->path, e->path_len); i++) {
		if (listing->entries[i].order > e->order)
			return true;
	}
	return false;
}

/* What stays of the entries from `first` to `next`, which are all of the same path. A directory that is implied once more is the one
 * that was there. */
static struct listing_entry last_of(const struct listing *listing, size_t first, size_t next, const struct ancestor *stack,
				    size_t depth, int64_t *ret_emptied)
{
	struct listing_entry last = listing->entries[first];

	*ret_emptied = -1;
	for (size_t i = first; i < next; i++) {
		const struct listing_entry *e = &listing->entries[i];

		if (e->record.kind == LISTING_IMPLIED && last.record.kind == LISTING_DIRECTORY &&
		    !was_emptied(stack, depth, last.order))
			continue;
		last = *e;
		if (!is_directory(e))
			*ret_emptied = e->order;
	}
	return last;
}

/* Leaves of all entries those that are on the disk in the end. */
static void settle(struct listing *listing)
{
	struct ancestor stack[MAX_ANCESTORS];
	size_t depth = 0, kept = 0;

	for (size_t i = 0, next; i < listing->n_entries; i = next) {
		const struct listing_entry first = listing->entries[i];
		struct listing_entry last;
		int64_t emptied;

		for (next = i + 1; next < listing->n_entries && has_path(&listing->entries[next], first.path, first.path_len);)
			next++;
		while (depth > 0 && !lies_below(&first, stack[depth - 1].path, stack[depth - 1].len))
			depth--;
		last = last_of(listing, i, next, stack, depth, &emptied);
		if (!was_emptied(stack, depth, last.order) && (is_directory(&last) || !has_later_below(listing, next, &last)))
			listing->entries[kept++] = last;
		if (depth < MAX_ANCESTORS)
			stack[depth++] = (struct ancestor){ last.path, last.path_len, emptied };
	}
	listing->n_entries = kept;
}

int listing_read(int fd, struct listing *ret_listing, struct error *err)
{
	_cleanup_listing_ struct listing listing = { .text = BUFFER_INIT(LISTING_MAX_BYTES +
									 sizeof(((struct listing_writer *)0)->data)) };
	size_t n;

	if (io_read_fd(fd, "the listing", &listing.text, err) < 0)
		return -1;
	if (check_frame(&listing.text, &n, err) < 0 || parse_entries(&listing, n, err) < 0)
		return -1;
	qsort(listing.entries, listing.n_entries, sizeof(*listing.entries), by_path);
	if (resolve_hardlinks(&listing, err) < 0)
		return -1;
	settle(&listing);
	*ret_listing = listing;
	listing = (struct listing){ 0 };
	return 0;
}

void listing_free(struct listing *listing)
{
	buffer_release(&listing->text);
	free(listing->entries);
	listing->entries = NULL;
}

struct listing_entry *listing_find(const struct listing *listing, const char *path)
{
	size_t len = strlen(path), i = find_place(listing, path, len, 0);

	return i < listing->n_entries && has_path(&listing->entries[i], path, len) ? &listing->entries[i] : NULL;
}

bool listing_has_below(const struct listing *listing, const char *path)
{
	size_t len = strlen(path), i = find_place(listing, path, len, 0);

	if (i < listing->n_entries && has_path(&listing->entries[i], path, len))
		i++;
	return i < listing->n_entries && lies_below(&listing->entries[i], path, len);
}

/* ---- hashing ---- */

int listing_hash_begin(struct listing_hash *hash, struct error *err)
{
	if (!hash->state)
		hash->state = XXH3_createState();
	if (!hash->state)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a hash");
	(void)XXH3_128bits_reset(hash->state);
	return 0;
}

void listing_hash_add(struct listing_hash *hash, const void *data, size_t len)
{
	(void)XXH3_128bits_update(hash->state, data, len);
}

void listing_hash_end(const struct listing_hash *hash, uint64_t ret_hash[2])
{
	XXH128_hash_t value = XXH3_128bits_digest(hash->state);

	ret_hash[0] = value.low64;
	ret_hash[1] = value.high64;
}

void listing_hash_release(struct listing_hash *hash)
{
	(void)XXH3_freeState(hash->state);
	hash->state = NULL;
}
