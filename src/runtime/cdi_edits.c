#include "runtime/cdi_edits.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"

static const char *const edit_members[] = { "env",    "deviceNodes", "netDevices",     "hooks",
					    "mounts", "intelRdt",    "additionalGids", NULL };

bool cdi_edits_are_empty(const cJSON *edits)
{
	for (size_t i = 0; edit_members[i]; i++) {
		const cJSON *member = cdi_member(edits, edit_members[i]);

		if (cJSON_IsObject(member) || cJSON_GetArraySize(member) > 0)
			return false;
	}
	return true;
}

/* A list with room for `more` more items; what was in it is copied. */
static void *grow(struct arena *arena, const void *items, size_t n, size_t more, size_t size, struct error *err)
{
	char *list;

	if (n + more > CDI_MAX_EDITS) {
		(void)error_set(err, ERR_INVALID, "more than %d edits of one kind", CDI_MAX_EDITS);
		return NULL;
	}
	list = arena_array(arena, n + more + 1, size);
	if (!list)
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
	else if (n > 0)
		memcpy(list, items, n * size);
	return list;
}

/* The tree of a file goes away before the edits do. */
static int copy_text(const cJSON *object, const char *name, bool needed, struct arena *arena, const char **ret_text,
		     struct error *err)
{
	const char *text;

