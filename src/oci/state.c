#include "oci/state.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/member.h"

#define STATE_FILE "state.json"
#define STATE_BYTES_MAX ((size_t)1 << 20)

/* Hooks of another command may take long; a user who waits longer wants to know why (arbitrary). */
#define LOCK_TIMEOUT_MS 60000
#define LOCK_POLL_MS 5

int id_check(const char *id, struct error *err)
{
	size_t length = strlen(id);

	if (length == 0 || length > OCI_ID_MAX || !strcmp(id, ".") || !strcmp(id, ".."))
		return error_set(err, ERR_INVALID, "'%.300s' is no container name: 1 to %d bytes", id, OCI_ID_MAX);
	if (strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.") != length)
		return error_set(err, ERR_INVALID, "'%.300s' is no container name: letters, digits, _, +, - and . only", id);
	return 0;
}

/* Not a blocking flock(2): that has no deadline. */
static int lock(int dir, const char *id, struct error *err)
{
	for (int waited_ms = 0; flock(dir, LOCK_EX | LOCK_NB) < 0; waited_ms += LOCK_POLL_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_sys(err, errno, "lock container %s", id);
		if (waited_ms >= LOCK_TIMEOUT_MS)
			return error_set(err, ERR_DEADLINE, "container %s: another command holds it for more than %d s", id,
					 LOCK_TIMEOUT_MS / 1000);
		(void)poll(NULL, 0, LOCK_POLL_MS);
	}
	return 0;
}

/* False for a directory that was removed while we waited for it. */
static bool is_there(int dir)
{
	struct stat st;

	return fstat(dir, &st) == 0 && st.st_nlink > 0;
}

static const char *dir_path(const struct store *store)
{
	const char *path = arena_printf(store->arena, "%s/%s", store->root, store->id);

	return path ? path : "";
}

static const char *copy_text(struct store *store, const cJSON *json, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	return text ? arena_strdup(store->arena, text) : NULL;
}

static void copy_fixed(const cJSON *json, const char *key, char *to, size_t size)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	(void)snprintf(to, size, "%s", text ? text : "");
}

static void read_steps(struct store *store, const cJSON *json)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "steps"), *item;
	const char **steps = arena_new_array(store->arena, const char *, (size_t)cJSON_GetArraySize(list) + 1);
	size_t n = 0;

	cJSON_ArrayForEach(item, list)
	{
		if (steps && cJSON_IsString(item))
			steps[n++] = arena_strdup(store->arena, item->valuestring);
	}
	store->state.steps = steps;
	store->state.first_step = (unsigned)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, "firstStep"));
}

static uint64_t read_ticks(const cJSON *json)
{
	/* a string: a double has no room for 64 bits */
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "startTicks"));

	return text ? strtoull(text, NULL, 10) : 0;
}

static void read_annotations(struct store *store, const cJSON *json)
{
	const cJSON *annotations = cJSON_GetObjectItemCaseSensitive(json, "annotations");
	char *text = cJSON_IsObject(annotations) ? cJSON_PrintUnformatted(annotations) : NULL;

	if (text)
		store->state.annotations = arena_strdup(store->arena, text);
	cJSON_free(text);
}

static void take_over(struct store *store, const cJSON *json)
{
	struct container_state *state = &store->state;

	*state = (struct container_state){
		.id = store->id,
		.version = copy_text(store, json, "ociVersion"),
		.bundle = copy_text(store, json, "bundle"),
		.rootfs = copy_text(store, json, "rootfs"),
		.pid = (pid_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, "pid")),
		.start_ticks = read_ticks(json),
		.cgroup = copy_text(store, json, "cgroup"),
		.cgroup_topmost = copy_text(store, json, "cgroupTopmost"),
		.scope = copy_text(store, json, "scope"),
	};
	copy_fixed(json, "created", state->created, sizeof(state->created));
	copy_fixed(json, "bootId", state->boot_id, sizeof(state->boot_id));
	read_annotations(store, json);
	read_steps(store, json);
}

