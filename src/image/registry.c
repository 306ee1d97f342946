#include "image/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/registry_impl.h"
#include "image/tls.h"
#include "image/token.h"

#define MAX_TRIES 3
#define FIRST_PAUSE_MS 500
#define MAX_RETRY_AFTER_S 30
#define STOP_POLL_MS 100

bool registry_in_list(const char *list, const char *host)
{
	size_t len = strlen(host);

	for (const char *p = list; *p;) {
		size_t n;

		p += strspn(p, ", \t");
		n = strcspn(p, ", \t");
		if (n > 0 && n == len && !strncasecmp(p, host, n))
			return true;
		p += n;
	}
	return false;
}

static int set_origin(struct registry *r, const char *scheme, struct error *err)
{
	const char *host = strcmp(r->host, "docker.io") ? r->host : "registry-1.docker.io";
	char url[REFERENCE_MAX_NAME + 16];

	(void)snprintf(url, sizeof(url), "%s://%s/", scheme, host);
	return origin_of(url, &r->origin, err);
}

static int open_registry(struct registry *r, const struct reference *ref, const struct image_auth *auth, struct error *err)
{
	bool insecure = registry_in_list(r->options.insecure_registries, ref->host);
	char certs[PATH_MAX];

	(void)snprintf(r->host, sizeof(r->host), "%s", ref->host);
	(void)snprintf(r->path, sizeof(r->path), "%s", ref->path);
	r->may_fall_back = !insecure && reference_host_is_loopback(r->host) && !tls_find(r->options.certs_dir, r->host, certs);
	if (set_origin(r, insecure ? "http" : "https", err) < 0 || credentials_init(&r->credentials, auth, ref->host, err) < 0)
		return -1;
	if (!r->credentials.registry_token)
		return 0;
	r->authorization = token_header(r->credentials.registry_token);
	return r->authorization ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for a token");
}

int registry_open(const struct registry_options *options, const struct reference *ref, const struct image_auth *auth,
		  struct registry **ret_registry, struct error *err)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	r->options = *options;
	(void)pthread_mutex_init(&r->auth_lock, NULL);
	(void)pthread_mutex_init(&r->lock, NULL);
	if (open_registry(r, ref, auth, err) < 0) {
		registry_close(r);
		return -1;
	}
	*ret_registry = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_idle; i++)
		http_free(r->idle[i]);
	secret_free(r->authorization);
	credentials_release(&r->credentials);
	(void)pthread_mutex_destroy(&r->lock);
	(void)pthread_mutex_destroy(&r->auth_lock);
	free(r);
}

static struct http *take_http(struct registry *r)
{
	struct http *http = NULL;

	(void)pthread_mutex_lock(&r->lock);
	if (r->n_idle > 0)
		http = r->idle[--r->n_idle];
	(void)pthread_mutex_unlock(&r->lock);
	return http ? http : http_new();
}

static void give_back_http(struct registry *r, struct http *http)
{
	(void)pthread_mutex_lock(&r->lock);
	if (r->n_idle < REGISTRY_MAX_IDLE) {
		r->idle[r->n_idle++] = http;
		http = NULL;
	}
	(void)pthread_mutex_unlock(&r->lock);
	http_free(http);
}

/* ---- trying ---- */

/* Before the first answer only. True when it makes sense to ask again. */
static bool fall_back(struct registry *r, const struct http_reply *reply)
{
	struct error ignored;
	bool falls;

	(void)pthread_mutex_lock(&r->lock);
	falls = r->may_fall_back && reply->status == 0 && reply->not_tls;
	if (falls)
		falls = set_origin(r, "http", &ignored) == 0;
	if (falls || reply->status != 0)
		r->may_fall_back = false;
	(void)pthread_mutex_unlock(&r->lock);
	return falls;
}

static int pause_ms(const struct wish *w, unsigned ms, struct error *err)
{
	for (unsigned waited = 0; waited < ms; waited += STOP_POLL_MS) {
		const struct timespec step = { 0, STOP_POLL_MS * 1000000L };

		if (w->stop && atomic_load(w->stop))
			return error_set(err, ERR_CANCELLED, "cancelled");
		(void)nanosleep(&step, NULL);
	}
	return 0;
}

