/* The state as JSON, for ourselves and for others, and what is true of a process. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "oci/state.h"

const char *status_name(enum container_status status)
{
	static const char *const names[] = { "creating", "created", "running", "paused", "stopped" };

	return names[status];
}

int state_open_process(const struct container_state *state, struct error *err)
{
	char boot_id[BOOT_ID_SIZE];

	/* a number of a former boot says nothing */
	if (state->boot_id[0] && (boot_id_read(boot_id, err) < 0 || strcmp(boot_id, state->boot_id) != 0))
		return error_set(err, ERR_NOT_FOUND, "process %d was of a former boot", state->pid);
	return process_open(state->pid, state->start_ticks, err);
}

/* A zombie has a pid and a start time and is over all the same. */
static bool has_ended(pid_t pid)
{
	_cleanup_buffer_ struct buffer stat = BUFFER_INIT(2048);
	struct error ignored = ERROR_INIT;
	char path[32];
	const char *end;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (io_read_file(AT_FDCWD, path, &stat, &ignored) < 0)
		return true;
	end = stat.data ? strrchr(stat.data, ')') : NULL;
	return !end || !end[1] || end[2] == 'Z' || end[2] == 'X';
}

/* The link of an executable that lives in memory has the name it was made with (spawner_thread.c). */
static bool is_interpreter(pid_t pid)
{
	char path[32], target[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return !strncmp(target, "/memfd:monopod-init", strlen("/memfd:monopod-init"));
}

enum container_status state_status(const struct container_state *state)
{
	struct error ignored = ERROR_INIT;
	_cleanup_fd_ int pidfd = -1;

	if (state->pid == 0)
		return STATUS_CREATING;
	pidfd = state_open_process(state, &ignored);
	if (pidfd < 0 || has_ended(state->pid))
		return STATUS_STOPPED;
	return is_interpreter(state->pid) ? STATUS_CREATED : STATUS_RUNNING;
}

static bool add_steps(cJSON *json, const struct container_state *state)
{
	cJSON *list = cJSON_AddArrayToObject(json, "steps");

	for (const char *const *step = state->steps; list && step && *step; step++) {
		if (!cJSON_AddItemToArray(list, cJSON_CreateString(*step)))
			return false;
	}
	return list && cJSON_AddNumberToObject(json, "firstStep", state->first_step);
}

static bool add_ours(cJSON *json, const struct container_state *state)
{
	char ticks[24];

	(void)snprintf(ticks, sizeof(ticks), "%" PRIu64, state->start_ticks);
	if (state->cgroup && !cJSON_AddStringToObject(json, "cgroup", state->cgroup))
		return false;
	if (state->cgroup_topmost && !cJSON_AddStringToObject(json, "cgroupTopmost", state->cgroup_topmost))
		return false;
	if (state->scope && !cJSON_AddStringToObject(json, "scope", state->scope))
		return false;
	return cJSON_AddStringToObject(json, "startTicks", ticks) && cJSON_AddStringToObject(json, "bootId", state->boot_id) &&
	       add_steps(json, state);
}

static bool add_annotations(cJSON *json, const char *annotations)
{
	return !annotations || cJSON_AddRawToObject(json, "annotations", annotations) != NULL;
}

static bool add_common(cJSON *json, const struct container_state *state)
{
	return cJSON_AddStringToObject(json, "ociVersion", state->version ? state->version : "") &&
	       cJSON_AddStringToObject(json, "id", state->id) &&
	       cJSON_AddStringToObject(json, "bundle", state->bundle ? state->bundle : "") &&
	       add_annotations(json, state->annotations);
}

static bool add_extended(cJSON *json, const struct container_state *state)
{
	return cJSON_AddStringToObject(json, "rootfs", state->rootfs ? state->rootfs : "") &&
	       cJSON_AddStringToObject(json, "created", state->created) && cJSON_AddStringToObject(json, "owner", "root");
}

static int append(cJSON *json, bool good, bool indent, struct buffer *b, struct error *err)
{
	char *text = good ? (indent ? cJSON_Print(json) : cJSON_PrintUnformatted(json)) : NULL;
	int result = text ? buffer_append_str(b, text, err) : error_set(err, ERR_EXHAUSTED, "out of memory");

	cJSON_free(text);
	cJSON_Delete(json);
	return result;
}

int state_print(const struct container_state *state, enum container_status status, bool extended, struct buffer *b,
		struct error *err)
{
	cJSON *json = cJSON_CreateObject();
	bool good = json && add_common(json, state) && cJSON_AddStringToObject(json, "status", status_name(status));

	/* 0 for a stopped one: other runtimes do so, and readers of theirs unmarshal a number */
	good = good && cJSON_AddNumberToObject(json, "pid", status == STATUS_STOPPED ? 0 : state->pid);
	if (extended)
		good = good && add_extended(json, state);
	return append(json, good, extended, b, err);
}

int store_write(struct store *store, struct error *err)
{
	const struct container_state *state = &store->state;
	_cleanup_buffer_ struct buffer text = BUFFER_INIT((size_t)1 << 20);
	cJSON *json = cJSON_CreateObject();
	bool good = json && add_common(json, state) && add_extended(json, state) && add_ours(json, state) &&
		    cJSON_AddNumberToObject(json, "pid", state->pid);

	if (append(json, good, false, &text, err) < 0 ||
	    io_replace_file(store->dir, "state.json", text.data, text.len, 0600, err) < 0)
		return error_prefix(err, "write state of container %s", store->id);
	return 0;
}
