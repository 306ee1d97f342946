/* Security contexts of pods and containers: who a process is, what it may do, which namespaces it shares. */
#include <string.h>

#include "cri/check_parts.h"
#include "cri/rule.h"

/* NGROUPS_MAX of the kernel. */
#define MAX_GROUPS 65536

/* The kernel knows 41 capabilities; lists name each once. */
#define MAX_CAPABILITIES 256

/* The *_profile_path fields are deprecated and come from kubelets up to 1.24. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static const struct rule pod_rules[] = {
	BOXED(Cri__LinuxSandboxSecurityContext, run_as_user, 0, CHECK_MAX_ID),
	BOXED(Cri__LinuxSandboxSecurityContext, run_as_group, 0, CHECK_MAX_ID),
	NUMBERS64(Cri__LinuxSandboxSecurityContext, supplemental_groups, MAX_GROUPS, 0, CHECK_MAX_ID),
};

static const struct rule container_rules[] = {
	BOXED(Cri__LinuxContainerSecurityContext, run_as_user, 0, CHECK_MAX_ID),
	BOXED(Cri__LinuxContainerSecurityContext, run_as_group, 0, CHECK_MAX_ID),
	TEXT(Cri__LinuxContainerSecurityContext, run_as_username, text_user_name),
	NUMBERS64(Cri__LinuxContainerSecurityContext, supplemental_groups, MAX_GROUPS, 0, CHECK_MAX_ID),
	TEXTS(Cri__LinuxContainerSecurityContext, masked_paths, CHECK_MAX_ITEMS, text_path),
	TEXTS(Cri__LinuxContainerSecurityContext, readonly_paths, CHECK_MAX_ITEMS, text_path),
};

static const struct rule capability_rules[] = {
	TEXTS(Cri__Capability, add_capabilities, MAX_CAPABILITIES, text_capability),
	TEXTS(Cri__Capability, drop_capabilities, MAX_CAPABILITIES, text_capability),
	TEXTS(Cri__Capability, add_ambient_capabilities, MAX_CAPABILITIES, text_capability),
};

static const struct rule selinux_rules[] = {
	TEXT(Cri__SELinuxOption, user, text_selinux_part),
	TEXT(Cri__SELinuxOption, role, text_selinux_part),
	TEXT(Cri__SELinuxOption, type, text_selinux_part),
	TEXT(Cri__SELinuxOption, level, text_selinux_level),
};

/* What the host's policy has is the runtime's to ask. */
static int check_selinux(const struct field *at, const Cri__SELinuxOption *selinux, struct error *err)
{
	return selinux ? RULES_APPLY(at, selinux_rules, selinux, err) : 0;
}

static int check_profile_type(const struct field *at, const Cri__SecurityProfile *profile, bool *ret_localhost, struct error *err)
{
	*ret_localhost = profile->profile_type == CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	if (!*ret_localhost && profile->localhost_ref[0] != '\0')
		return field_error(FIELD(at, "localhost_ref"), err, ERR_INVALID,
				   "contradicts profile_type, which is not Localhost");
	return 0;
}

/* Both spellings say where the file lies; the older one, and some of the newer, have this in front. */
static const char *without_localhost(const char *ref)
{
	return !strncmp(ref, "localhost/", strlen("localhost/")) ? ref + strlen("localhost/") : ref;
}

static int check_seccomp(const struct field *at, const Cri__SecurityProfile *profile, struct error *err)
{
	bool localhost;

	if (!profile)
		return 0;
	if (check_profile_type(at, profile, &localhost, err) < 0)
		return -1;
	return localhost ? text_check(FIELD(at, "localhost_ref"), &text_path, without_localhost(profile->localhost_ref), err) : 0;
}

static int check_apparmor(const struct field *at, const Cri__SecurityProfile *profile, struct error *err)
{
	bool localhost;

	if (!profile)
		return 0;
	if (check_profile_type(at, profile, &localhost, err) < 0)
		return -1;
	return localhost ? text_check(FIELD(at, "localhost_ref"), &text_apparmor, without_localhost(profile->localhost_ref), err)
			 : 0;
}