static unsigned pause_before(int try, const struct http_reply *reply)
{
	unsigned asked_s = reply->retry_after_s < MAX_RETRY_AFTER_S ? reply->retry_after_s : MAX_RETRY_AFTER_S;
	unsigned own_ms = (unsigned)FIRST_PAUSE_MS << try;

	return asked_s * 1000 > own_ms ? asked_s * 1000 : own_ms;
}

static int request_with(struct registry *r, struct http *http, struct wish *w, struct http_reply *reply, struct error *err)
{
	for (int try = 0;; try++) {
		if (registry_attempt(r, http, w, reply, err) == 0) {
			(void)fall_back(r, reply);
			return 0;
		}
		if (fall_back(r, reply)) {
			try--;
			continue;
		}
		/* The connection broke behind the last byte. */
		if (!w->whole && w->received > 0 && w->received == w->max_bytes && reply->may_retry)
			return 0;
		if (!reply->may_retry || try == MAX_TRIES - 1)
			return error_prefix(err, "registry %s", r->host);
		log_debug("image", "registry %s, try %d: %s", r->host, try + 1, err->text);
		if (pause_ms(w, pause_before(try, reply), err) < 0)
			return -1;
	}
}

static int request(struct registry *r, struct wish *w, char content_type[128], struct error *err)
{
	_cleanup_http_reply_ struct http_reply reply;
	struct http *http = take_http(r);
	int result;

	http_reply_init(&reply);
	if (!http)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a request");
	result = request_with(r, http, w, &reply, err);
	if (result == 0 && content_type)
		(void)snprintf(content_type, 128, "%s", reply.content_type.data ? reply.content_type.data : "");
	give_back_http(r, http);
	return result;
}

static int append(void *arg, const void *data, size_t len, struct error *err)
{
	return buffer_append(arg, data, len, err);
}

int registry_get_manifest(struct registry *r, const char *reference, const atomic_bool *stop, struct buffer *b,
			  char content_type[128], struct error *err)
{
	char path[sizeof("manifests/") + REFERENCE_MAX_TAG];
	struct wish w = {
		.path = path,
		.accept = MANIFEST_ACCEPT,
		.stop = stop,
		.max_bytes = b->max,
		.sink = append,
		.sink_arg = b,
		.whole = b,
	};

	(void)snprintf(path, sizeof(path), "manifests/%s", reference);
	return request(r, &w, content_type, err);
}

static void blob_path(const char *digest, char path[sizeof("blobs/") + DIGEST_TEXT_SIZE])
{
	(void)snprintf(path, sizeof("blobs/") + DIGEST_TEXT_SIZE, "blobs/%s", digest);
}

int registry_get_blob(struct registry *r, const struct descriptor *what, const atomic_bool *stop, struct buffer *b,
		      struct error *err)
{
	char path[sizeof("blobs/") + DIGEST_TEXT_SIZE];
	struct wish w = {
		.path = path,
		.stop = stop,
		.max_bytes = what->size_bytes,
		.is_promise = true,
		.sink = append,
		.sink_arg = b,
		.whole = b,
	};

	blob_path(what->digest, path);
	return request(r, &w, NULL, err);
}

int registry_fetch_blob(struct registry *r, const struct descriptor *what, const atomic_bool *stop, blob_sink sink, void *sink_arg,
			struct error *err)
{
	char path[sizeof("blobs/") + DIGEST_TEXT_SIZE];
	struct wish w = {
		.path = path,
		.stop = stop,
		.max_bytes = what->size_bytes,
		.is_promise = true,
		.sink = sink,
		.sink_arg = sink_arg,
	};

	blob_path(what->digest, path);
	if (request(r, &w, NULL, err) < 0)
		return -1;
	if (w.received != what->size_bytes)
		return error_set(err, ERR_DATA_LOSS, "it ends after %llu of %llu bytes", (unsigned long long)w.received,
				 (unsigned long long)what->size_bytes);
	return 0;
}
