/*
 * A registry, as the pull of one image sees it (OCI distribution-spec; Docker Registry HTTP API v2 is the same for reading).
 *
 * Rules that hold for every request:
 * - Credentials and tokens go to the registry's own scheme, host and port, and to the token service that it names; never along with
 *   a redirect to elsewhere. From https nothing leads to http.
 * - Connection failures, 429 and 5xx are tried three times, with growing pauses; a broken transfer goes on where it broke.
 * - docker.io is served by registry-1.docker.io. Registries of the insecure list are spoken to over http. Loopback ones without
 *   a certificate directory of their own are tried with https, and with http when they do not speak TLS.
 */
#ifndef MONOPOD_IMAGE_REGISTRY_H
#define MONOPOD_IMAGE_REGISTRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/image.h"
#include "image/install.h"
#include "image/reference.h"

struct registry;

struct registry_options {
	const char *certs_dir;
	const char *insecure_registries;
	int64_t progress_timeout_ms;
};

/* Makes no connection yet. The options' strings must outlive the registry. */
int registry_open(const struct registry_options *options, const struct reference *ref, const struct image_auth *auth,
		  struct registry **ret_registry, struct error *err);
void registry_close(struct registry *registry); /* NULL is fine */

/* `reference` is a tag or digest. `b` is emptied first. The following three may be called by several threads at once. */
int registry_get_manifest(struct registry *registry, const char *reference, const atomic_bool *stop, struct buffer *b,
			  char content_type[128], struct error *err);
int registry_get_blob(struct registry *registry, const struct descriptor *what, const atomic_bool *stop, struct buffer *b,
		      struct error *err);

/* In pieces. ERR_DATA_LOSS when it is longer or shorter than what->size_bytes. */
int registry_fetch_blob(struct registry *registry, const struct descriptor *what, const atomic_bool *stop, blob_sink sink,
			void *sink_arg, struct error *err);

/* Whether HOST[:PORT] is in a comma-separated list. */
bool registry_in_list(const char *list, const char *host);

#endif
