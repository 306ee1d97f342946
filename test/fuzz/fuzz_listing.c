/* A listing that an unpacking process wrote which was taken over by its tar: the frame is right, the records are whatever it likes. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/mem.h"
#include "image/listing.h"

/* The end that makes a whole listing of `text`. */
static struct listing_record make_end(const struct buffer *text, uint64_t n)
{
	XXH128_hash_t hash = XXH3_128bits(text->data, text->len);

	return (struct listing_record){ .kind = LISTING_END, .size = n, .hash = { hash.low64, hash.high64 } };
}

static void check(const struct listing *listing)
{
	for (size_t i = 0; i < listing->n_entries; i++) {
		char path[PATH_MAX] = "";

		memcpy(path, listing->entries[i].path, listing->entries[i].path_len);
		if (listing_find(listing, path) != &listing->entries[i])
			abort();
		(void)listing_has_below(listing, path);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(size + 100);
	_cleanup_listing_ struct listing listing = { 0 };
	_cleanup_fd_ int fd = memfd_create("listing", MFD_CLOEXEC);
	struct error err = ERROR_INIT;
	struct listing_record end;

	if (size == 0)
		return 0;
	if (buffer_append_str(&text, LISTING_MAGIC, &err) < 0 || buffer_append(&text, data + 1, size - 1, &err) < 0)
		abort();
	end = make_end(&text, data[0]);
	if (buffer_append(&text, &end, sizeof(end), &err) < 0 || pwrite(fd, text.data, text.len, 0) != (ssize_t)text.len)
		abort();
	if (listing_read(fd, &listing, &err) == 0)
		check(&listing);
	return 0;
}
