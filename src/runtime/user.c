/*
 * Who a container runs as.
 *
 * The files come from the image, so they are read as hostile: opened inside the root without following a link out of it, only when
 * they are regular files (a fifo would hang, a device could do anything), streamed through one buffer, line by line, up to 1 MiB
 * (CVE-2026-47262). Lines that are too long or malformed are skipped, as getpwent(3) does.
 */
#include "runtime/user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "runtime/user_db.h"

/* More groups than any real user has (arbitrary); the kernel would take 65536. */
#define GROUPS_MAX 1024

/* The halves of "user:group". */
#define NAME_SIZE 256

struct spelling {
	char user[NAME_SIZE], group[NAME_SIZE];
	bool has_group;
};

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/* (uid_t)-1 is refused too: setresuid(2) takes it for "leave as it is". */
static int parse_id(const char *text, const char *what, uint32_t *ret_id, struct error *err)
{
	uint64_t value = 0;

	for (const char *p = text; *p; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value >= UINT32_MAX)
			return error_set(err, ERR_INVALID, "%s %.64s: does not fit 32 bits", what, text);
	}
	*ret_id = (uint32_t)value;
	return 0;
}

static int check_id(int64_t id, const char *what, struct error *err)
{
	if (id < 0 || id >= (int64_t)UINT32_MAX)
		return error_set(err, ERR_INVALID, "%s %" PRId64 ": does not fit 32 bits", what, id);
	return 0;
}

static bool has_control_byte(const char *text)
{
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return true;
	}
	return false;
}

static int split_image_user(const char *text, struct spelling *ret, struct error *err)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);

	if (strlen(text) >= NAME_SIZE || has_control_byte(text))
		return error_set(err, ERR_INVALID, "user of the image: malformed");
	memcpy(ret->user, text, len);
	ret->user[len] = '\0';
	ret->has_group = colon && colon[1];
	(void)snprintf(ret->group, sizeof(ret->group), "%s", colon ? colon + 1 : "");
	if (len == 0 && ret->has_group)
		return error_set(err, ERR_INVALID, "user '%s' of the image: a group without a user", text);
	return 0;
}

static int check_username(const char *name, struct error *err)
{
	if (strlen(name) >= NAME_SIZE || has_control_byte(name) || strchr(name, ':'))
		return error_set(err, ERR_INVALID, "run_as_username: malformed");
	if (is_number(name))
		return error_set(err, ERR_INVALID, "run_as_username %s: a number is not a name", name);
	return 0;
}

/* The request's own fields win over the image's user; each as the CRI's LinuxContainerSecurityContext says. */
static int read_request(const struct user_request *request, struct spelling *ret, struct error *err)
{
	bool named = request->username && *request->username;

	*ret = (struct spelling){ .has_group = request->has_gid };
	if (request->has_uid && named)
		return error_set(err, ERR_INVALID, "run_as_user and run_as_username are both set");
	if (request->has_gid && !request->has_uid && !named)
		return error_set(err, ERR_INVALID, "run_as_group is set without run_as_user or run_as_username");
	if (request->has_uid && check_id(request->uid, "run_as_user", err) < 0)
		return -1;
	if (request->has_gid && check_id(request->gid, "run_as_group", err) < 0)
		return -1;
	if (request->has_gid)
		(void)snprintf(ret->group, sizeof(ret->group), "%" PRId64, request->gid);
	if (request->has_uid)
		(void)snprintf(ret->user, sizeof(ret->user), "%" PRId64, request->uid);
	else if (named && check_username(request->username, err) < 0)
		return -1;
	else if (named)
		(void)snprintf(ret->user, sizeof(ret->user), "%s", request->username);
	else
		return split_image_user(request->image_user ? request->image_user : "", ret, err);
	return 0;
}

/* Group list under construction, in memory of the arena. */
struct group_list {
	gid_t *gids;
	size_t n;
};

static int add_group(struct group_list *list, gid_t gid, struct error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->gids[i] == gid)
			return 0;
	}
	if (list->n == GROUPS_MAX)
		return error_set(err, ERR_INVALID, "the user is in more than %d groups", GROUPS_MAX);
	list->gids[list->n++] = gid;
	return 0;
}

static char *sound_home(const char *home, struct arena *arena)
{
	bool sound = home[0] == '/' && !has_control_byte(home);

	return arena_strdup(arena, sound ? home : "/");
}

/* Looks the user up; *ret_name is its name when /etc/passwd has it, else "". */
static int find_user(int rootfs, const struct spelling *spelling, struct arena *arena, struct user *user, char *ret_name,
		     struct error *err)
{
	const char *wanted = *spelling->user ? spelling->user : "0";
	struct passwd_query query = { .by_uid = is_number(wanted), .name = wanted };
	struct passwd_match match = { 0 };

	if (query.by_uid && parse_id(wanted, "user", &query.uid, err) < 0)
		return -1;
	if (passwd_find(rootfs, &query, &match, err) < 0)
		return -1;
	if (!match.found && !query.by_uid)
		return error_set(err, ERR_INVALID, "user %s: the container's /etc/passwd has no such name", wanted);
	user->uid = match.found ? match.uid : query.uid;
	user->gid = match.found ? match.gid : 0;
	user->home = sound_home(match.found ? match.home : "/", arena);
	(void)snprintf(ret_name, USER_DB_NAME_SIZE, "%s", match.found ? match.name : "");
	return 0;
}

static int find_group(int rootfs, const struct spelling *spelling, gid_t *ret_gid, struct error *err)
{
	bool found = false;

	if (is_number(spelling->group))
		return parse_id(spelling->group, "group", ret_gid, err);
	if (group_find(rootfs, spelling->group, &found, ret_gid, err) < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_INVALID, "group %s: the container's /etc/group has no such name", spelling->group);
	return 0;
}

static int on_membership(gid_t gid, void *data, struct error *err)
{
	return add_group(data, gid, err);
}

/* The primary group, what /etc/group says unless the policy is Strict, and what the request adds. */
static int collect_groups(int rootfs, const struct user_request *request, const char *name, gid_t primary, struct group_list *list,
			  struct error *err)
{
	if (add_group(list, primary, err) < 0)
		return -1;
	if (!request->strict_groups && *name && group_memberships(rootfs, name, on_membership, list, err) < 0)
		return -1;
	for (size_t i = 0; i < request->n_supplemental; i++) {
		if (check_id(request->supplemental[i], "supplemental group", err) < 0)
			return -1;
		if (add_group(list, (gid_t)request->supplemental[i], err) < 0)
			return -1;
	}
	return 0;
}

int user_resolve(int rootfs, const struct user_request *request, struct arena *arena, struct user *ret_user, struct error *err)
{
	struct group_list groups = { .gids = arena_new_array(arena, gid_t, GROUPS_MAX) };
	char name[USER_DB_NAME_SIZE] = "";
	struct spelling spelling;
	struct user user = { 0 };

	if (!groups.gids)
		return error_sys(err, ENOMEM, "resolve user");
	if (read_request(request, &spelling, err) < 0)
		return -1;
	if (find_user(rootfs, &spelling, arena, &user, name, err) < 0)
		return -1;
	if (spelling.has_group && find_group(rootfs, &spelling, &user.gid, err) < 0)
		return -1;
	if (collect_groups(rootfs, request, name, user.gid, &groups, err) < 0)
		return -1;
	if (!user.home)
		return error_sys(err, ENOMEM, "resolve user");
	user.groups = groups.gids;
	user.n_groups = groups.n;
	*ret_user = user;
	return 0;
}
