/*
 * One exchange with a registry, from the inside out: send_to() adds what the target may know of us, follow() goes along redirects,
 * attempt() answers a challenge once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/json.h"
#include "base/mem.h"
#include "image/digest.h"
#include "image/proxy.h"
#include "image/registry_impl.h"
#include "image/token.h"

/* Registries hand blobs over to storage services in one hop, sometimes two. */
#define MAX_REDIRECTS 5

/* A proxy's or a portal's page for people, with a status that says that all is well. */
static int check_type(const struct wish *w, struct error *err)
{
	const char *type = w->reply->content_type.data;

	if (!type || (strncasecmp(type, "text/html", 9) != 0 && strncasecmp(type, "multipart/", 10) != 0))
		return 0;
	return error_set(err, ERR_UNAVAILABLE, "it sent %.60s instead of the content: what answers is no registry", type);
}

static int count_bytes(void *arg, const void *data, size_t len, struct error *err)
{
	struct wish *w = arg;

	if (check_type(w, err) < 0)
		return -1;
	if (len > w->max_bytes - w->received)
		return error_set(err, w->is_promise ? ERR_DATA_LOSS : ERR_EXHAUSTED, "it is longer than %llu bytes",
				 (unsigned long long)w->max_bytes);
	w->received += len;
	if (w->sink(w->sink_arg, data, len, err) == 0)
		return 0;
	w->sink_failed = true;
	return -1;
}

/* What a request knows of the host: copies, since other threads may find a token meanwhile. */
struct session {
	struct origin origin;
	char *authorization;
	bool answered_elsewhere; /* the last answer came from where a redirect led */
};

static int take_session(struct endpoint *e, struct session *ret, struct error *err)
{
	bool failed;

	(void)pthread_mutex_lock(&e->lock);
	ret->origin = e->origin;
	ret->authorization = e->authorization ? strdup(e->authorization) : NULL;
	failed = e->authorization && !ret->authorization;
	(void)pthread_mutex_unlock(&e->lock);
	return failed ? error_set(err, ERR_EXHAUSTED, "out of memory for a token") : 0;
}

/* ---- TLS ---- */

/* Trust for one request: of the host itself, of a directory that the target has of its own, or the authorities of the host alone. */
struct trust {
	const struct tls *tls;
	bool is_own;
	struct tls *loaded; /* to be freed when the request is over */
	struct arena arena;
};

static void release_trust(struct trust *trust)
{
	tls_free(trust->loaded);
	arena_release(&trust->arena);
}

#define _cleanup_trust_ __attribute__((cleanup(release_trust)))

static int find_trust(struct endpoint *e, const struct origin *own, const struct origin *target, struct trust *ret,
		      struct error *err)
{
	_cleanup_free_
	char *dir = NULL;
	char name[ORIGIN_NAME_SIZE];
	struct host host = { 0 };

	ret->tls = e->tls;
	ret->is_own = origin_equal(own, target);
	if (ret->is_own || !target->is_https)
		return 0;
	origin_name(target, name);
	if (hosts_find_own(e->registry->options.certs_dir, name, &dir, err) < 0)
		return -1;
	if (!dir)
		return 0;
	if (hosts_read_certificates(dir, &ret->arena, &host, err) < 0 || tls_load(&host, &ret->loaded, err) < 0)
		return -1;
	ret->is_own = true;
	ret->tls = ret->loaded;
	return 0;
}

/* The headers that the operator wants, without the one that `authorization` began as. */
static size_t own_headers(const struct endpoint *e, struct host_header *to)
{
	size_t n = 0;

	for (size_t i = 0; i < e->host->n_headers; i++) {
		if (strcasecmp(e->host->headers[i].name, "Authorization") != 0)
			to[n++] = e->host->headers[i];
	}
	return n;
}

static int send_to(struct endpoint *e, struct http *http, struct wish *w, struct session *s, const char *url,
		   struct http_reply *reply, struct error *err)
{
	_cleanup_trust_ struct trust trust = { 0 };
	_cleanup_free_
	struct host_header *headers = calloc(e->host->n_headers + 1, sizeof(*headers));
	struct origin target;
	struct http_call call = {
		.method = "GET",
		.url = url,
		.accept = w->accept,
		.headers = headers,
		.offset = w->received,
		.total_bytes = w->is_promise ? w->max_bytes : 0,
		.dial_timeout_ms = e->host->dial_timeout_ms,
		.progress_timeout_ms = e->registry->options.progress_timeout_ms,
		.stop = w->stop,
		.sink = count_bytes,
		.sink_arg = w,
	};

