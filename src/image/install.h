/*
 * From a manifest to a listed image, whatever the bytes come from: a registry (pull.c) or an archive (import.c).
 *
 *     install_resolve()  follows indexes to the manifest of this machine and reads its configuration
 *     install_layers()   fetches, verifies and unpacks the layers that are missing, several at a time
 *     install_commit()   syncs, writes the record, moves tags
 */
#ifndef MONOPOD_IMAGE_INSTALL_H
#define MONOPOD_IMAGE_INSTALL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/config.h"
#include "image/image.h"
#include "image/manifest.h"
#include "image/store.h"

typedef int (*blob_sink)(void *arg, const void *data, size_t len, struct error *err);

/* A registry keeps the two in different places. */
enum blob_kind { BLOB_MANIFEST, BLOB_CONFIG };

/* Where bytes come from. Neither function has to verify digests: the caller does. */
struct blob_source {
	/* A whole manifest or configuration of at most `b->max` bytes. `content_type` gets what the source says, or "". */
	int (*get)(struct blob_source *source, enum blob_kind kind, const struct descriptor *what, struct buffer *b,
		   char content_type[128], struct error *err);
	/* Layer `index` of the manifest, in pieces; called by several threads at once. Gives up when *stop becomes true. */
	int (*fetch)(struct blob_source *source, const struct descriptor *what, size_t index, const atomic_bool *stop,
		     blob_sink sink, void *sink_arg, struct error *err);
};

/* An index may point to an index; each hop keeps its blob. */
#define INSTALL_MAX_HOPS 3

struct kept_blob {
	char digest[DIGEST_TEXT_SIZE];
	char *data;
	size_t len;
};

struct install {
	struct image_store *store;
	struct blob_source *source;
	const atomic_bool *cancelled; /* may be NULL, as may the next */
	void (*progress)(void *arg, const struct pull_layer *layers, size_t n);
	void *progress_arg;

	char id[DIGEST_TEXT_SIZE];
	struct kept_blob manifests[INSTALL_MAX_HOPS]; /* what was asked for first */
	size_t n_manifests;
	struct kept_blob config_text;
	struct manifest manifest;
	struct config_blob config;
	struct layer **layers; /* references, once install_layers() succeeded */
	uint64_t size_bytes;
	char **tags, **digests; /* names to be given */
};

int install_init(struct install *in, struct image_store *store, struct blob_source *source, struct error *err);
void install_release(struct install *in);
#define _cleanup_install_ __attribute__((cleanup(install_release)))

/* From the descriptor of a manifest or index, which is always asked of the source; what that points to is taken from the store
 * when it is there already. A `root` without digest ("") is whatever the source has; its digest is computed. */
int install_resolve(struct install *in, const struct descriptor *root, struct error *err);

/* Takes a configuration that is at hand, when there is no manifest; in->manifest must hold as many layers. */
int install_set_config(struct install *in, const char *text, size_t len, struct error *err);

/* layers_install.c. A layer without digest is verified by its diff id alone. */
int install_layers(struct install *in, struct error *err);

int install_commit(struct install *in, struct image **ret_image, struct error *err);

#endif
