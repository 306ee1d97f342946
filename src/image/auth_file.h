/*
 * Credentials of the node: a file in the form of Docker's config.json, as containers-auth.json(5) reads it.
 *
 *     { "auths": { "HOST[:PORT][/PATH]": { "auth": "BASE64 OF USER:PASSWORD" }, ... } }
 *
 * Of several entries for a repository the one with the longest path counts. An entry may have username and password, identitytoken or
 * registrytoken instead. A key with a scheme ("https://index.docker.io/v1/") is that of the whole host.
 *
 * Programs that the file names (credsStore, credHelpers) are never run: an image must not be able to make a daemon of root execute
 * what some file in a home directory says. They are logged when they would have been asked.
 */
#ifndef MONOPOD_IMAGE_AUTH_FILE_H
#define MONOPOD_IMAGE_AUTH_FILE_H

#include "image/auth.h"

/* 8,000 registries (arbitrary). */
#define AUTH_FILE_MAX_BYTES ((size_t)1 << 20)

/* What `path` has for REPOSITORY ("library/busybox") at `target`; nothing is set when it has nothing. A file that does not exist is
 * logged. Read anew each time, so that a change needs no restart. */
int auth_file_find(const char *path, const struct origin *target, const char *repository, struct credentials *ret,
		   struct error *err);

#endif
