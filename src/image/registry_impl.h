/* Inside the registry client: what its two halves share. registry.c has the life of it and trying again, exchange.c a single try. */
#ifndef MONOPOD_IMAGE_REGISTRY_IMPL_H
#define MONOPOD_IMAGE_REGISTRY_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/auth.h"
#include "image/http.h"
#include "image/origin.h"
#include "image/registry.h"

/* Connections that wait for the next request: one for each thread that fetches layers, and one. */
#define REGISTRY_MAX_IDLE 4

struct registry {
	struct registry_options options;
	char host[REFERENCE_MAX_NAME + 1]; /* as written in references; names the certificate directory */
	char path[REFERENCE_MAX_NAME + 1];
	struct credentials credentials;
	pthread_mutex_t auth_lock; /* who asks for a token; before `lock` */
	pthread_mutex_t lock;      /* the rest */
	struct origin origin;      /* of the registry's API */
	bool may_fall_back;        /* to http, until the first answer */
	char *authorization;       /* header value for `origin`; NULL: none yet */
	struct http *idle[REGISTRY_MAX_IDLE];
	size_t n_idle;
};

/* One request as its caller wants it, and how far it got. */
struct wish {
	const char *path;   /* below /v2/NAME/ */
	const char *accept; /* may be NULL */
	const atomic_bool *stop;
	uint64_t max_bytes;
	bool is_promise; /* max_bytes is what the manifest says, not a limit of ours */
	blob_sink sink;
	void *sink_arg;
	struct buffer *whole; /* what the sink fills; emptied before each try. NULL: a try goes on where the last one broke */
	uint64_t received;
};

/* One try: with the credentials that are known, along redirects, and once more after a challenge. Any status but 200 and 206 is an
 * error, and reply->may_retry says whether it may pass. */
int registry_attempt(struct registry *registry, struct http *http, struct wish *wish, struct http_reply *reply, struct error *err);

#endif
