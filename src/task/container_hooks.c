#include "task/container_hooks.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "runtime/hook.h"
#include "task/container.h"
#include "task/path.h"

/* Of the specification that state and configuration follow. */
#define OCI_VERSION "1.2.0"

/* Variables of a pod with thousands of services are some hundred KiB (arbitrary). */
#define CONFIG_MAX ((size_t)16 << 20)

static const char *const moments[] = {
	[CDI_PRESTART] = "prestart",
	[CDI_CREATE_RUNTIME] = "createRuntime",
	[CDI_CREATE_CONTAINER] = "createContainer",
	[CDI_START_CONTAINER] = "startContainer",
	[CDI_POSTSTART] = "poststart",
	[CDI_POSTSTOP] = "poststop",
};

static unsigned timeout_of(unsigned said_s)
{
	if (said_s == 0)
		return START_HOOK_MS;
	return said_s < START_HOOKS_MAX_MS / 1000 ? said_s * 1000 : START_HOOKS_MAX_MS;
}

int hooks_of_moment(const struct cdi_edits *edits, enum cdi_moment moment, struct arena *arena, struct hook_spec **ret_hooks,
		    size_t *ret_n, struct error *err)
{
	struct hook_spec *hooks = arena_new_array(arena, struct hook_spec, edits->n_hooks + 1);
	size_t n = 0;

	if (!hooks)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < edits->n_hooks; i++) {
		const struct cdi_hook *hook = &edits->hooks[i];

		if (hook->moment == moment)
			hooks[n++] = (struct hook_spec){
				.path = hook->path,
				.argv = hook->args[0] ? (const char *const *)hook->args : NULL,
				.envp = (const char *const *)hook->env,
				.timeout_ms = timeout_of(hook->timeout_s),
			};
	}
	*ret_hooks = hooks;
	*ret_n = n;
	return 0;
}

const char *container_bundle_root(const struct container *container, struct arena *arena)
{
	return arena_printf(arena, "%s/bundle/rootfs", container->state_dir);
}

/* ---- config.json ---- */

static bool add_texts(cJSON *object, const char *name, const char *const *texts)
{
	cJSON *list = cJSON_AddArrayToObject(object, name);

	for (; list && texts && *texts; texts++) {
		if (!cJSON_AddItemToArray(list, cJSON_CreateString(*texts)))
			return false;
	}
	return list != NULL;
}

static bool add_user(cJSON *process, const struct identity *who)
{
	cJSON *user = cJSON_AddObjectToObject(process, "user"), *groups;

	if (!user || !cJSON_AddNumberToObject(user, "uid", who->uid) || !cJSON_AddNumberToObject(user, "gid", who->gid))
		return false;
	groups = cJSON_AddArrayToObject(user, "additionalGids");
	for (size_t i = 0; groups && i < who->n_groups; i++) {
		if (!cJSON_AddItemToArray(groups, cJSON_CreateNumber(who->groups[i])))
			return false;
	}
	return groups != NULL;
}

static bool add_process(cJSON *config, const struct container_spec *spec)
{
	cJSON *process = cJSON_AddObjectToObject(config, "process");

	return process && cJSON_AddBoolToObject(process, "terminal", spec->tty) && add_user(process, &spec->identity) &&
	       add_texts(process, "args", spec->argv) && add_texts(process, "env", spec->envp) &&
	       cJSON_AddStringToObject(process, "cwd", spec->cwd) &&
	       cJSON_AddBoolToObject(process, "noNewPrivileges", spec->identity.no_new_privs);
}

static const char *type_of(enum mount_kind kind)
{
	static const char *const types[] = {
		[MOUNT_BIND] = "bind",   [MOUNT_PROC] = "proc",     [MOUNT_SYSFS] = "sysfs",   [MOUNT_CGROUP] = "cgroup",
		[MOUNT_TMPFS] = "tmpfs", [MOUNT_DEVPTS] = "devpts", [MOUNT_MQUEUE] = "mqueue",
	};

	return types[kind];
}