	if (cdi_text(object, name, &text, err) < 0)
		return -1;
	if (needed && !*text)
		return error_set(err, ERR_INVALID, "%s: missing", name);
	*ret_text = arena_strdup(arena, text);
	return *ret_text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int check_path(const char *name, const char *path, struct error *err)
{
	if (*path && path[0] != '/')
		return error_set(err, ERR_INVALID, "%s: '%.128s' is not absolute", name, path);
	return strlen(path) < PATH_MAX ? 0 : error_set(err, ERR_INVALID, "%s: too long", name);
}

static int check_env(char *const *env, const char *name, struct error *err)
{
	for (size_t i = 0; env[i]; i++) {
		if (env[i][0] == '=' || !strchr(env[i], '='))
			return error_set(err, ERR_INVALID, "%s[%zu]: '%.64s' is not NAME=VALUE", name, i, env[i]);
	}
	return 0;
}

/* ---- env ---- */

static int append_env(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err)
{
	char **texts, **list;
	size_t n;

	if (cdi_texts(holder, "env", arena, &texts, &n, err) < 0 || check_env(texts, "env", err) < 0)
		return -1;
	list = grow(arena, edits->env, edits->n_env, n, sizeof(*list), err);
	if (!list)
		return -1;
	for (size_t i = 0; i < n; i++)
		list[edits->n_env + i] = texts[i];
	edits->env = list;
	edits->n_env += n;
	return 0;
}

/* ---- device nodes ---- */

static int read_numbers(const cJSON *item, struct cdi_node *node, struct error *err)
{
	int64_t mode, uid, gid;
	bool has;

	/* 12 and 20 bits: what dev_t holds in the kernel */
	if (cdi_number(item, "major", 0, 0xfff, &has, &node->major, err) < 0 ||
	    cdi_number(item, "minor", 0, 0xfffff, &has, &node->minor, err) < 0 ||
	    cdi_number(item, "fileMode", 0, 07777, &node->has_mode, &mode, err) < 0 ||
	    cdi_number(item, "uid", 0, UINT32_MAX - 1, &node->has_uid, &uid, err) < 0 ||
	    cdi_number(item, "gid", 0, UINT32_MAX - 1, &node->has_gid, &gid, err) < 0)
		return -1;
	node->mode = (mode_t)mode;
	node->uid = (uid_t)uid;
	node->gid = (gid_t)gid;
	return 0;
}

static int read_type(const cJSON *item, struct cdi_node *node, struct error *err)
{
	const char *type;

	if (cdi_text(item, "type", &type, err) < 0)
		return -1;
	if (strlen(type) > 1 || !strchr("bcup", *type))
		return error_set(err, ERR_INVALID, "type: '%.16s' is none of b, c, u, p", type);
	/* "u" is an unbuffered character device, which Linux does not tell from others */
	node->type = *type == 'u' ? 'c' : *type;
	return 0;
}

static int read_access(const cJSON *item, struct arena *arena, struct cdi_node *node, struct error *err)
{
	const char *access;

	if (copy_text(item, "permissions", false, arena, &access, err) < 0)
		return -1;
	node->access = !*access ? "rwm" : !strcmp(access, "none") ? "" : access;
	if (strlen(node->access) > 3 || node->access[strspn(node->access, "rwm")])
		return error_set(err, ERR_INVALID, "permissions: '%.16s' is not made of r, w, m", access);
	return 0;
}

static int read_node(const cJSON *item, struct arena *arena, struct cdi_node *node, struct error *err)
{
	static const char *const members[] = { "path",     "hostPath",    "type", "major", "minor",
					       "fileMode", "permissions", "uid",  "gid",   NULL };

	if (cdi_check_members(item, members, err) < 0 || copy_text(item, "path", true, arena, &node->path, err) < 0 ||
	    copy_text(item, "hostPath", false, arena, &node->host_path, err) < 0 || check_path("path", node->path, err) < 0 ||
	    check_path("hostPath", node->host_path, err) < 0)
		return -1;
	if (!*node->host_path)
		node->host_path = node->path;
	return read_type(item, node, err) < 0 || read_numbers(item, node, err) < 0 ? -1 : read_access(item, arena, node, err);
}

static int append_nodes(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err)
{
	const cJSON *list, *item;
	size_t i = 0;

	if (cdi_list(holder, "deviceNodes", &list, err) < 0)
		return -1;
	edits->nodes = grow(arena, edits->nodes, edits->n_nodes, (size_t)cJSON_GetArraySize(list), sizeof(*edits->nodes), err);
	if (!edits->nodes)
		return -1;
	cJSON_ArrayForEach(item, list)
	{
		if (read_node(item, arena, &edits->nodes[edits->n_nodes++], err) < 0)
			return error_prefix(err, "deviceNodes[%zu]", i);
		i++;
	}
	return 0;
}

/* ---- mounts ---- */

static int read_mount(const cJSON *item, struct arena *arena, struct cdi_mount *mount, struct error *err)
{
	static const char *const members[] = { "hostPath", "containerPath", "options", "type", NULL };
	size_t n;

	if (cdi_check_members(item, members, err) < 0 || copy_text(item, "hostPath", true, arena, &mount->host_path, err) < 0 ||
	    copy_text(item, "containerPath", true, arena, &mount->container_path, err) < 0 ||
	    copy_text(item, "type", false, arena, &mount->type, err) < 0 ||
	    check_path("containerPath", mount->container_path, err) < 0)
		return -1;
	return cdi_texts(item, "options", arena, &mount->options, &n, err);
}

static int append_mounts(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err)
{
	const cJSON *list, *item;
	size_t i = 0;

	if (cdi_list(holder, "mounts", &list, err) < 0)
		return -1;
	edits->mounts = grow(arena, edits->mounts, edits->n_mounts, (size_t)cJSON_GetArraySize(list), sizeof(*edits->mounts), err);
	if (!edits->mounts)
		return -1;
	cJSON_ArrayForEach(item, list)
	{
		if (read_mount(item, arena, &edits->mounts[edits->n_mounts++], err) < 0)
			return error_prefix(err, "mounts[%zu]", i);
		i++;
	}
	return 0;
}

/* ---- hooks ---- */

static int read_moment(const cJSON *item, enum cdi_moment *ret_moment, struct error *err)
{
	static const char *const names[] = {
		[CDI_PRESTART] = "prestart",
		[CDI_CREATE_RUNTIME] = "createRuntime",
		[CDI_CREATE_CONTAINER] = "createContainer",
		[CDI_START_CONTAINER] = "startContainer",
		[CDI_POSTSTART] = "poststart",
		[CDI_POSTSTOP] = "poststop",
	};
	const char *name;

	if (cdi_text(item, "hookName", &name, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name)) {
			*ret_moment = (enum cdi_moment)i;
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "hookName: unknown hook '%.32s'", name);
}

static int read_hook(const cJSON *item, struct arena *arena, struct cdi_hook *hook, struct error *err)
{
	static const char *const members[] = { "hookName", "path", "args", "env", "timeout", NULL };
	int64_t timeout_s;
	size_t n;
	bool has;

	if (cdi_check_members(item, members, err) < 0 || read_moment(item, &hook->moment, err) < 0 ||
	    copy_text(item, "path", true, arena, &hook->path, err) < 0 || check_path("path", hook->path, err) < 0 ||
	    cdi_texts(item, "args", arena, &hook->args, &n, err) < 0 || cdi_texts(item, "env", arena, &hook->env, &n, err) < 0 ||
	    check_env(hook->env, "env", err) < 0 || cdi_number(item, "timeout", 0, 24 * 3600, &has, &timeout_s, err) < 0)
		return -1;
	hook->timeout_s = (unsigned)timeout_s;
	return 0;
}

static int append_hooks(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err)
{
	const cJSON *list, *item;
	size_t i = 0;

	if (cdi_list(holder, "hooks", &list, err) < 0)
		return -1;
	edits->hooks = grow(arena, edits->hooks, edits->n_hooks, (size_t)cJSON_GetArraySize(list), sizeof(*edits->hooks), err);
	if (!edits->hooks)
		return -1;
	cJSON_ArrayForEach(item, list)
	{
		if (read_hook(item, arena, &edits->hooks[edits->n_hooks++], err) < 0)
			return error_prefix(err, "hooks[%zu]", i);
		i++;
	}
	return 0;
}

/* ---- groups ---- */

static int read_gid(const cJSON *item, gid_t *ret_gid)
{
	double number = cJSON_IsNumber(item) ? item->valuedouble : -1;
	unsigned long long parsed;
	char *end;

	if (cJSON_IsRaw(item)) {
		parsed = strtoull(item->valuestring, &end, 10);
		number = *item->valuestring >= '0' && *item->valuestring <= '9' && !*end ? (double)parsed : -1;
	}
	if (!(number >= 0) || number >= UINT32_MAX || (double)(uint32_t)number != number)
		return -1;
	*ret_gid = (gid_t)number;
	return 0;
}

static int append_gids(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err)
{
	const cJSON *list, *item;

	if (cdi_list(holder, "additionalGids", &list, err) < 0)
		return -1;
	edits->gids = grow(arena, edits->gids, edits->n_gids, (size_t)cJSON_GetArraySize(list), sizeof(*edits->gids), err);
	if (!edits->gids)
		return -1;
	cJSON_ArrayForEach(item, list)
	{
		gid_t gid;

		if (read_gid(item, &gid) < 0)
			return error_set(err, ERR_INVALID, "additionalGids: not a list of group ids");
		/* the group of root is never given away by a Spec */
		if (gid != 0)
			edits->gids[edits->n_gids++] = gid;
	}
	return 0;
}

int cdi_append_edits(const cJSON *holder, struct arena *arena, struct cdi_edits *edits, struct error *err)
{
	const cJSON *from = cdi_member(holder, "containerEdits");

	if (from && cdi_check_members(from, edit_members, err) < 0)
		return error_prefix(err, "containerEdits");
	if (cdi_member(from, "intelRdt"))
		edits->unsupported = "intelRdt";
	if (cJSON_GetArraySize(cdi_member(from, "netDevices")) > 0)
		edits->unsupported = "netDevices";
	if (append_env(from, arena, edits, err) < 0 || append_nodes(from, arena, edits, err) < 0 ||
	    append_mounts(from, arena, edits, err) < 0 || append_hooks(from, arena, edits, err) < 0 ||
	    append_gids(from, arena, edits, err) < 0)
		return error_prefix(err, "containerEdits");
	return 0;
}
