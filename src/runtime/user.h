/*
 * Users and groups of an image: the spellings of USER and of the CRI's run_as_*, looked up in the container's own /etc/passwd and
 * /etc/group, which are read inside its root (no link leaves it) and up to 1 MiB.
 *
 * A string of digits is a number, never a name, and must fit 32 bits (CVE-2024-40635).
 */
#ifndef MONOPOD_RUNTIME_USER_H
#define MONOPOD_RUNTIME_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct user_request {
	const char *image_user; /* "", "user", "uid", "user:group", "uid:gid"; used when the two below are not set */
	bool has_uid, has_gid;
	int64_t uid, gid;
	const char *username;        /* run_as_username; "" when not set */
	const int64_t *supplemental; /* supplemental_groups */
	size_t n_supplemental;
	bool strict_groups; /* SupplementalGroupsPolicy Strict: leave out what /etc/group says */
};

struct user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* in the arena; without doubles, the primary group included once as others do */
	size_t n_groups;
	const char *home; /* "/" when unknown */
};

/*
 * `rootfs` is a descriptor of the container's root. Without a group given the primary one is the user's in /etc/passwd, 0 for a number
 * that is not there; the home directory likewise, or "/". Everything that is wrong in the request or in what the image says is
 * ERR_INVALID: unknown names, numbers beyond 4294967294, run_as_user together with run_as_username, run_as_group without either.
 */
int user_resolve(int rootfs, const struct user_request *request, struct arena *arena, struct user *ret_user, struct error *err);

#endif
