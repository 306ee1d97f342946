/*
 * /etc/passwd and /etc/group of an image, read as a stream (passwd(5), group(5)). Internal to src/runtime.
 *
 * `rootfs` is a descriptor of the container's root. A missing file, or one that is not a regular file, is an empty one.
 */
#ifndef MONOPOD_RUNTIME_USER_DB_H
#define MONOPOD_RUNTIME_USER_DB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* What is read of a file, and the longest line that counts: a group line with some 400 members (arbitrary). */
#define USER_DB_FILE_BYTES (1024 * 1024)
#define USER_DB_LINE_SIZE 4096

/* Names and home directories longer than these do not count as such. */
#define USER_DB_NAME_SIZE 256
#define USER_DB_HOME_SIZE 1024

struct passwd_query {
	bool by_uid;
	uint32_t uid;
	const char *name;
};

struct passwd_match {
	bool found;
	uint32_t uid, gid;
	char name[USER_DB_NAME_SIZE];
	char home[USER_DB_HOME_SIZE];
};

/* The first entry that fits. */
int passwd_find(int rootfs, const struct passwd_query *query, struct passwd_match *ret_match, struct error *err);

int group_find(int rootfs, const char *name, bool *ret_found, gid_t *ret_gid, struct error *err);

/* Calls `visit` for every group that lists `user` as a member; a negative result ends it. */
typedef int membership_visit(gid_t gid, void *data, struct error *err);
int group_memberships(int rootfs, const char *user, membership_visit *visit, void *data, struct error *err);

#endif
