/*
 * A registry, as the pull of one image sees it (OCI distribution-spec; Docker Registry HTTP API v2 is the same for reading).
 *
 * Rules that hold for every request:
 * - It goes to the hosts that hosts.h finds, one after the other, until one of them has what is wanted; a transfer that breaks at
 *   one goes on at the next. The last error counts, and its text names those before it.
 * - Credentials, tokens, client certificates and the headers of hosts.toml go to the host's own scheme, host and port (tokens' means
 *   also to the token service that it names); never along with a redirect to elsewhere. From https nothing leads to http.
 * - The last host is tried three times, with growing pauses, after connection failures, 429 and 5xx; a broken transfer goes on where
 *   it broke, as long as it gets on. Mirrors are asked once, as long as they have sent nothing.
 * - Credentials are those of the request, else those of the auth file for that very host.
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
	const char *auth_file; /* "": none */
	int64_t progress_timeout_ms;
};

/* Reads configuration and certificates; makes no connection yet. The options' strings must outlive the registry. */
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

#endif
