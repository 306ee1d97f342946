/* Bearer tokens: what a registry's token service gives for a challenge (Docker Registry v2 token authentication, and its OAuth2 form for
 * identity tokens). */
#ifndef MONOPOD_IMAGE_TOKEN_H
#define MONOPOD_IMAGE_TOKEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/auth.h"
#include "image/http.h"

struct token_request {
	const struct challenge *challenge;
	const struct credentials *credentials;
	const char *default_scope; /* when the challenge has none */
	const struct tls *tls;     /* as in struct http_call, as are the next four */
	bool tls_is_own;
	const char *proxy;
	int64_t dial_timeout_ms;
	int64_t progress_timeout_ms;
	const atomic_bool *stop;
};

/* Where the challenge sends us. ERR_DENIED when the registry was asked over https and this is not https. */
int token_service(const struct challenge *challenge, bool need_https, struct origin *ret_origin, struct error *err);

/* *ret_header is "Bearer TOKEN"; free with secret_free(). On failure `reply` says whether trying again makes sense. */
int token_fetch(struct http *http, const struct token_request *request, struct http_reply *reply, char **ret_header,
		struct error *err);

/* "Bearer TOKEN" of a token that passed token_is_valid(); NULL when memory is out. */
char *token_header(const char *token);

#endif