/* A missing file is what a `create` leaves that was killed at its beginning. */
static int read_state(struct store *store, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(STATE_BYTES_MAX);
	struct error cause = ERROR_INIT;
	cJSON *json;

	store->state = (struct container_state){ .id = store->id, .version = "", .bundle = "", .rootfs = "" };
	if (io_read_file(store->dir, STATE_FILE, &text, &cause) < 0) {
		if (cause.code == ERR_NOT_FOUND)
			return 0;
		*err = cause;
		return error_prefix(err, "container %s", store->id);
	}
	if (json_parse_object(text.data, text.len, STATE_FILE, &json, err) < 0)
		return error_prefix(err, "container %s", store->id);
	take_over(store, json);
	cJSON_Delete(json);
	return arena_failed(store->arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

int store_open(struct store *store, const char *root, const char *id, bool with_lock, struct error *err)
{
	if (id_check(id, err) < 0)
		return -1;
	store->root = root;
	store->id = id;
	store->dir = open(dir_path(store), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->dir < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "container '%s' does not exist", id);
	if (store->dir < 0)
		return error_sys(err, errno, "open container %s", id);
	if (with_lock && lock(store->dir, id, err) < 0)
		return -1;
	if (with_lock && !is_there(store->dir))
		return error_set(err, ERR_NOT_FOUND, "container '%s' does not exist", id);
	return read_state(store, err);
}

/* The directory exists: somebody's container, somebody's `create` under way, or what is left of one. */
static int look_at_existing(struct store *store, bool *ret_stale, struct error *err)
{
	store->dir = open(dir_path(store), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->dir < 0)
		return error_sys(err, errno, "open container %s", store->id);
	if (flock(store->dir, LOCK_EX | LOCK_NB) == 0 && is_there(store->dir) && read_state(store, err) == 0 &&
	    store->state.pid == 0) {
		*ret_stale = true;
		return 0;
	}
	*err = (struct error)ERROR_INIT;
	close_fd(&store->dir);
	return error_set(err, ERR_EXISTS, "container '%s' already exists", store->id);
}

static int make_dir(struct store *store, struct error *err)
{
	if (mkdir(dir_path(store), 0700) == 0)
		return 0;
	if (errno == ENOENT) {
		if (io_make_dirs(store->root, 0700, err) < 0)
			return error_prefix(err, "make %s", store->root);
		if (mkdir(dir_path(store), 0700) == 0)
			return 0;
	}
	return error_sys(err, errno, "make container %s", store->id);
}

int store_create(struct store *store, const char *root, const char *id, bool *ret_stale, struct error *err)
{
	*ret_stale = false;
	if (id_check(id, err) < 0)
		return -1;
	store->root = root;
	store->id = id;
	if (make_dir(store, err) < 0) {
		if (err->code != ERR_EXISTS)
			return -1;
		*err = (struct error)ERROR_INIT;
		return look_at_existing(store, ret_stale, err);
	}
	store->dir = open(dir_path(store), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->dir < 0)
		return error_sys(err, errno, "make container %s", id);
	if (lock(store->dir, id, err) < 0)
		return -1;
	/* somebody who creates the same one took our empty directory for a left one */
	return is_there(store->dir) ? 0 : error_set(err, ERR_EXISTS, "container '%s' is being created by another command", id);
}

void store_unlock(struct store *store)
{
	if (store->dir >= 0)
		(void)flock(store->dir, LOCK_UN);
}

void store_close(struct store *store)
{
	close_fd(&store->dir);
}

int store_remove(struct store *store, struct error *err)
{
	struct error ignored;

	/* the state goes last: without it the directory looks as if nothing had ever been made */
	(void)unlinkat(store->dir, "start.sock", 0);
	(void)unlinkat(store->dir, "config.json", 0);
	(void)unlinkat(store->dir, STATE_FILE, 0);
	ignored = (struct error)ERROR_INIT;
	if (rmdir(dir_path(store)) < 0 && errno != ENOENT && io_remove_tree(AT_FDCWD, dir_path(store), &ignored) < 0)
		return error_set(err, ignored.code, "remove container %s: %s", store->id, ignored.text);
	return 0;
}