static bool add_mounts(cJSON *config, const struct container_spec *spec)
{
	cJSON *list = cJSON_AddArrayToObject(config, "mounts");

	for (size_t i = 0; list && i < spec->n_mounts; i++) {
		const struct mount_spec *mount = &spec->mounts[i];
		cJSON *item = cJSON_CreateObject();

		if (!cJSON_AddItemToArray(list, item) || !cJSON_AddStringToObject(item, "destination", mount->target) ||
		    !cJSON_AddStringToObject(item, "type", type_of(mount->kind)))
			return false;
	}
	return list != NULL;
}

/* What is joined has a path in the specification, and ours have none that lasts: those are listed without one only when they are new. */
static bool add_namespaces(cJSON *config, const struct container *container, const struct container_spec *spec)
{
	cJSON *linux_part = cJSON_AddObjectToObject(config, "linux"), *list, *item;
	const char *const types[] = { "mount", spec->new_cgroup_ns ? "cgroup" : NULL, spec->pid_ns == NS_NEW ? "pid" : NULL };

	if (!linux_part || !cJSON_AddStringToObject(linux_part, "cgroupsPath", container->cgroup_path))
		return false;
	list = cJSON_AddArrayToObject(linux_part, "namespaces");
	for (size_t i = 0; list && i < ARRAY_SIZE(types); i++) {
		if (!types[i])
			continue;
		item = cJSON_CreateObject();
		if (!cJSON_AddItemToArray(list, item) || !cJSON_AddStringToObject(item, "type", types[i]))
			return false;
	}
	return list != NULL;
}

static bool add_hook(cJSON *hooks, const struct cdi_hook *hook)
{
	const char *moment = moments[hook->moment];
	cJSON *list = cJSON_GetObjectItemCaseSensitive(hooks, moment), *item = cJSON_CreateObject();

	if (!list)
		list = cJSON_AddArrayToObject(hooks, moment);
	if (!list || !cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		return false;
	}
	return cJSON_AddStringToObject(item, "path", hook->path) && add_texts(item, "args", (const char *const *)hook->args) &&
	       add_texts(item, "env", (const char *const *)hook->env) &&
	       (hook->timeout_s == 0 || cJSON_AddNumberToObject(item, "timeout", hook->timeout_s));
}

static bool add_hooks(cJSON *config, const struct cdi_edits *edits)
{
	cJSON *hooks = cJSON_AddObjectToObject(config, "hooks");

	for (size_t i = 0; hooks && i < edits->n_hooks; i++) {
		if (!add_hook(hooks, &edits->hooks[i]))
			return false;
	}
	return hooks != NULL;
}

static bool add_root(cJSON *config, const struct container_spec *spec, const char *path)
{
	cJSON *root = cJSON_AddObjectToObject(config, "root");

	return root && cJSON_AddStringToObject(root, "path", path) &&
	       cJSON_AddBoolToObject(root, "readonly", spec->readonly_rootfs);
}

static char *print_config(const struct container *container, const struct container_spec *spec, const struct cdi_edits *edits,
			  const char *root)
{
	cJSON *config = cJSON_CreateObject();
	bool good = config && cJSON_AddStringToObject(config, "ociVersion", OCI_VERSION) && add_process(config, spec) &&
		    add_root(config, spec, root) && add_mounts(config, spec) && add_namespaces(config, container, spec) &&
		    add_hooks(config, edits);
	char *text = good ? cJSON_PrintUnformatted(config) : NULL;

	cJSON_Delete(config);
	return text;
}

