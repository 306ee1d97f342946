#include "oci/config.h"

#include <string.h>

#include "base/json.h"

/* Moments by their member's name. Which of them are over is said by the enum. */
static const char *const moments[HOOK_MOMENTS] = { "prestart",       "createRuntime", "createContainer",
						   "startContainer", "poststart",     "poststop" };

/* No honest configuration has more for one moment (arbitrary). */
#define HOOKS_MAX 64

static int on_hook(const struct place *place, size_t index, void *data, struct error *err)
{
	struct hook_list *list = data;
	struct hook_spec *hook = &list->hooks[index];
	int64_t timeout_s = 0;

	if (member_text(place, "path", &hook->path, err) < 0 || member_texts(place, "args", &hook->argv, err) < 0 ||
	    member_texts(place, "env", &hook->envp, err) < 0 ||
	    member_number(place, "timeout", 1, INT32_MAX / 1000, &timeout_s, err) < 0)
		return -1;
	if (!hook->path || hook->path[0] != '/')
		return error_set(err, ERR_INVALID, "%s.path is not an absolute path", place->name);
	if (hook->argv && !hook->argv[0])
		hook->argv = NULL;
	hook->timeout_ms = (unsigned)timeout_s * 1000;
	list->n++;
	return 0;
}

int hooks_parse(const struct place *place, struct config *config, struct error *err)
{
	for (size_t i = 0; i < HOOK_MOMENTS; i++) {
		size_t n = member_count(place, moments[i]);

		if (n > HOOKS_MAX)
			return error_set(err, ERR_EXHAUSTED, "%s.%s has %zu entries, limit %d", place->name, moments[i], n,
					 HOOKS_MAX);
		config->hooks[i].hooks = arena_new_array(&config->arena, struct hook_spec, n + 1);
		if (!config->hooks[i].hooks)
			return error_set(err, ERR_EXHAUSTED, "out of memory");
		if (member_objects(place, moments[i], on_hook, &config->hooks[i], err) < 0)
			return -1;
	}
	return 0;
}

unsigned hooks_time_ms(const struct config *config)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < HOOK_MOMENTS; i++) {
		for (size_t j = 0; j < config->hooks[i].n; j++) {
			unsigned own = config->hooks[i].hooks[j].timeout_ms;

			sum += own ? own : HOOK_TIMEOUT_MS;
		}
	}
	return sum > INT32_MAX / 2 ? INT32_MAX / 2 : (unsigned)sum;
}

/* "1.0.2-dev" and the like: the major number is what a document may depend on (config.md, "Specification version"). */
static int check_version(const char *version, struct error *err)
{
	size_t digits = version ? strspn(version, "0123456789") : 0;

	if (digits == 0 || version[digits] != '.')
		return error_set(err, ERR_INVALID, "ociVersion '%.64s' is not a version", version ? version : "");
	if (digits != 1 || version[0] != '1')
		return error_set(err, ERR_INVALID, "ociVersion %.64s: this runtime speaks %s to %s", version, OCI_VERSION_MIN,
				 OCI_VERSION);
	return 0;
}

static int check_annotations(const struct place *root, struct config *config, struct error *err)
{
	struct place place;
	const cJSON *item;

	if (member_object(root, "annotations", &place, err) < 0)
		return -1;
	cJSON_ArrayForEach(item, place.object)
	{
		if (!cJSON_IsString(item))
			return error_set(err, ERR_INVALID, "annotations.%.64s is not a string", item->string);
	}
	config->annotations = place.object;
	return 0;
}

static int parse_root(const struct place *root, struct config *config, struct error *err)
{
	struct place place;

	if (member_object(root, "root", &place, err) < 0 || member_text(&place, "path", &config->root, err) < 0 ||
	    member_flag(&place, "readonly", &config->readonly_root, err) < 0)
		return -1;
	if (!config->root || !*config->root)
		return error_set(err, ERR_INVALID, "root.path is missing");
	return 0;
}

/* Other platforms' parts: a document that has one is not for Linux. */
static const struct refused_member foreign[] = {
	{ "windows", "this is Linux" }, { "solaris", "this is Linux" }, { "vm", "not supported: there is no virtual machine here" },
	{ "zos", "this is Linux" },     { "freebsd", "this is Linux" }, { NULL, NULL },
};

static int parse_document(const struct place *root, struct config *config, struct error *err)
{
	static const char *const no_env[] = { NULL };
	struct place process, linux_place, hooks;

	if (member_text(root, "ociVersion", &config->version, err) < 0 || check_version(config->version, err) < 0 ||
	    member_refuse(root, foreign, err) < 0 || parse_root(root, config, err) < 0)
		return -1;
	if (member_text(root, "hostname", &config->hostname, err) < 0 ||
	    member_text(root, "domainname", &config->domainname, err) < 0 || check_annotations(root, config, err) < 0 ||
	    mounts_parse(root, config, err) < 0)
		return -1;
	if (member_object(root, "process", &process, err) < 0 || member_object(root, "linux", &linux_place, err) < 0 ||
	    member_object(root, "hooks", &hooks, err) < 0)
		return -1;
	config->has_process = process.object != NULL;
	config->process = (struct process_config){ .env = no_env, .cwd = "/" };
	if (config->has_process && process_parse(&process, &config->process, err) < 0)
		return -1;
	if (linux_parse(&linux_place, config, err) < 0 || mounts_check(config, err) < 0)
		return -1;
	return hooks_parse(&hooks, config, err);
}

int config_parse(const char *text, size_t length, struct config *ret_config, struct error *err)
{
	struct place root = { .name = "", .arena = &ret_config->arena };

	memset(ret_config, 0, sizeof(*ret_config));
	if (json_parse_object(text, length, "config.json", &ret_config->json, err) < 0)
		return -1;
	root.object = ret_config->json;
	if (parse_document(&root, ret_config, err) < 0)
		return -1;
	return arena_failed(&ret_config->arena) ? error_set(err, ERR_EXHAUSTED, "config.json: out of memory") : 0;
}

void config_drop(struct config *config)
{
	cJSON_Delete(config->json);
	arena_release(&config->arena);
	config->json = NULL;
}
