/*
 * Names of images: [HOST[:PORT]/]PATH[:TAG][@DIGEST], in the grammar and with the short names that every client of the field
 * writes (OCI distribution-spec, "Pulling manifests"; the default registry docker.io and its library/ are convention).
 *
 *     busybox                  docker.io/library/busybox:latest
 *     me/app:1                 docker.io/me/app:1
 *     localhost/app            localhost/app:latest
 *     LOCALDOMAIN/app          LOCALDOMAIN/app:latest (capital letters make a host, dots and colons as well)
 *     [::1]:5000/app@sha256:…  as it is
 */
#ifndef MONOPOD_IMAGE_REFERENCE_H
#define MONOPOD_IMAGE_REFERENCE_H

#include <stdbool.h>

#include "base/error.h"
#include "image/digest.h"

#define REFERENCE_MAX_TAG 128  /* distribution-spec: <reference> as a tag */
#define REFERENCE_MAX_NAME 255 /* path, the limit that registries themselves apply; and host, longer than any in DNS */

struct reference {
	char host[REFERENCE_MAX_NAME +
		  1]; /* "docker.io", "localhost:5000", "[::1]:5000": as it was written, since it is part of the name */
	char path[REFERENCE_MAX_NAME + 1]; /* "library/busybox" */
	char tag[REFERENCE_MAX_TAG + 1];   /* "" when only a digest was written */
	char digest[DIGEST_TEXT_SIZE];     /* "" when there is none */
};

/* Parses and completes. Without tag and digest the tag is "latest". ERR_INVALID says what is wrong with the spelling. */
int reference_parse(const char *text, struct reference *ret_ref, struct error *err);

/* Longest text of the functions below, with its NUL. */
#define REFERENCE_TEXT_SIZE (2 * REFERENCE_MAX_NAME + REFERENCE_MAX_TAG + DIGEST_TEXT_SIZE + 8)

/* "HOST/PATH:TAG", "HOST/PATH@DIGEST", and the full spelling with whatever of the two is set. */
void reference_format_tag(const struct reference *ref, char text[REFERENCE_TEXT_SIZE]);
void reference_format_digest(const struct reference *ref, const char *digest, char text[REFERENCE_TEXT_SIZE]);
void reference_format(const struct reference *ref, char text[REFERENCE_TEXT_SIZE]);

/* The host without its port, without brackets: "localhost:5000" is "localhost", "[::1]:5000" is "::1". */
void reference_hostname(const char *host, char hostname[REFERENCE_MAX_NAME + 1]);

/* True for localhost, 127.0.0.0/8 and ::1, with or without a port. */
bool reference_host_is_loopback(const char *host);

#endif
