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
	const char *certs_dir;     /* certs.d */
	bool need_https;           /* the registry was asked over https */
	int64_t progress_timeout_ms;
	const atomic_bool *stop;
};

/* *ret_header is "Bearer TOKEN"; free with secret_free(). On failure `reply` says whether trying again makes sense. */
int token_fetch(struct http *http, const struct token_request *request, struct http_reply *reply, char **ret_header,
		struct error *err);

/* "Bearer TOKEN" of a token that passed token_is_valid(); NULL when memory is out. */
char *token_header(const char *token);

#endif
