/* CreateContainer. */
#include <string.h>

#include "cri/check.h"
#include "cri/check_parts.h"
#include "cri/rule.h"
#include "proto/admin.pb-c.h"

static const struct rule config_rules[] = {
	NEEDED(Cri__ContainerConfig, metadata),
	TEXT(Cri__ContainerConfig, working_dir, text_working_dir),
	MAP(Cri__ContainerConfig, labels, CHECK_MAX_MAP_BYTES, text_label_key, text_any),
	MAP(Cri__ContainerConfig, annotations, CHECK_MAX_MAP_BYTES, text_label_key, text_any),
	TEXT(Cri__ContainerConfig, log_path, text_relative_path),
	REFUSED(Cri__ContainerConfig, windows, "this node runs Linux"),
};

static const struct rule metadata_rules[] = {
	TEXT(Cri__ContainerMetadata, name, text_name),
};

static const struct rule device_rules[] = {
	TEXT(Cri__Device, container_path, text_path),
	TEXT(Cri__Device, host_path, text_path),
	TEXT(Cri__Device, permissions, text_permissions),
};

/* A node has some dozens of them, each asked for once (arbitrary). */
#define MAX_CDI_DEVICES 256

static const struct rule cdi_rules[] = {
	TEXT(Cri__CDIDevice, name, text_cdi_device),
};

/* Values are bytes, and what execve(2) takes is "KEY=VALUE" without a NUL inside. */
static int check_env(const struct field *at, const Cri__KeyValue *env, struct error *err)
{
	if (text_check(FIELD(at, "key"), &text_env_key, env->key, err) < 0)
		return -1;
	if (env->value.len > 0 && memchr(env->value.data, '\0', env->value.len))
		return field_error(FIELD(at, "value"), err, ERR_INVALID, "must not hold a NUL");
	if (strlen(env->key) + 1 + env->value.len > TEXT_MAX_ARGUMENT)
		return field_error(FIELD(at, "value"), err, ERR_INVALID, "has %zu bytes, the limit with its key is %d",
				   env->value.len, TEXT_MAX_ARGUMENT);
	return 0;
}

static int check_envs(const struct field *at, const Cri__ContainerConfig *config, struct error *err)
{
	for (size_t i = 0; i < config->n_envs; i++) {
		if (check_env(ITEM(at, "envs", i), config->envs[i], err) < 0)
			return -1;
	}
	return 0;
}

static int check_devices(const struct field *at, const Cri__ContainerConfig *config, struct error *err)
{
	if (config->n_devices > CHECK_MAX_ITEMS)
		return field_error(FIELD(at, "devices"), err, ERR_INVALID, "has %zu items, the limit is %d", config->n_devices,
				   CHECK_MAX_ITEMS);
	for (size_t i = 0; i < config->n_devices; i++) {
		if (RULES_APPLY(ITEM(at, "devices", i), device_rules, config->devices[i], err) < 0)
			return -1;
	}
	if (config->n_cdi_devices > MAX_CDI_DEVICES)
		return field_error(FIELD(at, "CDI_devices"), err, ERR_INVALID, "has %zu items, the limit is %d",
				   config->n_cdi_devices, MAX_CDI_DEVICES);
	for (size_t i = 0; i < config->n_cdi_devices; i++) {
		if (RULES_APPLY(ITEM(at, "CDI_devices", i), cdi_rules, config->cdi_devices[i], err) < 0)
			return -1;
	}
	return 0;
}

/* Arguments alone follow the image's entrypoint, so their first may be empty. */
static int check_process(const struct field *at, const Cri__ContainerConfig *config, struct error *err)
{
	if (check_arguments(at, "command", config->command, config->n_command, err) < 0)
		return -1;
	for (size_t i = 0; i < config->n_args; i++) {
		if (text_check(ITEM(at, "args", i), &text_argument, config->args[i], err) < 0)
			return -1;
	}
	return check_envs(at, config, err);
}

static int check_linux(const struct field *at, const Cri__LinuxContainerConfig *config, struct error *err)
{
	if (!config)
		return 0;
	if (check_resources(FIELD(at, "resources"), config->resources, err) < 0)
		return -1;
	return check_container_security(FIELD(at, "security_context"), config->security_context, err);
}

static int check_container_config(const struct field *at, const Cri__ContainerConfig *config, struct error *err)
{
	if (RULES_APPLY(at, config_rules, config, err) < 0)
		return -1;
	if (RULES_APPLY(FIELD(at, "metadata"), metadata_rules, config->metadata, err) < 0 ||
	    check_image_spec(FIELD(at, "image"), config->image, err) < 0)
		return -1;
	if (check_process(at, config, err) < 0 || check_mounts(at, config, err) < 0 || check_devices(at, config, err) < 0)
		return -1;
	return check_linux(FIELD(at, "linux"), config->linux, err);
}

int check_create_container(const ProtobufCMessage *request, struct error *err)
{
	static const struct rule rules[] = {
		TEXT(Cri__CreateContainerRequest, pod_sandbox_id, text_id),
		NEEDED(Cri__CreateContainerRequest, config),
	};
	const Cri__CreateContainerRequest *create = (const Cri__CreateContainerRequest *)request;

	if (RULES_APPLY(NULL, rules, create, err) < 0)
		return -1;
	if (check_container_config(FIELD(NULL, "config"), create->config, err) < 0)
		return -1;
	return create->sandbox_config ? check_pod_config(FIELD(NULL, "sandbox_config"), create->sandbox_config, err) : 0;
}

/* A container that is here, or both halves of a request for one. */
int check_explain_container(const ProtobufCMessage *request, struct error *err)
{
	const Admin__ExplainContainerRequest *explain = (const Admin__ExplainContainerRequest *)request;
	const struct field *at = FIELD(NULL, "container_id");

	if (explain->container_id[0] != '\0' && (explain->config || explain->sandbox_config))
		return field_error(at, err, ERR_INVALID, "contradicts config and sandbox_config");
	if (explain->container_id[0] != '\0' || (!explain->config && !explain->sandbox_config))
		return text_check(at, &text_id, explain->container_id, err);
	if (!explain->config)
		return field_error(FIELD(NULL, "config"), err, ERR_INVALID, "missing");
	if (!explain->sandbox_config)
		return field_error(FIELD(NULL, "sandbox_config"), err, ERR_INVALID, "missing");
	if (check_container_config(FIELD(NULL, "config"), explain->config, err) < 0)
		return -1;
	return check_pod_config(FIELD(NULL, "sandbox_config"), explain->sandbox_config, err);
}
