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
#include "image/origin.h"

struct credentials {
	char *username, *password; /* both or neither */
	char *identity_token;
	char *registry_token;
};

/* Takes what applies to `target`: with a server_address of another registry, nothing. ERR_INVALID for an `auth` that is not base64 of
 * USER:PASSWORD, and for tokens that cannot stand in a header. */
int credentials_init(struct credentials *credentials, const struct image_auth *auth, const struct origin *target,
		     struct error *err);
void credentials_release(struct credentials *credentials);
bool credentials_are_set(const struct credentials *credentials);

/* Whether an address as configurations have it, HOST[:PORT] or a URL of which the path says nothing, is that of `target`. The default
 * registry has several names. What is bound to https is not for http. */
bool auth_address_is(const char *address, const struct origin *target);

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
