/*
 * One request, from the inside out: send_to() adds what the target may know of us, follow() goes along redirects, attempt() answers
 * a challenge once, request() tries again what may pass.
 */
#include "image/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/auth.h"
#include "image/http.h"
#include "image/json.h"
#include "image/origin.h"
#include "image/tls.h"
#include "image/token.h"

#define MAX_TRIES 3
#define FIRST_PAUSE_MS 500
#define MAX_RETRY_AFTER_S 30
#define STOP_POLL_MS 100

/* Registries hand blobs over to storage services in one hop, sometimes two. */
#define MAX_REDIRECTS 5

/* Connections that wait for the next request: one for each thread that fetches layers, and one. */
#define MAX_IDLE 4

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
	struct http *idle[MAX_IDLE];
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
	if (r->n_idle < MAX_IDLE) {
		r->idle[r->n_idle++] = http;
		http = NULL;
	}
	(void)pthread_mutex_unlock(&r->lock);
	http_free(http);
}

/* ---- one answer ---- */

static int count_bytes(void *arg, const void *data, size_t len, struct error *err)
{
	struct wish *w = arg;

	if (len > w->max_bytes - w->received)
		return error_set(err, w->is_promise ? ERR_DATA_LOSS : ERR_EXHAUSTED, "it is longer than %llu bytes",
				 (unsigned long long)w->max_bytes);
	w->received += len;
	return w->sink(w->sink_arg, data, len, err);
}

/* What a request knows of the registry: copies, since other threads may find a token meanwhile. */
struct session {
	struct origin origin;
	char *authorization;
};

static int take_session(struct registry *r, struct session *ret, struct error *err)
{
	bool failed;

	(void)pthread_mutex_lock(&r->lock);
	ret->origin = r->origin;
	ret->authorization = r->authorization ? strdup(r->authorization) : NULL;
	failed = r->authorization && !ret->authorization;
	(void)pthread_mutex_unlock(&r->lock);
	return failed ? error_set(err, ERR_EXHAUSTED, "out of memory for a token") : 0;
}

static int send_to(struct registry *r, struct http *http, struct wish *w, const struct session *s, const char *url,
		   struct http_reply *reply, struct error *err)
{
	char certs[PATH_MAX], name[ORIGIN_NAME_SIZE];
	struct origin target;
	struct http_call call = {
		.method = "GET",
		.url = url,
		.accept = w->accept,
		.offset = w->received,
		.progress_timeout_ms = r->options.progress_timeout_ms,
		.stop = w->stop,
		.sink = count_bytes,
		.sink_arg = w,
	};

	if (origin_of(url, &target, err) < 0)
		return -1;
	origin_name(&target, name);
	if (origin_equal(&target, &s->origin))
		call.authorization = s->authorization;
	if (tls_find(r->options.certs_dir, origin_equal(&target, &s->origin) ? r->host : name, certs))
		call.tls_dir = certs;
	call.no_proxy = reference_host_is_loopback(target.host);
	return http_perform(http, &call, reply, err);
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Replaces *url by where the answer to it leads. */
static int go_on(char **url, const struct http_reply *reply, struct error *err)
{
	struct origin from, to;
	char *next;

	if (!reply->location.data)
		return error_set(err, ERR_UNAVAILABLE, "answer %ld names no other place", reply->status);
	if (origin_of(*url, &from, err) < 0 || origin_resolve(*url, reply->location.data, &next, err) < 0)
		return -1;
	free(*url);
	*url = next;
	if (origin_of(next, &to, err) < 0)
		return -1;
	if (from.is_https && !to.is_https)
		return error_set(err, ERR_DENIED, "redirected from https to http, to host %s", to.host);
	return 0;
}

static int follow(struct registry *r, struct http *http, struct wish *w, const struct session *s, struct http_reply *reply,
		  struct error *err)
{
	_cleanup_free_
	char *url = NULL;

	if (asprintf(&url, "%s://%s:%s/v2/%s/%s", s->origin.is_https ? "https" : "http", s->origin.host, s->origin.port, r->path,
		     w->path) < 0) {
		url = NULL;
		return error_set(err, ERR_EXHAUSTED, "out of memory for a URL");
	}
	for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
		if (send_to(r, http, w, s, url, reply, err) < 0)
			return -1;
		if (!is_redirect(reply->status))
			return 0;
		if (go_on(&url, reply, err) < 0)
			return -1;
	}
	return error_set(err, ERR_UNAVAILABLE, "more than %d redirects", MAX_REDIRECTS);
}

/* ---- authentication ---- */

static int answer_basic(struct registry *r, const char *refused, char **ret_header, struct error *err)
{
	char *header;

	if (!r->credentials.username)
		return error_set(err, ERR_UNAUTHENTICATED, "credentials are required");
	header = credentials_basic(&r->credentials);
	if (!header)
		return error_set(err, ERR_EXHAUSTED, "out of memory for credentials");
	if (refused && !strcmp(refused, header)) {
		secret_free(header);
		return error_set(err, ERR_UNAUTHENTICATED, "the credentials were refused");
	}
	*ret_header = header;
	return 0;
}

