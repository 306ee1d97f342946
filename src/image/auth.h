/*
 * Who we are to a registry. No function here does I/O.
 *
 * Secrets live in struct credentials and are wiped when it is released; nothing prints them.
 */
#ifndef MONOPOD_IMAGE_AUTH_H
#define MONOPOD_IMAGE_AUTH_H

#include <stdbool.h>

#include "base/error.h"
#include "image/image.h"

struct credentials {
	char *username, *password; /* both or neither */
	char *identity_token;
	char *registry_token;
};

/* Takes what applies to `host`: with a server_address of another registry, nothing. ERR_INVALID for an `auth` that is not base64 of
 * USER:PASSWORD, and for tokens that cannot stand in a header. */
int credentials_init(struct credentials *credentials, const struct image_auth *auth, const char *host, struct error *err);
void credentials_release(struct credentials *credentials);

/* "Basic BASE64"; NULL when memory is out. Free with secret_free(). */
char *credentials_basic(const struct credentials *credentials);

/* Wipes and frees. NULL is fine. */
void secret_free(char *secret);

/* A bearer token that may stand in a header: visible ASCII, not empty, at most HTTP_MAX_HEADER. */
bool token_is_valid(const char *token);

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope; /* "" when absent */
};

/* The value of WWW-Authenticate (RFC 9110, 11.6.1): of several challenges the bearer one, else the basic one. What cannot be read is
 * CHALLENGE_NONE; fails only when memory is out. */
int challenge_parse(const char *header, struct challenge *ret_challenge, struct error *err);
void challenge_release(struct challenge *challenge);
#define _cleanup_challenge_ __attribute__((cleanup(challenge_release)))

#endif
