#include "net/cni_plugin.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/utf8.h"
#include "net/cni_result.h"

/* Well-known error codes (SPEC.md, "Error"). */
enum {
	CODE_TRY_AGAIN_LATER = 11,
	CODE_NOT_AVAILABLE = 50,              /* STATUS: no ADD can be served */
	CODE_NOT_AVAILABLE_FOR_EXISTING = 51, /* ... and what is attached may not work either */
};

/* ---- where it is ---- */

static bool is_executable(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0;
}

int cni_plugin_find(const char *path, const char *type, char **ret_file, struct error *err)
{
	for (const char *dir = path; *dir;) {
		size_t len = strcspn(dir, ":");
		char file[PATH_MAX];
		int n = snprintf(file, sizeof(file), "%.*s/%s", (int)len, dir, type);

		if (len > 0 && n < (int)sizeof(file) && is_executable(file)) {
			*ret_file = strdup(file);
			return *ret_file ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
		}
		dir += len + (dir[len] == ':');
	}
	return error_set(err, ERR_NOT_FOUND, "no such executable in %s", path);
}

/* ---- what it is told ---- */

static bool is_ours(const char *variable)
{
	static const char *const names[] = { "CNI_", "NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strncmp(variable, names[i], strlen(names[i])))
			return true;
	}
	return false;
}

/* Ours, since plugins rely on PATH, proxies and the like, without what says something about us. */
static const char *const *make_environment(const struct cni_call *call, struct arena *arena)
{
	const struct {
		const char *name, *value;
	} variables[] = {
		{ "CNI_COMMAND", call->command },  { "CNI_CONTAINERID", call->container_id },
		{ "CNI_NETNS", call->netns_path }, { "CNI_IFNAME", call->interface },
		{ "CNI_ARGS", call->args },        { "CNI_PATH", call->path },
	};
	size_t n = 0, max = ARRAY_SIZE(variables) + 1;
	const char **list;

	for (char **v = environ; *v; v++)
		max++;
	list = arena_new_array(arena, const char *, max);
	for (size_t i = 0; list && i < ARRAY_SIZE(variables); i++)
		list[n++] = arena_printf(arena, "%s=%s", variables[i].name, variables[i].value);
	for (char **v = environ; list && *v; v++) {
		if (!is_ours(*v))
			list[n++] = *v;
	}
	return list;
}

/* Replaces member `key`; takes `value`. False when memory is out. */
static bool put(cJSON *object, const char *key, cJSON *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	if (value && cJSON_AddItemToObject(object, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

/* Of what the runtime has to say, that which the plugin has declared to understand. */
static bool put_runtime_config(cJSON *conf, const cJSON *args)
{
	const cJSON *capabilities = cJSON_GetObjectItemCaseSensitive(conf, "capabilities"), *capability;
	cJSON *chosen = cJSON_CreateObject();

	cJSON_ArrayForEach(capability, capabilities)
	{
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(args, capability->string);

		if (chosen && cJSON_IsTrue(capability) && value && !put(chosen, capability->string, cJSON_Duplicate(value, true))) {
			cJSON_Delete(chosen);
			return false;
		}
	}
	if (chosen && chosen->child)
		return put(conf, "runtimeConfig", chosen);
	cJSON_Delete(chosen);
	return chosen != NULL;
}

/* The text for its standard input; NULL when memory is out. */
static char *make_input(const struct cni_list *list, size_t index, const struct cni_call *call, const cJSON *previous)
{
	_cleanup_json_ cJSON *conf = cJSON_Duplicate(list->plugins[index].conf, true);

	if (!conf || !put(conf, "cniVersion", cJSON_CreateString(list->version_text)) ||
	    !put(conf, "name", cJSON_CreateString(list->name)))
		return NULL;
	if (previous && !put(conf, "prevResult", cJSON_Duplicate(previous, true)))
		return NULL;
	if (call->attachments && !put(conf, "cni.dev/valid-attachments", cJSON_Duplicate(call->attachments, true)))
		return NULL;
	if (call->capability_args && !put_runtime_config(conf, call->capability_args))
		return NULL;
	return cJSON_PrintUnformatted(conf);
}

/* ---- what it says ---- */

static enum error_code error_code_of(const cJSON *code)
{
	switch (cJSON_IsNumber(code) ? code->valueint : 0) {
	case CODE_TRY_AGAIN_LATER:
	case CODE_NOT_AVAILABLE:
	case CODE_NOT_AVAILABLE_FOR_EXISTING:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

static int explain_failure(const struct program_end *end, const struct buffer *output, struct error *err)
{
	_cleanup_json_ cJSON *answer = NULL;
	struct error ignored;
	const char *message, *details;

	if (json_parse_object(output->data, output->len, NULL, &answer, &ignored) == 0) {
		const cJSON *code = cJSON_GetObjectItemCaseSensitive(answer, "code");

		message = json_string(answer, "msg");
		details = json_string(answer, "details");
		if (message)
			return error_set(err, error_code_of(code), "%s%s%s", message, details && *details ? "; " : "",
					 details ? details : "");
	}
	if (end->signal)
		return error_set(err, ERR_INTERNAL, "killed by signal %d%s%s", end->signal, *end->words ? ": " : "", end->words);
	return error_set(err, ERR_INTERNAL, "exit code %d%s%s", end->code, *end->words ? ": " : ", without a word", end->words);
}

/* ---- the execution ---- */

/* What it says goes into answers to clients and onto terminals. */
static int fail_tidily(struct error *err)
{
	utf8_tidy(err->text);
	return -1;
}

static int time_left(const struct cni_call *call, unsigned *ret_ms, struct error *err)
{
	int64_t left_us = call->deadline_us - clock_monotonic_us();

	if (left_us <= 0)
		return error_set(err, ERR_DEADLINE, "no time is left for it");
	*ret_ms = (unsigned)((left_us + 999) / 1000);
	return 0;
}

static int execute(const char *file, const char *input, const struct cni_call *call, struct arena *arena, struct buffer *output,
		   struct error *err)
{
	struct program program = {
		.path = file,
		.envp = make_environment(call, arena),
		.input = input,
		.input_len = strlen(input),
		.output = output,
	};
	struct program_end end;

	if (arena_failed(arena))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (time_left(call, &program.timeout_ms, err) < 0 || program_run(&program, &end, err) < 0)
		return -1;
	if (end.code != 0) {
		(void)explain_failure(&end, output, err);
		return fail_tidily(err);
	}
	if (*end.words)
		log_debug("net", "%s, %s of %.12s: %s", file, call->command, call->container_id, end.words);
	return 0;
}

static int run(const struct cni_list *list, size_t index, const struct cni_call *call, const cJSON *previous, cJSON **ret_result,
	       struct error *err)
{
	_cleanup_free_
	char *file = NULL;
	_cleanup_free_
	char *input = make_input(list, index, call, previous);
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	_cleanup_buffer_ struct buffer output = BUFFER_INIT(CNI_RESULT_MAX_BYTES);

	if (!input)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (cni_plugin_find(call->path, list->plugins[index].type, &file, err) < 0 ||
	    execute(file, input, call, &arena, &output, err) < 0)
		return -1;
	return ret_result ? cni_result_parse(output.data, output.len, list->version, ret_result, err) : 0;
}

int cni_plugin_run(const struct cni_list *list, size_t index, const struct cni_call *call, const cJSON *previous,
		   cJSON **ret_result, struct error *err)
{
	if (run(list, index, call, previous, ret_result, err) == 0)
		return 0;
	return error_prefix(err, "plugin %s, %s", list->plugins[index].type, call->command);
}
