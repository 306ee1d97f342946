/* Inside the registry client: what its parts share. registry.c has its life and goes from host to host, retry.c tries again at one of
 * them, exchange.c has a single try. */
#ifndef MONOPOD_IMAGE_REGISTRY_IMPL_H
#define MONOPOD_IMAGE_REGISTRY_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/auth.h"
#include "image/hosts.h"
#include "image/http.h"
#include "image/registry.h"
#include "image/tls.h"

/* Connections that wait for the next request: one for each thread that fetches layers, and one. */
#define ENDPOINT_MAX_IDLE 4

/* A host of the registry: the server, or a mirror of it. */
struct endpoint {
	struct registry *registry;
	const struct host *host;
	char label[ORIGIN_NAME_SIZE + 32]; /* for errors: "registry docker.io", "mirror https://m:5000" */
	struct tls *tls;                   /* NULL: as the system has it */
	struct credentials credentials;
	pthread_mutex_t auth_lock; /* who asks for a token; before `lock` */
	pthread_mutex_t lock;      /* the rest */
	struct origin origin;      /* of the API */
	bool may_fall_back;        /* to http, until the first answer */
	char *authorization;       /* header value for `origin`; NULL: none yet */
	struct http *idle[ENDPOINT_MAX_IDLE];
	size_t n_idle;
};

struct registry {
	struct registry_options options;
	char name[REFERENCE_MAX_NAME + 1]; /* as written in references */
	char path[REFERENCE_MAX_NAME + 1];
	struct hosts hosts;
	struct endpoint *endpoints; /* as many, in their order */
	size_t n_endpoints;
};

/* One request as its caller wants it, and how far it got. */
struct wish {
	const char *path; /* below ROOT/NAME/ */
	const char
		*digest; /* of the content; "" when that is not known. Compared here when `whole` is set, by the sink otherwise */
	const char *accept; /* may be NULL */
	unsigned can;       /* what a host must be trusted with: enum host_can */
	const atomic_bool *stop;
	uint64_t max_bytes;
	bool is_promise; /* max_bytes is what the manifest says, not a limit of ours */
	blob_sink sink;
	void *sink_arg;
	struct buffer *whole; /* what the sink fills; emptied before each try. NULL: a try goes on where the last one broke */
	char *content_type;   /* char[128]; may be NULL */
	uint64_t received;
	struct http_reply *reply; /* of the try in progress */
	bool sink_failed;         /* it is not the host's fault */
};

/* One try: with the credentials that are known, along redirects, and once more after a challenge. Success is the content as it was
 * wished for; reply->may_retry says whether a failure may pass. */
int endpoint_attempt(struct endpoint *endpoint, struct http *http, struct wish *wish, struct http_reply *reply, struct error *err);

/* Tries until it is of no use. At a host that is not the last one, a failure without progress is final. */
int endpoint_request(struct endpoint *endpoint, struct wish *wish, bool is_last, struct error *err);

#endif