/* The spellings that stood in annotations before the profile messages: "" and unconfined, runtime/default, its older name, localhost/NAME. */
static int check_old_profile(const struct field *at, const char *profile, const struct text_rule *localhost, struct error *err)
{
	static const char *const known[] = { "", "unconfined", "runtime/default", "docker/default" };
	char quoted[FIELD_QUOTE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(profile, known[i]))
			return 0;
	}
	if (without_localhost(profile) != profile)
		return text_check(at, localhost, without_localhost(profile), err);
	return field_error(at, err, ERR_INVALID, "must be \"unconfined\", \"runtime/default\" or \"localhost/...\", not %s",
			   field_quote(quoted, profile));
}

static int check_mapping(const struct field *at, const Cri__IDMapping *map, struct error *err)
{
	if (map->length == 0)
		return field_error(FIELD(at, "length"), err, ERR_INVALID, "must not be 0");
	if ((int64_t)map->host_id + map->length - 1 > CHECK_MAX_ID || (int64_t)map->container_id + map->length - 1 > CHECK_MAX_ID)
		return field_error(FIELD(at, "length"), err, ERR_INVALID, "leads beyond the last id, %lld",
				   (long long)CHECK_MAX_ID);
	return 0;
}

static bool overlap(uint32_t a, uint32_t n_a, uint32_t b, uint32_t n_b)
{
	return (uint64_t)a < (uint64_t)b + n_b && (uint64_t)b < (uint64_t)a + n_a;
}

