/*
 * The image store: from a reference to the directories that an overlay is mounted from.
 *
 * On disk, below `root` (mode 0700):
 *     blobs/sha256/HEX        manifests and configurations, content-addressed
 *     layers/HEX/fs           one unpacked layer each, named by its diff id (digest of the uncompressed tar)
 *     layers/HEX/listing      what it has to hold (listing.h)
 *     images/HEX.json         one record per image: what lists it; written last, after everything it needs was synced
 *     ingest/                 work in progress; emptied at start
 * An image is identified by the digest of its configuration ("sha256:HEX"), the same in PullImage, Image and ContainerStatus.
 *
 * Nothing that an image says configures the host: labels are bytes, foreign layer URLs are ignored.
 *
 * All functions are thread-safe. Those marked "blocks" do I/O without bound and belong in a lane; the others take a mutex for
 * microseconds.
 */
#ifndef MONOPOD_IMAGE_IMAGE_H
#define MONOPOD_IMAGE_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct image_store;

struct image_store_config {
	const char *root;
	const char *certs_dir;            /* directories, separated by colons: see image/hosts.h */
	const char *insecure_registries;  /* comma-separated HOST[:PORT]: plain HTTP */
	const char *auth_file;            /* credentials of the node: see image/auth_file.h; NULL or "": none */
	int64_t max_layer_bytes;          /* unpacked */
	int64_t progress_timeout_ms;      /* a transfer that moves no byte for so long is given up */
	unsigned max_downloads;           /* layers at the same time, of all images; 0: STORE_DOWNLOADS */
	unsigned max_downloads_per_image; /* at most 16; 0: STORE_DOWNLOADS_PER_IMAGE */
	const char *pinned;               /* names, separated by commas (pins.h); may be NULL */
	int64_t keep_unlisted_ms;         /* layers of an image that did not come whole serve the next try for so long */
};

/* What registries and other engines are used to; and four images of that. */
#define STORE_DOWNLOADS_PER_IMAGE 3
#define STORE_DOWNLOADS 12

/* Blocks. Reads all records; damaged ones are logged and left alone. ERR_STATE when another process has the store open. Ignores SIGPIPE
 * in this process, as its pipes and libcurl need it. main() must call image_unpack_main() first thing when it is started by the name
 * IMAGE_UNPACK_NAME (image/unpack.h). */
int image_store_open(const struct image_store_config *config, struct image_store **ret_store, struct error *err);

/* Every struct image must have been given back (image_unref) and every call have returned. NULL is fine. */
void image_store_close(struct image_store *store);

/* What the configuration of an image says (OCI image-spec, config.md). Lists are NULL-terminated and never NULL. */
struct image_config {
	char **env;
	char **entrypoint;
	char **cmd;
	char *working_dir; /* "" when not set; so for the next two */
	char *user;
	char *stop_signal;
};

/* One image, immutable, shared by reference count. */
struct image {
	char *id;            /* "sha256:HEX" of the configuration */
	char **repo_tags;    /* "docker.io/library/busybox:1.36"; NULL-terminated */
	char **repo_digests; /* "docker.io/library/busybox@sha256:HEX" of the manifest or index that was asked for */
	uint64_t size_bytes; /* compressed layers plus configuration, as the field reports it */
	struct image_config config;
	char **layer_dirs; /* absolute, topmost first: ready for struct overlay_spec */
	size_t n_layers;
	int64_t pulled_realtime_ns;
	bool pinned;           /* by the configuration */
	_Atomic unsigned refs; /* private */
};

/* Reference spellings: the id (with or without "sha256:", or an unambiguous prefix of 12 digits or more), NAME, NAME:TAG,
 * NAME@DIGEST, NAME:TAG@DIGEST with the ecosystem's short names (busybox is docker.io/library/busybox:latest). Returns a new
 * reference, or NULL when there is none (no error: CRI asks so). ERR_INVALID for a spelling that is none of these. */
int image_find(struct image_store *store, const char *reference, struct image **ret_image, struct error *err);

