/*
 * Manifests and indexes (OCI image-spec, manifest.md and image-index.md; Docker image manifest v2 schema 2 and its manifest list).
 *
 * Parsing does no I/O and trusts nothing: sizes, digests and media types are checked here, once.
 */
#ifndef MONOPOD_IMAGE_MANIFEST_H
#define MONOPOD_IMAGE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/digest.h"

/* What registries have to accept at least (distribution-spec, "Pushing manifests"), so no image needs more. */
#define MANIFEST_MAX_BYTES ((size_t)4 << 20)

/* The ceiling of the field's builders, so no real image has more; overlayfs itself would take 500 lower directories. */
#define MANIFEST_MAX_LAYERS 127

/* An index for every architecture and its attestations has a few dozen entries (arbitrary). */
#define MANIFEST_MAX_ENTRIES 1024

/* For the Accept header of a manifest request. */
#define MANIFEST_ACCEPT                                                                                                            \
	"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "                                    \
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

struct descriptor {
	char digest[DIGEST_TEXT_SIZE];
	uint64_t size_bytes;
};

struct manifest_entry {
	struct descriptor target;
	char *os, *architecture, *variant; /* "" when not given */
	char *name;                        /* the annotation that archives use for a reference; "" when there is none */
};

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct manifest {
	enum manifest_kind kind;
	struct descriptor config;  /* of an image */
	struct descriptor *layers; /* of an image, lowest first */
	size_t n_layers;
	struct manifest_entry *entries; /* of an index */
	size_t n_entries;
};

/* `content_type` is what the registry said, NULL when nobody did; the document's own mediaType must not contradict it. */
int manifest_parse(const char *text, size_t len, const char *content_type, struct manifest *ret_manifest, struct error *err);
void manifest_release(struct manifest *manifest);
#define _cleanup_manifest_ __attribute__((cleanup(manifest_release)))

struct platform {
	const char *os, *architecture, *variant; /* variant "" when any will do */
};

/* This machine, in the names of the index. */
struct platform platform_host(void);

/* The entry for `platform`; ERR_NOT_FOUND when there is none. */
int manifest_choose(const struct manifest *index, const struct platform *platform, const struct manifest_entry **ret_entry,
		    struct error *err);

#endif
