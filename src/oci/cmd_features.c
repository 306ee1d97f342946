/* features: what this runtime knows, for engines that ask before they use it (runtime-spec, features.md). */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "oci/command.h"
#include "oci/config.h"
#include "oci/features.h"
#include "runtime/caps.h"

static bool add_list(cJSON *object, const char *key, const char *const *texts)
{
	cJSON *list = cJSON_AddArrayToObject(object, key);

	for (; list && *texts; texts++) {
		if (!cJSON_AddItemToArray(list, cJSON_CreateString(*texts)))
			return false;
	}
	return list != NULL;
}

static bool add_capabilities(cJSON *object)
{
	cJSON *list = cJSON_AddArrayToObject(object, "capabilities");

	for (unsigned cap = 0; list && cap < 64 && caps_parse(caps_name(cap)) == (int)cap; cap++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "CAP_%s", caps_name(cap));
		if (!cJSON_AddItemToArray(list, cJSON_CreateString(name)))
			return false;
	}
	return list != NULL;
}

/* "a": {"enabled": value} */
static bool add_switch(cJSON *object, const char *key, bool value)
{
	cJSON *item = cJSON_AddObjectToObject(object, key);

	return item && cJSON_AddBoolToObject(item, "enabled", value);
}

static bool add_cgroup(cJSON *object)
{
	cJSON *cgroup = cJSON_AddObjectToObject(object, "cgroup");

	return cgroup && cJSON_AddBoolToObject(cgroup, "v1", true) && cJSON_AddBoolToObject(cgroup, "v2", true) &&
	       cJSON_AddBoolToObject(cgroup, "systemd", true) && cJSON_AddBoolToObject(cgroup, "systemdUser", false) &&
	       cJSON_AddBoolToObject(cgroup, "rdma", true);
}

static bool add_seccomp(cJSON *object)
{
	static const char *const actions[] = { "SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
					       "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
					       "SCMP_ACT_TRACE",        "SCMP_ACT_TRAP",        NULL };
	static const char *const operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",        "SCMP_CMP_LE",
						 "SCMP_CMP_LT", "SCMP_CMP_NE", "SCMP_CMP_MASKED_EQ", NULL };
	/* all that we take, some without effect for a process of one thread: the kernel need not know them */
	static const char *const flags[] = { "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
					     "SECCOMP_FILTER_FLAG_SPEC_ALLOW", NULL };
	cJSON *seccomp = cJSON_AddObjectToObject(object, "seccomp");

	return seccomp && cJSON_AddBoolToObject(seccomp, "enabled", true) && add_list(seccomp, "actions", actions) &&
	       add_list(seccomp, "operators", operators) && add_list(seccomp, "knownFlags", flags) &&
	       add_list(seccomp, "supportedFlags", flags);
}

static bool add_mount_extensions(cJSON *object)
{
	cJSON *extensions = cJSON_AddObjectToObject(object, "mountExtensions");

	return extensions && add_switch(extensions, "idmap", true);
}

static bool add_linux(cJSON *root)
{
	static const char *const namespaces[] = { "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts", NULL };
	cJSON *object = cJSON_AddObjectToObject(root, "linux");

	return object && add_list(object, "namespaces", namespaces) && add_capabilities(object) && add_cgroup(object) &&
	       add_seccomp(object) && add_switch(object, "apparmor", true) && add_switch(object, "selinux", true) &&
	       add_switch(object, "intelRdt", false) && add_switch(object, "netDevices", false) && add_mount_extensions(object);
}

cJSON *features_document(void)
{
	static const char *const hooks[] = {
		"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop", NULL
	};
	cJSON *root = cJSON_CreateObject();
	bool good = root && cJSON_AddStringToObject(root, "ociVersionMin", OCI_VERSION_MIN) &&
		    cJSON_AddStringToObject(root, "ociVersionMax", OCI_VERSION) && add_list(root, "hooks", hooks) &&
		    add_list(root, "mountOptions", mount_option_names()) && add_linux(root);
	cJSON *annotations = good ? cJSON_AddObjectToObject(root, "annotations") : NULL;

	if (annotations && cJSON_AddStringToObject(annotations, "org.monopod.version", MONOPOD_VERSION))
		return root;
	cJSON_Delete(root);
	return NULL;
}

static int print(cJSON *json, struct error *err)
{
	char *text = json ? cJSON_Print(json) : NULL;

	if (text)
		(void)puts(text);
	cJSON_free(text);
	cJSON_Delete(json);
	return text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int run_features(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	(void)oci, (void)opts, (void)args, (void)n_args;
	return print(features_document(), err);
}

const struct oci_command oci_features = {
	.name = "features",
	.arguments = "",
	.summary = "print what this runtime supports, as JSON",
	.run = run_features,
};
