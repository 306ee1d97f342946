/*
 * Layers that are whole while their image is not: a pull was cancelled, failed at another layer, or died with the daemon. They are kept
 * for the next try, for as long as the store was told to.
 *
 * For the next daemon a note is written onto layers/HEX before the directory gets that name. Nothing is synced for it, so the note
 * counts for the boot in which it was written: as long as the kernel lives, what was written is there for every reader; after a power cut
 * nobody knows, and such layers are removed. Commit syncs before it lists them, as it does for new ones.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/store.h"

/* "1 BOOT SECONDS BYTES INODES", in hexadecimal. An attribute and not a file: it comes and goes with the directory, and takes no block as
 * long as it fits into the inode (ext4 has 96 bytes there, 40 of them for names). */
#define NOTE_NAME "trusted.monopod"
#define NOTE_SIZE 80

/* Of the boot id, for the same reason; two boots in 2^48 look alike. */
#define NOTE_BOOT_LEN 13

struct note {
	char boot[NOTE_BOOT_LEN + 1];
	uint64_t realtime_s;
	uint64_t bytes, inodes;
};

void unlisted_note(struct image_store *store, const char *ingest_name, const struct layer *layer)
{
	_cleanup_fd_ int fd = openat(store->ingestfd, ingest_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char text[NOTE_SIZE];

	(void)snprintf(text, sizeof(text), "1 %.13s %" PRIx64 " %" PRIx64 " %" PRIx64, store->boot_id,
		       clock_realtime_ns() / 1000000000, layer->bytes, layer->inodes);
	if (fd >= 0 && *store->boot_id && store->keep_unlisted_ms > 0)
		(void)fsetxattr(fd, NOTE_NAME, text, strlen(text), 0);
}

static bool read_note(const struct image_store *store, const char *hex, struct note *ret)
{
	_cleanup_fd_ int fd = openat(store->layersfd, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char text[NOTE_SIZE];
	ssize_t len = fd < 0 ? -1 : fgetxattr(fd, NOTE_NAME, text, sizeof(text) - 1);

	if (len < 0)
		return false;
	text[len] = '\0';
	return sscanf(text, "1 %13s %" SCNx64 " %" SCNx64 " %" SCNx64, ret->boot, &ret->realtime_s, &ret->bytes, &ret->inodes) ==
		       4 &&
	       ret->realtime_s < UINT32_MAX;
}

bool unlisted_adopt(struct image_store *store, const char *hex)
{
	char diff_id[DIGEST_TEXT_SIZE];
	struct error ignored;
	struct layer *layer;
	struct note note;
	int64_t left_us;

	if (strlen(hex) != DIGEST_HEX_LEN || !digest_is_hex(hex, DIGEST_HEX_LEN) || !read_note(store, hex, &note))
		return false;
	/* A clock that was set back makes nothing younger than new. */
	left_us = (int64_t)note.realtime_s * 1000000 - clock_realtime_ns() / 1000;
	left_us = store->keep_unlisted_ms * 1000 + (left_us < 0 ? left_us : 0);
	if (left_us <= 0 || strncmp(note.boot, store->boot_id, NOTE_BOOT_LEN) != 0)
		return false;
	(void)snprintf(diff_id, sizeof(diff_id), DIGEST_PREFIX "%s", hex);
	if (layer_adopt(store, diff_id, note.bytes, note.inodes, &layer, &ignored) < 0)
		return false;
	layer->keep_until_us = clock_monotonic_us() + left_us;
	log_info("image", "keep layer %s of an image that did not come whole", diff_id);
	return true;
}

void unlisted_keep_locked(struct image_store *store, struct layer *layer)
{
	if (!layer->was_listed)
		layer->keep_until_us = clock_monotonic_us() + store->keep_unlisted_ms * 1000;
}

int64_t unlisted_due_us_locked(const struct image_store *store)
{
	int64_t due_us = INT64_MAX;

	for (const struct layer *layer = store->layers; layer; layer = layer->hh.next) {
		if (layer->state == LAYER_READY && layer->refs == 0 && layer->keep_until_us < due_us)
			due_us = layer->keep_until_us;
	}
	return due_us;
}

void unlisted_forget(struct image_store *store)
{
	(void)pthread_mutex_lock(&store->lock);
	for (struct layer *layer = store->layers; layer; layer = layer->hh.next) {
		if (layer->refs == 0)
			layer->keep_until_us = 0;
	}
	(void)pthread_mutex_unlock(&store->lock);
}

void unlisted_make_room(struct image_store *store, const struct error *err)
{
	if (err->code != ERR_EXHAUSTED)
		return;
	unlisted_forget(store);
	collect_now(store);
}
