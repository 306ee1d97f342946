/* Between import.c and the two formats that it knows. */
#ifndef MONOPOD_IMAGE_IMPORT_IMPL_H
#define MONOPOD_IMAGE_IMPORT_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/image.h"
#include "image/install.h"

/* More images than an index can list; docker save has no limit of its own. */
#define IMPORT_MAX_IMAGES MANIFEST_MAX_ENTRIES

struct import {
	struct image_store *store;
	const struct import_request *request;
	struct blob_source source;
	int rootfd;         /* the unpacked archive, or the directory that was given */
	char **layer_paths; /* docker save: by index; NULL: blobs by digest */
	struct image **images;
	size_t n_images;
};

/* A file of the archive. Links inside are followed (docker save has them for layers that repeat); nothing leads out of it. */
int import_open(const struct import *import, const char *path, uint64_t *ret_size, struct error *err);

/* The whole of it, over which `b` must have no more than b->max bytes. */
int import_read(const struct import *import, const char *path, struct buffer *b, struct error *err);

/* Whether the request takes an image of that name, as it stands in the archive; with an empty list it takes all. */
bool import_wants(const struct import *import, const char *name);

/* Every name of the request is among `found`, those of the archive; says what there is if not. */
int import_check_names(const struct import *import, char *const *found, struct error *err);

/* The layout's annotation may hold a bare tag, which names nothing. */
bool import_is_name(const char *text);

/* Names for the image that is being installed; its manifest, if it has one, is resolved. */
int import_add_name(struct install *in, const char *name, struct error *err);

/* Layers, record; the image is among the results. `in` has names. */
int import_finish(struct import *import, struct install *in, struct error *err);

/* OCI image-layout.md: oci-layout, index.json, blobs/sha256/HEX. */
int import_layout(struct import *import, struct error *err);

/* docker save: manifest.json: [ { "Config": PATH, "RepoTags": [...], "Layers": [ PATH, ... ] } ] */
int import_saved(struct import *import, struct error *err);

#endif
