#include "image/token.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "image/origin.h"

/* Tokens of a few KiB, and what else a service says about them. */
#define MAX_ANSWER ((size_t)256 * 1024)

#define MAX_FORM ((size_t)64 * 1024)

char *token_header(const char *token)
{
	size_t size = sizeof("Bearer ") + strlen(token);
	char *header = malloc(size);

	if (header)
		(void)snprintf(header, size, "Bearer %s", token);
	return header;
}

/* "NAME=VALUE", percent-encoded, after a separator when there is something before it. Empty values are left out. */
static int add_field(struct buffer *form, const char *separator, const char *name, const char *value, struct error *err)
{
	char *escaped;
	int result;

	if (!value || !*value)
		return 0;
	escaped = curl_easy_escape(NULL, value, 0);
	if (!escaped)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a token request");
	result = buffer_printf(form, err, "%s%s=%s", separator, name, escaped);
	explicit_bzero(escaped, strlen(escaped));
	curl_free(escaped);
	return result;
}

static const char *scope_of(const struct token_request *request)
{
	return *request->challenge->scope ? request->challenge->scope : request->default_scope;
}

static int make_url(const struct token_request *request, struct buffer *url, struct error *err)
{
	const char *realm = request->challenge->realm;

	if (buffer_append_str(url, realm, err) < 0)
		return -1;
	if (add_field(url, strchr(realm, '?') ? "&" : "?", "scope", scope_of(request), err) < 0)
		return -1;
	if (add_field(url, "&", "service", request->challenge->service, err) < 0)
		return -1;
	return add_field(url, "&", "account", request->credentials->username, err);
}

/* RFC 6749, 6: the identity token is a refresh token. */
static int make_form(const struct token_request *request, struct buffer *form, struct error *err)
{
	if (buffer_append_str(form, "grant_type=refresh_token&client_id=monopod", err) < 0)
		return -1;
	if (add_field(form, "&", "service", request->challenge->service, err) < 0 ||
	    add_field(form, "&", "scope", scope_of(request), err) < 0)
		return -1;
	return add_field(form, "&", "refresh_token", request->credentials->identity_token, err);
}

static int append(void *arg, const void *data, size_t len, struct error *err)
{
	return buffer_append(arg, data, len, err);
}

static int check_status(const struct token_request *request, struct http_reply *reply, struct error *err)
{
	const char *realm = request->challenge->realm;

	if (reply->status == 200)
		return 0;
	reply->may_retry = reply->status == 429 || reply->status >= 500;
	if (reply->status == 401 || reply->status == 400)
		return error_set(err, ERR_UNAUTHENTICATED, "token service %.200s refused the credentials", realm);
	if (reply->status == 403)
		return error_set(err, ERR_DENIED, "token service %.200s denied access", realm);
	return error_set(err, reply->may_retry ? ERR_UNAVAILABLE : ERR_UNAUTHENTICATED, "token service %.200s answered %ld", realm,
			 reply->status);
}

static int read_answer(const struct buffer *answer, char **ret_header, struct error *err)
{
	_cleanup_json_ cJSON *json = NULL;
	const char *token;

	if (json_parse(answer->data ? answer->data : "", answer->len, "answer of the token service", &json, err) < 0)
		return -1;
	token = json_string(json, "token");
	if (!token || !*token)
		token = json_string(json, "access_token");
	if (!token || !token_is_valid(token))
		return error_set(err, ERR_UNAUTHENTICATED, "token service gave no token");
	*ret_header = token_header(token);
	return *ret_header ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for a token");
}

int token_service(const struct challenge *challenge, bool need_https, struct origin *ret_origin, struct error *err)
{
	if (origin_of(challenge->realm, ret_origin, err) < 0)
		return error_prefix(err, "token service");
	if (need_https && !ret_origin->is_https)
		return error_set(err, ERR_DENIED, "token service %.200s is not https, its registry is: no credentials for it",
				 challenge->realm);
	return 0;
}

static int ask(struct http *http, const struct token_request *request, struct http_call *call, struct http_reply *reply,
	       struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MAX_FORM);
	char *basic = NULL;
	int result;

	call->url = request->challenge->realm;
	if (request->credentials->identity_token) {
		if (make_form(request, &text, err) < 0)
			return -1;
		call->method = "POST";
		call->form = text.data;
	} else {
		if (make_url(request, &text, err) < 0)
			return -1;
		call->url = text.data;
		if (request->credentials->username && !(basic = credentials_basic(request->credentials)))
			return error_set(err, ERR_EXHAUSTED, "out of memory for credentials");
		call->authorization = basic;
	}
	result = http_perform(http, call, reply, err);
	secret_free(basic);
	explicit_bzero(text.data, text.len);
	return result < 0 ? error_prefix(err, "token service %.200s", request->challenge->realm)
			  : check_status(request, reply, err);
}

int token_fetch(struct http *http, const struct token_request *request, struct http_reply *reply, char **ret_header,
		struct error *err)
{
	_cleanup_buffer_ struct buffer answer = BUFFER_INIT(MAX_ANSWER);
	struct http_call call = {
		.method = "GET",
		.tls = request->tls,
		.tls_is_own = request->tls_is_own,
		.proxy = request->proxy,
		.dial_timeout_ms = request->dial_timeout_ms,
		.progress_timeout_ms = request->progress_timeout_ms,
		.stop = request->stop,
		.sink = append,
		.sink_arg = &answer,
	};
	int result;

	result = ask(http, request, &call, reply, err);
	if (result == 0)
		result = read_answer(&answer, ret_header, err);
	if (answer.data)
		explicit_bzero(answer.data, answer.len);
	return result;
}