/* An image that was removed while a container held it is gone from lists, but survives a restart: after image_store_open() it can be
 * found by its full id until image_store_settle(), which whoever adopts containers calls when each of them has its image_ref()
 * again. Settling removes those that nobody wanted. Blocks. */
void image_store_settle(struct image_store *store);

struct image *image_ref(struct image *image);
void image_unref(struct image *image); /* NULL is fine */

/* A NULL-terminated array of new references; the caller frees the array and each one. */
int image_list(struct image_store *store, struct image ***ret_images, size_t *ret_n, struct error *err);

struct image_auth { /* CRI AuthConfig; any may be NULL or "" */
	const char *username, *password;
	const char *auth;           /* base64 of username:password */
	const char *server_address; /* when set, the credentials are for this registry only; else for that of the reference, and for
				     * mirrors that hosts.toml trusts to resolve its tags */
	const char *identity_token;
	const char *registry_token; /* sent as it is, as bearer token */
};

enum pull_layer_state {
	PULL_LAYER_WAITING,     /* nobody has begun, or another pull is at it */
	PULL_LAYER_DOWNLOADING, /* and unpacked as it comes */
	PULL_LAYER_UNPACKING,   /* every byte has come */
	PULL_LAYER_DONE,
	PULL_LAYER_EXISTS, /* was here, or another pull brought it */
};

struct pull_layer {
	const char *digest; /* of the manifest */
	enum pull_layer_state state;
	uint64_t done_bytes, total_bytes; /* compressed */
};

struct pull_request {
	const char *reference;
	struct image_auth auth;
	atomic_bool *cancelled; /* set by anybody to end the pull with ERR_CANCELLED; may be NULL */
	/* All layers in the manifest's order, when something has changed: ten times a second at most, and at the end. On the pulling thread;
	 * may be NULL. */
	void (*progress)(void *arg, const struct pull_layer *layers, size_t n);
	void *progress_arg;
};

/* Blocks. Error codes: ERR_NOT_FOUND (no such repository or tag), ERR_UNAUTHENTICATED, ERR_DENIED, ERR_UNAVAILABLE with the text
 * prefix "RegistryUnavailable: " that kubelet looks for, ERR_DATA_LOSS (a digest does not match), ERR_EXHAUSTED (disk full,
 * budgets), ERR_UNIMPLEMENTED (schema 1, foreign and encrypted layers, unknown compression), ERR_CANCELLED. */
int image_pull(struct image_store *store, const struct pull_request *request, struct image **ret_image, struct error *err);

struct import_request {
	int fd;            /* an archive from where it stands, be it a pipe; or a directory that holds what an archive would */
	const char *name;  /* for the one image that is taken; NULL: the archive must name them */
	char *const *only; /* of those in the archive, by their names there; NULL-terminated; NULL or empty: all for this machine */
	const atomic_bool *cancelled; /* set by anybody to end the import with ERR_CANCELLED; may be NULL */
};

struct import_result {
	struct image **images; /* NULL-terminated, at least one; for image_list_free() */
	size_t n_images;
	char digest[72]; /* "sha256:HEX" of the archive's bytes; "" of a directory */
};

/* Blocks. OCI archives and layouts, `docker save` archives, plain or compressed with gzip or zstd. Error codes as of image_pull(), without
 * those of the network; ERR_NOT_FOUND also for a name that the archive lacks. */
int image_import(struct image_store *store, const struct import_request *request, struct import_result *ret_result,
		 struct error *err);

/* Gives back each reference, and frees the list. NULL is fine. */
void image_list_free(struct image **images);

/* Blocks. By one tag removes all tags of that image; an absent one is success. Layers that nothing else refers to and no container
 * holds (image_ref) go too, now or when the last reference goes. */
int image_remove(struct image_store *store, const char *reference, struct error *err);

struct image_fs_usage {
	uint64_t used_bytes;
	uint64_t inodes;
};

/* Kept up to date by pulls and removals; no tree walk. */
void image_store_usage(struct image_store *store, struct image_fs_usage *ret_usage);

/* The reference in its full spelling: "busybox" is "docker.io/library/busybox:latest". The caller frees *ret_name. */
int image_normalize(const char *reference, char **ret_name, struct error *err);

#endif
