#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "image/image.h"
#include "runtime/caps.h"
#include "task/container.h"
#include "task/container_spec.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* The contract marks as deprecated what kubelets before 1.19 and 1.30 fill. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static const Cri__LinuxContainerSecurityContext no_context = CRI__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;

const char *container_old_seccomp_field(const Cri__LinuxContainerSecurityContext *context)
{
	return context->seccomp_profile_path;
}

const char *container_old_apparmor_field(const Cri__LinuxContainerSecurityContext *context)
{
	return context->apparmor_profile;
}
#pragma GCC diagnostic pop

const Cri__LinuxContainerSecurityContext *container_security(const Cri__ContainerConfig *config)
{
	return config->linux && config->linux->security_context ? config->linux->security_context : &no_context;
}

bool container_is_privileged(const Cri__ContainerConfig *config)
{
	return container_security(config)->privileged;
}

/* ---- argv ---- */

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

int container_argv(const Cri__ContainerConfig *config, const struct image_config *image, struct arena *arena, char ***ret_argv,
		   struct error *err)
{
	bool own_command = config->n_command > 0;
	char **first = own_command ? config->command : image->entrypoint;
	size_t n_first = own_command ? config->n_command : count(image->entrypoint);
	bool image_cmd = !own_command && config->n_args == 0;
	char **rest = image_cmd ? image->cmd : config->args;
	size_t n_rest = image_cmd ? count(image->cmd) : config->n_args;
	char **argv = arena_new_array(arena, char *, n_first + n_rest + 1);

	if (!argv)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (n_first + n_rest == 0)
		return error_set(err, ERR_INVALID, "config.command: neither the request nor the image says what to run");
	for (size_t i = 0; i < n_first; i++)
		argv[i] = first[i];
	for (size_t i = 0; i < n_rest; i++)
		argv[n_first + i] = rest[i];
	if (!*argv[0])
		return error_set(err, ERR_INVALID, "config.command: the name of the command is empty");
	*ret_argv = argv;
	return 0;
}

/* ---- environment ---- */

/* Kubernetes adds several variables for each service of a namespace: thousands are real, so each is looked up by hash. */
struct variable {
	const char *text; /* NAME=VALUE */
	size_t name_len;
	UT_hash_handle hh;
};

struct environment {
	struct variable *by_name; /* uthash, in the order in which the names came */
	struct arena *arena;
	bool failed;
};

static struct variable *find_variable(const struct environment *env, const char *name, size_t len)
{
	struct variable *variable;

	HASH_FIND(hh, env->by_name, name, len, variable);
	return variable;
}

static void set_variable(struct environment *env, const char *text)
{
	size_t len = strcspn(text, "=");
	struct variable *variable = text[0] ? find_variable(env, text, len) : NULL;

	if (variable) {
		variable->text = text;
		return;
	}
	variable = arena_new(env->arena, struct variable);
	if (!variable || !text[0]) {
		env->failed = env->failed || !variable;
		return;
	}
	variable->text = text;
	variable->name_len = len;
	HASH_ADD_KEYPTR(hh, env->by_name, text, len, variable);
	env->failed = env->failed || !variable->hh.tbl;
}

/* The key stays the first spelling's memory, which the arena or the image keeps as long. */
static void set_default(struct environment *env, const char *text)
{
	if (!find_variable(env, text, strcspn(text, "=")))
		set_variable(env, text);
}

static void set_printf(struct environment *env, void (*set)(struct environment *, const char *), const char *name,
		       const char *value)
{
	const char *text = arena_printf(env->arena, "%s=%s", name, value);

	if (text)
		set(env, text);
	else
		env->failed = true;
}

static int check_variable(const Cri__KeyValue *variable, struct error *err)
{
	if (!*variable->key || strchr(variable->key, '='))
		return error_set(err, ERR_INVALID, "config.envs: '%s' is not a name", variable->key);
	if (variable->value.len > 0 && memchr(variable->value.data, '\0', variable->value.len))
		return error_set(err, ERR_INVALID, "config.envs: the value of %s holds a NUL", variable->key);
	return 0;
}