int check_mappings(const struct field *at, const char *name, Cri__IDMapping *const *items, size_t n, struct error *err)
{
	if (n > CHECK_MAX_MAPPINGS)
		return field_error(FIELD(at, name), err, ERR_INVALID, "has %zu items, the limit is %d", n, CHECK_MAX_MAPPINGS);
	for (size_t i = 0; i < n; i++) {
		const Cri__IDMapping *map = items[i];

		if (check_mapping(ITEM(at, name, i), map, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (overlap(map->host_id, map->length, items[k]->host_id, items[k]->length) ||
			    overlap(map->container_id, map->length, items[k]->container_id, items[k]->length))
				return field_error(ITEM(at, name, i), err, ERR_INVALID, "overlaps the one at %zu", k);
		}
	}
	return 0;
}

/* One mapping, as other runtimes have it, and with a root, without whom no container's files could be made. */
static int check_one_mapping(const struct field *at, const char *name, Cri__IDMapping *const *items, size_t n, struct error *err)
{
	if (n != 1)
		return field_error(FIELD(at, name), err, ERR_INVALID, "has %zu mappings, mode POD needs exactly one", n);
	if (check_mappings(at, name, items, n, err) < 0)
		return -1;
	if (items[0]->container_id != 0)
		return field_error(FIELD(ITEM(at, name, 0), "container_id"), err, ERR_INVALID, "must be 0: the container's root");
	return 0;
}

static int check_user_namespace(const struct field *at, const Cri__UserNamespace *userns, struct error *err)
{
	if (!userns)
		return 0;
	if (userns->mode == CRI__NAMESPACE_MODE__POD) {
		if (check_one_mapping(at, "uids", userns->uids, userns->n_uids, err) < 0)
			return -1;
		return check_one_mapping(at, "gids", userns->gids, userns->n_gids, err);
	}
	if (userns->mode != CRI__NAMESPACE_MODE__NODE)
		return field_error(FIELD(at, "mode"), err, ERR_INVALID, "must be POD or NODE");
	if (userns->n_uids > 0 || userns->n_gids > 0)
		return field_error(at, err, ERR_INVALID, "has mappings for the host's user namespace (mode NODE)");
	return 0;
}

static int check_pod_or_node(const struct field *at, Cri__NamespaceMode mode, struct error *err)
{
	if (mode == CRI__NAMESPACE_MODE__POD || mode == CRI__NAMESPACE_MODE__NODE)
		return 0;
	return field_error(at, err, ERR_INVALID, "must be POD or NODE");
}

static int check_pid(const struct field *at, const Cri__NamespaceOption *options, bool is_pod, struct error *err)
{
	bool has_target = options->target_id[0] != '\0';

	if (options->pid != CRI__NAMESPACE_MODE__TARGET) {
		if (has_target)
			return field_error(FIELD(at, "target_id"), err, ERR_INVALID, "contradicts pid, which is not TARGET");
		return 0;
	}
	if (is_pod)
		return field_error(FIELD(at, "pid"), err, ERR_INVALID, "must be POD, CONTAINER or NODE for a pod");
	return text_check(FIELD(at, "target_id"), &text_id, options->target_id, err);
}

int check_namespaces(const struct field *at, const Cri__NamespaceOption *options, bool is_pod, struct error *err)
{
	if (!options)
		return 0;
	if (check_pod_or_node(FIELD(at, "network"), options->network, err) < 0 || check_pid(at, options, is_pod, err) < 0 ||
	    check_pod_or_node(FIELD(at, "ipc"), options->ipc, err) < 0)
		return -1;
	return check_user_namespace(FIELD(at, "userns_options"), options->userns_options, err);
}

/* CRI: run_as_group without a user MUST be an error. */
static int check_group_has_user(const struct field *at, const Cri__Int64Value *group, bool has_user, struct error *err)
{
	if (!group || has_user)
		return 0;
	return field_error(FIELD(at, "run_as_group"), err, ERR_INVALID, "needs a user (run_as_user)");
}

int check_pod_security(const struct field *at, const Cri__LinuxSandboxSecurityContext *context, struct error *err)
{
	if (!context)
		return 0;
	if (RULES_APPLY(at, pod_rules, context, err) < 0 ||
	    check_group_has_user(at, context->run_as_group, context->run_as_user != NULL, err) < 0 ||
	    check_namespaces(FIELD(at, "namespace_options"), context->namespace_options, true, err) < 0 ||
	    check_selinux(FIELD(at, "selinux_options"), context->selinux_options, err) < 0 ||
	    check_seccomp(FIELD(at, "seccomp"), context->seccomp, err) < 0 ||
	    check_apparmor(FIELD(at, "apparmor"), context->apparmor, err) < 0)
		return -1;
	return check_old_profile(FIELD(at, "seccomp_profile_path"), context->seccomp_profile_path, &text_path, err);
}

static int check_user(const struct field *at, const Cri__LinuxContainerSecurityContext *context, struct error *err)
{
	bool has_name = context->run_as_username[0] != '\0';

	if (has_name && context->run_as_user)
		return field_error(FIELD(at, "run_as_username"), err, ERR_INVALID, "contradicts run_as_user: only one may be set");
	return check_group_has_user(at, context->run_as_group, has_name || context->run_as_user, err);
}

static int check_capabilities(const struct field *at, const Cri__Capability *capabilities, struct error *err)
{
	return capabilities ? RULES_APPLY(at, capability_rules, capabilities, err) : 0;
}

int check_container_security(const struct field *at, const Cri__LinuxContainerSecurityContext *context, struct error *err)
{
	if (!context)
		return 0;
	if (RULES_APPLY(at, container_rules, context, err) < 0 || check_user(at, context, err) < 0 ||
	    check_capabilities(FIELD(at, "capabilities"), context->capabilities, err) < 0 ||
	    check_namespaces(FIELD(at, "namespace_options"), context->namespace_options, false, err) < 0 ||
	    check_selinux(FIELD(at, "selinux_options"), context->selinux_options, err) < 0 ||
	    check_seccomp(FIELD(at, "seccomp"), context->seccomp, err) < 0 ||
	    check_apparmor(FIELD(at, "apparmor"), context->apparmor, err) < 0)
		return -1;
	if (check_old_profile(FIELD(at, "seccomp_profile_path"), context->seccomp_profile_path, &text_path, err) < 0)
		return -1;
	return check_old_profile(FIELD(at, "apparmor_profile"), context->apparmor_profile, &text_apparmor, err);
}
