/*
 * Inside the image store (image.h has the outside).
 *
 * Two locks. `disk_lock` orders everything that changes records and blobs: a commit, a removal, the collector; it is held during
 * I/O, so only functions that may block take it. `lock` guards the memory and is held for microseconds. Order: disk_lock, lock.
 * The fields of an entry change only under both, so either is enough for reading them.
 *
 * An entry is an image by its id. What image_find() hands out is a version of it: an immutable view with the tags of that moment,
 * counted by reference; a moved tag makes a new version. The entry holds the references on layers, and lives as long as it is
 * listed or a version of it is in somebody's hands. A removed image that a container still holds keeps its record, marked
 * as removed, so that a restart does not take the layers away from under the container.
 *
 * A layer is shared by all images with its diff id. One that nobody refers to is collected; one that is being unpacked has
 * exactly one owner, and everybody else who wants it waits. A layer that came whole, but whose image did not, is kept for a while for the
 * next try, also over a restart (unlisted.c). One that did not come whole starts anew: its bytes went from the socket through the
 * decompressor to the files, so neither the compressed ones nor the state of the decompressor are there to go on from; keeping the
 * compressed ones would mean writing each layer twice, always, to save a part of one layer, sometimes. Within a pull, a broken transfer
 * goes on by range.
 */
#ifndef MONOPOD_IMAGE_STORE_H
#define MONOPOD_IMAGE_STORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/config.h"
#include "image/digest.h"
#include "image/image.h"
#include "image/pins.h"
#include "image/slots.h"

enum layer_state {
	LAYER_UNPACKING, /* owned by the thread that made it */
	LAYER_READY,
	LAYER_REMOVING, /* owned by the collector */
};

struct layer {
	char diff_id[DIGEST_TEXT_SIZE];
	enum layer_state state;
	unsigned refs;          /* entries, and pulls in progress */
	uint64_t bytes, inodes; /* of what is in it; layer_usage() adds the directories around it */
	bool opaque_root;       /* hides every layer below it */
	bool was_listed;        /* an image has it, or had it */
	int64_t keep_until_us;  /* CLOCK_MONOTONIC: the collector leaves it alone until then */
	unsigned counted;       /* private to prune.c */
	UT_hash_handle hh;
};

struct version {
	struct image image; /* `config` and `layer_dirs` point into the entry */
	struct entry *entry;
};

struct entry {
	char id[DIGEST_TEXT_SIZE];
	struct image_store *store;
	struct image_config config;
	struct layer **layers; /* lowest first, each with a reference */
	size_t n_layers;
	char **layer_dirs; /* topmost first, each once; NULL-terminated */
	char **manifests;  /* digests of the manifest and of the indexes that led to it: blobs of ours */
	uint64_t size_bytes;
	uint64_t record_bytes; /* of its record on disk, in whole blocks */
	int64_t pulled_realtime_ns;
	bool listed;
	bool awaited;            /* removed before the start, and a container may still ask for it */
	struct version *current; /* the store's reference; NULL when neither listed nor awaited */
	unsigned versions;       /* alive */
	bool is_garbage;         /* in the list of the collector */
	struct entry *next, *prev;
	UT_hash_handle hh;
};

/* /proc/sys/kernel/random/boot_id and its NUL. */
#define STORE_BOOT_ID_SIZE 37

/* What a small file takes, on the file systems that matter. */
#define STORE_BLOCK_BYTES 4096

struct image_store {
	char *root, *certs_dir, *insecure_registries, *auth_file;
	int64_t max_layer_bytes, progress_timeout_ms, keep_unlisted_ms;
	unsigned max_downloads_per_image;
	char boot_id[STORE_BOOT_ID_SIZE];
	struct slots slots;
	struct pins pins;
	int rootfd, blobsfd, layersfd, imagesfd, ingestfd;
	atomic_uint ingest_seq;

	pthread_mutex_t disk_lock;
	pthread_mutex_t collect_lock; /* before disk_lock: who collects */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a layer's state, or the collector has something to do */
	struct entry *entries;
	struct entry *garbage;
	struct layer *layers;
	uint64_t used_bytes, used_inodes; /* of layers, with the directories around them */
	uint64_t blob_bytes, blobs;       /* on disk, in whole blocks */
	uint64_t dir_bytes;               /* of an empty directory on this file system */
	pthread_t collector;
	bool collecting, closing, wake;
	bool checking; /* one check at a time */
};

/* A file of so many bytes, in whole blocks. */
static inline uint64_t store_blocks(uint64_t bytes)
{
	return (bytes + STORE_BLOCK_BYTES - 1) / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES;
}

/* ---- layers.c ---- */

/* A reference on the layer. *ret_mine: it has to be unpacked, by the caller, who then calls layer_publish() or layer_abandon().
 * Blocks while somebody else unpacks or removes it; `cancelled` may be NULL. */
int layer_acquire(struct image_store *store, const char *diff_id, const atomic_bool *cancelled, struct layer **ret_layer,
		  bool *ret_mine, struct error *err);