static int add_requested(struct environment *env, const Cri__ContainerConfig *config, struct error *err)
{
	for (size_t i = 0; i < config->n_envs; i++) {
		const Cri__KeyValue *variable = config->envs[i];

		if (check_variable(variable, err) < 0)
			return -1;
		/* bytes, not text: no %s */
		size_t key_len = strlen(variable->key);
		char *text = arena_alloc(env->arena, key_len + 1 + variable->value.len + 1);

		if (!text)
			return error_set(err, ERR_EXHAUSTED, "out of memory");
		memcpy(text, variable->key, key_len);
		text[key_len] = '=';
		if (variable->value.len > 0)
			memcpy(text + key_len + 1, variable->value.data, variable->value.len);
		set_variable(env, text);
	}
	return 0;
}

static int collect(struct environment *env, struct arena *arena, char ***ret_env, struct error *err)
{
	const struct variable *variable, *next;
	char **list = arena_new_array(arena, char *, HASH_COUNT(env->by_name) + 1);
	size_t n = 0;

	if (!list || env->failed)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	HASH_ITER (hh, env->by_name, variable, next) {
		list[n] = arena_strdup(arena, variable->text);
		if (!list[n++])
			return error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	*ret_env = list;
	return 0;
}

/* What an image lists besides is no variable: getenv(3) would not find it. */
static bool is_variable(const char *text)
{
	return text[0] != '=' && strchr(text, '=');
}

int container_env(const Cri__ContainerConfig *config, const struct image_config *image, const char *hostname, const char *home,
		  struct arena *arena, char ***ret_env, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	struct environment env = { .arena = &scratch };
	int result;

	for (char **variable = image->env; *variable; variable++)
		if (is_variable(*variable))
			set_variable(&env, *variable);
	set_printf(&env, set_variable, "HOSTNAME", hostname);
	result = add_requested(&env, config, err);
	set_printf(&env, set_default, "PATH", default_path);
	if (config->tty)
		set_default(&env, "TERM=xterm");
	set_printf(&env, set_default, "HOME", home);
	if (result == 0)
		result = collect(&env, arena, ret_env, err);
	HASH_CLEAR(hh, env.by_name);
	return result;
}

/* ---- directory and user ---- */

const char *container_cwd(const Cri__ContainerConfig *config, const struct image_config *image)
{
	if (*config->working_dir)
		return config->working_dir;
	return *image->working_dir ? image->working_dir : "/";
}

struct user_request container_user_request(const Cri__ContainerConfig *config, const struct image_config *image)
{
	const Cri__LinuxContainerSecurityContext *context = container_security(config);

	return (struct user_request){
		.image_user = image->user,
		.has_uid = context->run_as_user != NULL,
		.has_gid = context->run_as_group != NULL,
		.uid = context->run_as_user ? context->run_as_user->value : 0,
		.gid = context->run_as_group ? context->run_as_group->value : 0,
		.username = context->run_as_username,
		.supplemental = context->supplemental_groups,
		.n_supplemental = context->n_supplemental_groups,
		.strict_groups = context->supplemental_groups_policy == CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict,
	};
}

static int adjust_capabilities(const Cri__Capability *capabilities, struct identity *identity, struct error *err)
{
	const Cri__Capability *c = capabilities;
	uint64_t ambient = 0, set;

	if (caps_adjust(caps_default(), c->add_capabilities, c->n_add_capabilities, c->drop_capabilities, c->n_drop_capabilities,
			&set, err) < 0 ||
	    caps_adjust(0, c->add_ambient_capabilities, c->n_add_ambient_capabilities, NULL, 0, &ambient, err) < 0)
		return -1;
	/* capabilities(7): what is to be ambient must be permitted and inheritable. Nothing else ever is inheritable. */
	identity->bounding = identity->permitted = set | ambient;
	identity->inheritable = identity->ambient = ambient;
	return 0;
}

int container_identity(const Cri__ContainerConfig *config, const struct container_user *user, struct identity *ret_identity,
		       struct error *err)
{
	static const Cri__Capability none = CRI__CAPABILITY__INIT;
	const Cri__LinuxContainerSecurityContext *context = container_security(config);
	struct identity identity = {
		.uid = user->uid,
		.gid = user->gid,
		.groups = user->groups,
		.n_groups = user->n_groups,
		.no_new_privs = context->no_new_privs,
	};

	if (context->privileged)
		identity.bounding = identity.permitted = caps_all();
	else if (adjust_capabilities(context->capabilities ? context->capabilities : &none, &identity, err) < 0)
		return error_prefix(err, "security_context.capabilities");
	*ret_identity = identity;
	return 0;
}
