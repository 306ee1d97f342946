/*
 * One HTTP request at a time over libcurl: HTTP/1.1 and 2. Knows nothing of registries.
 *
 * Redirects are not followed and no credentials are remembered here: both are decisions of the caller (registry.c). Only the
 * protocols http and https exist.
 */
#ifndef MONOPOD_IMAGE_HTTP_H
#define MONOPOD_IMAGE_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/hosts.h"
#include "image/tls.h"

/* Longest header value that is kept: tokens in challenges and signed URLs stay well below. */
#define HTTP_MAX_HEADER ((size_t)16 * 1024)

/* Initialises libcurl, once per process. Any thread. */
int http_init(struct error *err);

/* A handle keeps its connections between requests. One thread at a time. */
struct http;

struct http *http_new(void); /* NULL when memory is out */
void http_free(struct http *http);

struct http_call {
	const char *method; /* "GET" or "POST" */
	const char *url;
	const char *accept;                /* value of that header; may be NULL, as may the next three */
	const char *authorization;         /* value of that header */
	const char *form;                  /* body of a POST, application/x-www-form-urlencoded */
	const struct host_header *headers; /* further ones */
	size_t n_headers;
	const struct tls *tls;       /* NULL: as the system has it */
	bool tls_is_own;             /* see tls_set() */
	const char *proxy;           /* URL; NULL: none */
	uint64_t offset;             /* the bytes before it are not wanted again */
	uint64_t total_bytes;        /* of the whole content; 0: not known */
	int64_t dial_timeout_ms;     /* until a connection stands; 0: 30 seconds */
	int64_t progress_timeout_ms; /* without a byte */
	const atomic_bool *stop;     /* ends the request with ERR_CANCELLED; may be NULL */
	/* Gets the body of a 200 or 206, from `offset` on. */
	int (*sink)(void *arg, const void *data, size_t len, struct error *err);
	void *sink_arg;
};

struct http_reply {
	long status;             /* 0 when there was none */
	struct buffer location;  /* header values; data NULL when absent */
	struct buffer challenge; /* all WWW-Authenticate headers, joined by commas */
	struct buffer content_type;
	struct buffer digest; /* Docker-Content-Digest */
	struct buffer body;   /* of an answer that is not 200 or 206, its first bytes */
	unsigned retry_after_s;
	bool may_retry; /* the failure is one that may pass, at the same host */
	bool not_tls;   /* what answered does not speak TLS, or nothing answered */
};

void http_reply_init(struct http_reply *reply);
void http_reply_release(struct http_reply *reply);
#define _cleanup_http_reply_ __attribute__((cleanup(http_reply_release)))

/* Any status is success; failure is no complete answer. `reply` is cleared first. ERR_UNAVAILABLE for all that the network does. */
int http_perform(struct http *http, const struct http_call *call, struct http_reply *reply, struct error *err);

#endif
