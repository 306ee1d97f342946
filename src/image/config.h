/* The configuration blob of an image (OCI image-spec, config.md; Docker's container.image.v1 is the same document). */
#ifndef MONOPOD_IMAGE_CONFIG_H
#define MONOPOD_IMAGE_CONFIG_H

#include <stddef.h>

#include "base/error.h"
#include "image/image.h"

/* Largest configuration that is fetched: ten times the largest seen in the wild. */
#define CONFIG_MAX_BYTES ((size_t)8 << 20)

struct config_blob {
	struct image_config run;
	char **diff_ids; /* lowest layer first; every one passed digest_check() */
	char *os;
	char *architecture;
};

/* Frees with config_blob_release(). An `os` other than linux is ERR_UNIMPLEMENTED. */
int config_blob_parse(const char *text, size_t len, struct config_blob *ret_blob, struct error *err);
void config_blob_release(struct config_blob *blob);
#define _cleanup_config_blob_ __attribute__((cleanup(config_blob_release)))

void image_config_release(struct image_config *config);

#endif