static int answer_bearer(struct registry *r, struct http *http, const struct wish *w, const struct session *s,
			 const struct challenge *challenge, struct http_reply *reply, char **ret_header, struct error *err)
{
	char scope[REFERENCE_MAX_NAME + 32];
	const struct token_request request = {
		.challenge = challenge,
		.credentials = &r->credentials,
		.default_scope = scope,
		.certs_dir = r->options.certs_dir,
		.need_https = s->origin.is_https,
		.progress_timeout_ms = r->options.progress_timeout_ms,
		.stop = w->stop,
	};

	(void)snprintf(scope, sizeof(scope), "repository:%s:pull", r->path);
	return token_fetch(http, &request, reply, ret_header, err);
}

static int answer(struct registry *r, struct http *http, const struct wish *w, const struct session *s, struct http_reply *reply,
		  char **ret_header, struct error *err)
{
	_cleanup_challenge_ struct challenge challenge = { 0 };

	if (r->credentials.registry_token)
		return error_set(err, ERR_UNAUTHENTICATED, "the registry token was refused");
	if (challenge_parse(reply->challenge.data ? reply->challenge.data : "", &challenge, err) < 0)
		return -1;
	switch (challenge.scheme) {
	case CHALLENGE_BASIC:
		return answer_basic(r, s->authorization, ret_header, err);
	case CHALLENGE_BEARER:
		return answer_bearer(r, http, w, s, &challenge, reply, ret_header, err);
	case CHALLENGE_NONE:
	default:
		return error_set(err, ERR_UNAUTHENTICATED, "the registry asks for a kind of credentials that nobody knows");
	}
}

/* After a 401. Another thread may have got a new token since this request took its copy: then that is the answer. */
static int authenticate_locked(struct registry *r, struct http *http, const struct wish *w, const struct session *s,
			       struct http_reply *reply, struct error *err)
{
	char *header = NULL;
	bool is_newer;

	(void)pthread_mutex_lock(&r->lock);
	is_newer = r->authorization && (!s->authorization || strcmp(r->authorization, s->authorization) != 0);
	(void)pthread_mutex_unlock(&r->lock);
	if (is_newer)
		return 0;
	if (answer(r, http, w, s, reply, &header, err) < 0)
		return -1;
	(void)pthread_mutex_lock(&r->lock);
	secret_free(r->authorization);
	r->authorization = header;
	(void)pthread_mutex_unlock(&r->lock);
	return 0;
}

static int authenticate(struct registry *r, struct http *http, const struct wish *w, const struct session *s,
			struct http_reply *reply, struct error *err)
{
	int result;

	(void)pthread_mutex_lock(&r->auth_lock);
	result = authenticate_locked(r, http, w, s, reply, err);
	(void)pthread_mutex_unlock(&r->auth_lock);
	return result;
}

/* ---- one try ---- */

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

/* The message in an error's body (distribution-spec, "Error codes"), as printable ASCII. */
static void read_message(const struct buffer *body, char message[200])
{
	_cleanup_json_ cJSON *json = NULL;
	struct error ignored;
	const char *text = NULL;
	size_t n = 0;

	if (body->len > 0 && json_parse(body->data, body->len, "error", &json, &ignored) == 0)
		text = json_string(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "errors"), 0), "message");
	if (text && *text)
		n = (size_t)snprintf(message, 200, " (%.150s)", text);
	message[n] = '\0';
	for (char *p = message; *p; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

static int check_status(struct http_reply *reply, struct error *err)
{
	char message[200];

	if (reply->status == 200 || reply->status == 206)
		return 0;
	read_message(&reply->body, message);
	switch (reply->status) {
	case 401:
		return error_set(err, ERR_UNAUTHENTICATED, "access was refused%s", message);
	case 403:
		return error_set(err, ERR_DENIED, "access is denied%s", message);
	case 404:
		return error_set(err, ERR_NOT_FOUND, "not found%s", message);
	default:
		reply->may_retry = reply->status == 408 || reply->status == 429 || reply->status >= 500;
		return error_set(err, reply->may_retry ? ERR_UNAVAILABLE : ERR_INTERNAL, "it answered %ld%s", reply->status,
				 message);
	}
}

static int attempt_with(struct registry *r, struct http *http, struct wish *w, struct session *s, struct http_reply *reply,
			struct error *err)
{
	if (take_session(r, s, err) < 0 || follow(r, http, w, s, reply, err) < 0)
		return -1;
	if (reply->status != 401)
		return check_status(reply, err);
	if (authenticate(r, http, w, s, reply, err) < 0)
		return -1;
	secret_free(s->authorization);
	if (take_session(r, s, err) < 0 || follow(r, http, w, s, reply, err) < 0)
		return -1;
	return check_status(reply, err);
}

static int attempt(struct registry *r, struct http *http, struct wish *w, struct http_reply *reply, struct error *err)
{
	struct session s = { 0 };
	int result;

	if (w->whole) {
		buffer_clear(w->whole);
		w->received = 0;
	}
	result = attempt_with(r, http, w, &s, reply, err);
	secret_free(s.authorization);
	return result;
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
		if (attempt(r, http, w, reply, err) == 0) {
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