	if (!headers)
		return error_set(err, ERR_EXHAUSTED, "out of memory for headers");
	if (origin_of(url, &target, err) < 0 || find_trust(e, &s->origin, &target, &trust, err) < 0)
		return -1;
	s->answered_elsewhere = !origin_equal(&target, &s->origin);
	if (!s->answered_elsewhere) {
		call.authorization = s->authorization;
		call.n_headers = own_headers(e, headers);
	}
	call.tls = trust.tls;
	call.tls_is_own = trust.is_own;
	call.proxy = proxy_for(&target);
	w->reply = reply;
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

/* Mirrors of several registries are told which one is meant, as containerd does it: ?ns=REGISTRY. */
static int make_url(const struct endpoint *e, const struct session *s, const struct wish *w, char **ret_url, struct error *err)
{
	const char *scheme = s->origin.is_https ? "https" : "http";
	char *ns = e->host->wants_namespace ? curl_easy_escape(NULL, e->registry->name, 0) : NULL;
	int len = -1;

	if (ns || !e->host->wants_namespace)
		len = asprintf(ret_url, "%s://%s:%s%s/%s/%s%s%s", scheme, s->origin.host, s->origin.port, e->host->root,
			       e->registry->path, w->path, ns ? "?ns=" : "", ns ? ns : "");
	curl_free(ns);
	return len < 0 ? error_set(err, ERR_EXHAUSTED, "out of memory for a URL") : 0;
}

static int follow(struct endpoint *e, struct http *http, struct wish *w, struct session *s, struct http_reply *reply,
		  struct error *err)
{
	_cleanup_free_
	char *url = NULL;
	char *made;

	if (make_url(e, s, w, &made, err) < 0)
		return -1;
	url = made;
	for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
		if (send_to(e, http, w, s, url, reply, err) < 0)
			return -1;
		if (!is_redirect(reply->status))
			return 0;
		if (go_on(&url, reply, err) < 0)
			return -1;
	}
	return error_set(err, ERR_UNAVAILABLE, "more than %d redirects", MAX_REDIRECTS);
}

/* ---- authentication ---- */

static int answer_basic(struct endpoint *e, const char *refused, char **ret_header, struct error *err)
{
	char *header;

	if (!e->credentials.username)
		return error_set(err, ERR_UNAUTHENTICATED, "credentials are required");
	header = credentials_basic(&e->credentials);
	if (!header)
		return error_set(err, ERR_EXHAUSTED, "out of memory for credentials");
	if (refused && !strcmp(refused, header)) {
		secret_free(header);
		return error_set(err, ERR_UNAUTHENTICATED, "the credentials were refused");
	}
	*ret_header = header;
	return 0;
}

static int answer_bearer(struct endpoint *e, struct http *http, const struct wish *w, const struct session *s,
			 const struct challenge *challenge, struct http_reply *reply, char **ret_header, struct error *err)
{
	_cleanup_trust_ struct trust trust = { 0 };
	char scope[REFERENCE_MAX_NAME + 32];
	struct origin service;
	struct token_request request = {
		.challenge = challenge,
		.credentials = &e->credentials,
		.default_scope = scope,
		.dial_timeout_ms = e->host->dial_timeout_ms,
		.progress_timeout_ms = e->registry->options.progress_timeout_ms,
		.stop = w->stop,
	};

	(void)snprintf(scope, sizeof(scope), "repository:%s:pull", e->registry->path);
	if (token_service(challenge, s->origin.is_https, &service, err) < 0 || find_trust(e, &s->origin, &service, &trust, err) < 0)
		return -1;
	request.tls = trust.tls;
	request.tls_is_own = trust.is_own;
	request.proxy = proxy_for(&service);
	return token_fetch(http, &request, reply, ret_header, err);
}

static int answer(struct endpoint *e, struct http *http, const struct wish *w, const struct session *s, struct http_reply *reply,
		  char **ret_header, struct error *err)
{
	_cleanup_challenge_ struct challenge challenge = { 0 };

	if (e->credentials.registry_token)
		return error_set(err, ERR_UNAUTHENTICATED, "the registry token was refused");
	if (challenge_parse(reply->challenge.data ? reply->challenge.data : "", &challenge, err) < 0)
		return -1;
	switch (challenge.scheme) {
	case CHALLENGE_BASIC:
		return answer_basic(e, s->authorization, ret_header, err);
	case CHALLENGE_BEARER:
		return answer_bearer(e, http, w, s, &challenge, reply, ret_header, err);
	case CHALLENGE_NONE:
	default:
		return error_set(err, ERR_UNAUTHENTICATED, "the registry asks for a kind of credentials that nobody knows");
	}
}