/* Moves the unpacked directory `ingest_name` to where layers are and tells those who wait. On failure the caller abandons. */
int layer_publish(struct image_store *store, struct layer *layer, const char *ingest_name, struct error *err);
void layer_abandon(struct image_store *store, struct layer *layer);
void layer_release(struct image_store *store, struct layer *layer);

/* On disk, all together. */
struct image_fs_usage layer_usage(const struct image_store *store, const struct layer *layer);

/* The same with the lock held. A layer that nobody refers to stays for the collector. */
void layer_release_locked(struct layer *layer);

/* At open: a layer that a record names, with a new reference. ERR_DATA_LOSS when its directory is not there. */
int layer_load(struct image_store *store, const char *diff_id, uint64_t bytes, uint64_t inodes, struct layer **ret_layer,
	       struct error *err);

/* At open: a layer that no record names but that is whole, without a reference. The same errors. */
int layer_adopt(struct image_store *store, const char *diff_id, uint64_t bytes, uint64_t inodes, struct layer **ret_layer,
		struct error *err);

/* At open: takes that reference back and forgets a layer that is left without any; its directory stays. */
void layer_unload(struct image_store *store, struct layer *layer);

/* A new directory ingest/NAME with an empty directory "fs" in it; *ret_fd is the latter. */
#define INGEST_NAME_SIZE 16
int ingest_make(struct image_store *store, char ret_name[INGEST_NAME_SIZE], int *ret_fd, struct error *err);

/* The file "listing" in it, for writing; returns its descriptor. */
int ingest_make_listing(struct image_store *store, const char *name, struct error *err);

/* Removes it; a failure is logged, since the next start empties the place anyway. */
void ingest_drop(struct image_store *store, const char *name);
void ingest_new_name(struct image_store *store, char ret_name[INGEST_NAME_SIZE]);

/* ---- unlisted.c ---- */

/* Writes onto ingest/NAME what the next daemon needs to know of the layer. Whoever cannot keep it does not: no error. */
void unlisted_note(struct image_store *store, const char *ingest_name, const struct layer *layer);

/* At open: takes over layers/HEX, which no record names, if it is whole and young. */
bool unlisted_adopt(struct image_store *store, const char *hex);

/* With the lock held: a layer has lost its last reference. */
void unlisted_keep_locked(struct image_store *store, struct layer *layer);

/* When the next one is due, on the monotonic clock; INT64_MAX: none. With the lock held. */
int64_t unlisted_due_us_locked(const struct image_store *store);

/* The collector takes them at once from now on. */
void unlisted_forget(struct image_store *store);

/* Gives their space back now, after a pull has failed with `err` for want of it. Blocks. */
void unlisted_make_room(struct image_store *store, const struct error *err);

/* ---- entries.c ---- */

/* Fills layer_dirs from layers. */
int entry_set_layer_dirs(struct entry *entry, struct error *err);

/* A version with one reference; takes ownership of the lists on success. It counts only after version_publish(). */
int version_new(struct entry *entry, char **tags, char **digests, struct version **ret_version, struct error *err);

/* Makes `version` the current one, under both locks. Returns the former, whose reference is the caller's; may be NULL. */
struct version *version_publish(struct version *version);

/* Takes the entry out of the list. Returns the store's reference on its version. */
struct version *entry_unlist_locked(struct entry *entry);

/* Frees the entry and everything it owns but its references on layers. NULL is fine. */
void entry_free(struct entry *entry);

/* ---- record.c ---- */

/* Writes images/HEX.json, with fsync of file and directory. */
int record_write(struct entry *entry, char *const *tags, char *const *digests, bool removed, struct error *err);
int record_delete(struct image_store *store, const char *id, struct error *err);

/* Reads all records into the index. *ret_damaged: how many could not be. */
int record_load_all(struct image_store *store, size_t *ret_damaged, struct error *err);

/* ---- blobs.c ---- */

/* blobs/sha256/HEX, unless it is there and whole. No fsync: the caller syncs the file system before it relies on it. */
int blob_write(struct image_store *store, const char *digest, const void *data, size_t len, struct error *err);

/* Reads and verifies. ERR_DATA_LOSS when it is missing or not what its name says. */
int blob_read(struct image_store *store, const char *digest, size_t max, struct buffer *b, struct error *err);
void blob_delete(struct image_store *store, const char *digest);

/* Deletes it if no entry needs it, under disk_lock. */
void blob_delete_unneeded(struct image_store *store, const char *digest);

/* At open, before anybody else runs: counts the blobs, takes over layers of images that did not come whole, and removes what nobody
 * needs, unless it is to be spared. */
int collect_orphans(struct image_store *store, bool spare, struct error *err);

/* ---- collect.c ---- */

int collector_start(struct image_store *store, struct error *err);
void collector_stop(struct image_store *store);

/* Does what there is to do for the collector now. */
void collect_now(struct image_store *store);

/* With the lock held. */
void collector_wake_locked(struct image_store *store);
void entry_to_garbage_locked(struct entry *entry);

#endif
