/*
 * One exchange with a registry, from the inside out: send_to() adds what the target may know of us, follow() goes along redirects,
 * attempt() answers a challenge once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/json.h"
#include "image/registry_impl.h"
#include "image/tls.h"
#include "image/token.h"

/* Registries hand blobs over to storage services in one hop, sometimes two. */
#define MAX_REDIRECTS 5

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

int registry_attempt(struct registry *r, struct http *http, struct wish *w, struct http_reply *reply, struct error *err)
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