/* After a 401. Another thread may have got a new token since this request took its copy: then that is the answer. */
static int authenticate_locked(struct endpoint *e, struct http *http, const struct wish *w, const struct session *s,
			       struct http_reply *reply, struct error *err)
{
	char *header = NULL;
	bool is_newer;

	(void)pthread_mutex_lock(&e->lock);
	is_newer = e->authorization && (!s->authorization || strcmp(e->authorization, s->authorization) != 0);
	(void)pthread_mutex_unlock(&e->lock);
	if (is_newer)
		return 0;
	if (answer(e, http, w, s, reply, &header, err) < 0)
		return -1;
	(void)pthread_mutex_lock(&e->lock);
	secret_free(e->authorization);
	e->authorization = header;
	(void)pthread_mutex_unlock(&e->lock);
	return 0;
}

static int authenticate(struct endpoint *e, struct http *http, const struct wish *w, const struct session *s,
			struct http_reply *reply, struct error *err)
{
	int result;

	(void)pthread_mutex_lock(&e->auth_lock);
	result = authenticate_locked(e, http, w, s, reply, err);
	(void)pthread_mutex_unlock(&e->auth_lock);
	return result;
}

/* ---- one try ---- */

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
	case 416:
		return error_set(err, ERR_DATA_LOSS, "the content changed: it ends before the byte where the transfer broke");
	default:
		reply->may_retry = reply->status == 408 || reply->status == 429 || reply->status >= 500;
		return error_set(err, reply->may_retry ? ERR_UNAVAILABLE : ERR_INTERNAL, "it answered %ld%s", reply->status,
				 message);
	}
}

/* Without one digest of ours, "sha512:..." for example, the header says nothing that we could compare. */
static int check_digest(const struct wish *w, const struct http_reply *reply, struct error *err)
{
	const char *said =
		reply->digest.data && !strncmp(reply->digest.data, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) ? reply->digest.data : "";
	char digest[DIGEST_TEXT_SIZE];

	if (digest_of(w->whole->data ? w->whole->data : "", w->whole->len, digest, err) < 0)
		return -1;
	if (*w->digest && strcmp(digest, w->digest) != 0)
		return error_set(err, ERR_DATA_LOSS, "%s turned out to be %s", w->digest, digest);
	if (*said && strcmp(digest, said) != 0)
		return error_set(err, ERR_DATA_LOSS, "it says that the content is %.80s, and sent %s", said, digest);
	return 0;
}

static int check_content(struct wish *w, struct http_reply *reply, struct error *err)
{
	if (w->whole)
		return check_digest(w, reply, err);
	if (w->received == w->max_bytes)
		return 0;
	return error_set(err, ERR_DATA_LOSS, "it ends after %llu of %llu bytes", (unsigned long long)w->received,
			 (unsigned long long)w->max_bytes);
}

static int attempt_with(struct endpoint *e, struct http *http, struct wish *w, struct session *s, struct http_reply *reply,
			struct error *err)
{
	if (take_session(e, s, err) < 0 || follow(e, http, w, s, reply, err) < 0)
		return -1;
	/* Only the host itself may ask for credentials: who answers to a redirect could name a token service of its own. */
	if (reply->status == 401 && !s->answered_elsewhere) {
		if (authenticate(e, http, w, s, reply, err) < 0)
			return -1;
		secret_free(s->authorization);
		if (take_session(e, s, err) < 0 || follow(e, http, w, s, reply, err) < 0)
			return -1;
	}
	if (check_status(reply, err) < 0)
		return s->answered_elsewhere ? error_prefix(err, "where it redirected to") : -1;
	return check_content(w, reply, err);
}

int endpoint_attempt(struct endpoint *e, struct http *http, struct wish *w, struct http_reply *reply, struct error *err)
{
	struct session s = { 0 };
	int result;

	if (w->whole) {
		buffer_clear(w->whole);
		w->received = 0;
	}
	result = attempt_with(e, http, w, &s, reply, err);
	w->reply = NULL;
	secret_free(s.authorization);
	return result;
}