int container_write_bundle(const struct container *container, const struct container_spec *spec, const struct cdi_edits *edits,
			   struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	const char *root = container_bundle_root(container, &scratch);
	char path[PATH_MAX];
	char *text = root ? print_config(container, spec, edits, root) : NULL;
	int result;

	if (!text)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	result = path_format(path, err, "%s/bundle/config.json", container->state_dir);
	if (result == 0)
		result = io_make_dirs(root, 0700, err);
	if (result == 0)
		result = io_replace_file(AT_FDCWD, path, text, strlen(text), 0600, err);
	cJSON_free(text);
	return result < 0 ? error_prefix(err, "make the bundle for hooks") : 0;
}

/* ---- state ---- */

int container_hook_state(const struct container *container, const char *status, pid_t pid, struct arena *arena,
			 const char **ret_state, struct error *err)
{
	const char *bundle = arena_printf(arena, "%s/bundle", container->state_dir);
	cJSON *state = cJSON_CreateObject();
	bool good = state && bundle && cJSON_AddStringToObject(state, "ociVersion", OCI_VERSION) &&
		    cJSON_AddStringToObject(state, "id", container->id) && cJSON_AddStringToObject(state, "status", status) &&
		    cJSON_AddNumberToObject(state, "pid", pid) && cJSON_AddStringToObject(state, "bundle", bundle);
	char *text = good ? cJSON_PrintUnformatted(state) : NULL;

	*ret_state = text ? arena_strdup(arena, text) : NULL;
	cJSON_free(text);
	cJSON_Delete(state);
	return *ret_state ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

/* ---- poststop ---- */

static const char **read_texts(const cJSON *object, const char *name, struct arena *arena)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name), *item;
	const char **texts = arena_new_array(arena, const char *, (size_t)cJSON_GetArraySize(list) + 1);
	size_t n = 0;

	if (!texts)
		return NULL;
	cJSON_ArrayForEach(item, list)
	{
		if (cJSON_IsString(item))
			texts[n++] = item->valuestring;
	}
	return texts;
}

static void run_one(const struct container *container, const cJSON *item, const char *state, struct arena *arena)
{
	const cJSON *path = cJSON_GetObjectItemCaseSensitive(item, "path");
	const cJSON *timeout = cJSON_GetObjectItemCaseSensitive(item, "timeout");
	const char **args = read_texts(item, "args", arena), **env = read_texts(item, "env", arena);
	struct error err = ERROR_INIT;
	struct hook_spec hook = { .envp = env, .timeout_ms = END_HOOKS_MS };

	if (!cJSON_IsString(path) || !args || !env)
		return;
	hook.path = path->valuestring;
	hook.argv = args[0] ? args : NULL;
	if (cJSON_IsNumber(timeout) && timeout->valuedouble * 1000 < END_HOOKS_MS)
		hook.timeout_ms = (unsigned)(timeout->valuedouble * 1000);
	if (hook_run(&hook, state, strlen(state), &err) < 0)
		log_warn("task", "container %.12s: poststop: %s", container->id, err.text);
}

static void run_listed(const struct container *container, const cJSON *config)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const cJSON *hooks = cJSON_GetObjectItemCaseSensitive(config, "hooks"), *item;
	struct error err = ERROR_INIT;
	const char *state;

	if (container_hook_state(container, "stopped", 0, &arena, &state, &err) < 0) {
		log_warn("task", "container %.12s: poststop: %s", container->id, err.text);
		return;
	}
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(hooks, "poststop")) run_one(container, item, state, &arena);
}

void container_run_poststop(const struct container *container)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_MAX);
	struct error err = ERROR_INIT;
	char path[PATH_MAX];
	cJSON *config;

	if (path_format(path, &err, "%s/bundle/config.json", container->state_dir) < 0 || access(path, F_OK) < 0)
		return;
	if (io_read_file(AT_FDCWD, path, &text, &err) < 0) {
		log_warn("task", "container %.12s: poststop: %s", container->id, err.text);
		return;
	}
	/* once: a second end (an exit that is found again after a restart) runs none */
	(void)unlink(path);
	config = cJSON_ParseWithLength(text.data ? text.data : "", text.len);
	run_listed(container, config);
	cJSON_Delete(config);
}
