/*
 * A bundle's config.json (OCI runtime-spec 1.2, config.md and config-linux.md) as C structs.
 *
 * config_parse() reads and checks, and has no side effect: it opens nothing and looks at nothing of the host. Members that the
 * specification does not know are ignored, as it asks; those that it knows and we do not do are refused by name. Strings and lists point
 * into the JSON document or the arena, which belong to the struct.
 */
#ifndef MONOPOD_OCI_CONFIG_H
#define MONOPOD_OCI_CONFIG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/member.h"
#include "runtime/cgroup.h"
#include "runtime/namespaces.h"
#include "runtime/spec.h"

/* The version that we speak, and the oldest one. */
#define OCI_VERSION "1.2.1"
#define OCI_VERSION_MIN "1.0.0"

/* Longest config.json (arbitrary: podman's have 20 KiB, with long profiles 60). */
#define CONFIG_BYTES_MAX ((size_t)4 << 20)

struct process_config {
	bool terminal;
	bool has_console_size;
	unsigned short console_rows, console_columns;
	const char *const *args; /* NULL: none */
	const char *const *env;  /* never NULL */
	const char *cwd;
	struct identity identity; /* permitted capabilities not yet cut to what we hold */
	struct rlimit_spec *rlimits;
	size_t n_rlimits;
	bool set_oom_score_adj;
	int oom_score_adj;
	struct process_extras extras;
	struct scheduler_spec scheduler; /* extras.first_cpus and cpus: for exec, not for the container's first process */
	const char *apparmor_profile, *selinux_label;
};

struct mount_config {
	const char *place; /* "mounts[2]" */
	const char *target, *type, *source;
	const char *data;                       /* options of the file system, "" for none */
	unsigned long flags, cleared;           /* MS_RDONLY, MS_NOSUID, ...: what it is to have, and not to have */
	unsigned long tree_flags, tree_cleared; /* the same for a bind with everything below it; a new mount has nothing below */
	bool bind, recursive;
	bool copy_up; /* "tmpcopyup" */
	bool id_mapped, tree_id_mapped;
	struct id_maps id_maps;    /* empty: the user namespace's */
	unsigned long propagation; /* MS_PRIVATE, ...; 0: not given */
	bool propagation_recursive;
};

/* Moments of hooks, in their order in time. */
enum hook_moment {
	HOOK_PRESTART,
	HOOK_CREATE_RUNTIME,
	HOOK_CREATE_CONTAINER,
	HOOK_START_CONTAINER,
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_MOMENTS
};

struct hook_list {
	struct hook_spec *hooks;
	size_t n;
};

/* The kinds of namespace, as index. */
enum ns_kind {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_CGROUP,
	OCI_NS_USER,
	OCI_NS_TIME,
	OCI_NS_KINDS
};

struct namespace_config {
	bool wanted;
	const char *path; /* NULL: a new one */
};

struct config {
	struct arena arena;
	cJSON *json;

	const char *version;
	const char *root; /* as written */
	bool readonly_root;
	const char *hostname, *domainname;
	bool has_process;
	struct process_config process;
	struct mount_config *mounts;
	size_t n_mounts;
	struct hook_list hooks[HOOK_MOMENTS];
	const cJSON *annotations; /* of strings; NULL: none */

	struct namespace_config namespaces[OCI_NS_KINDS];
	struct id_maps id_maps;   /* of the user namespace; empty when there is none, or when it is one by path that knows them */
	const char *time_offsets; /* lines of /proc/PID/timens_offsets; NULL: none */
	struct device_spec *devices;
	size_t n_devices;
	const char *cgroups_path; /* NULL: not given */
	struct resources resources;
	struct sysctl_spec *sysctls;
	size_t n_sysctls;
	const char *const *masked_paths; /* NULL: none */
	const char *const *readonly_paths;
	unsigned long root_propagation;
	bool root_propagation_recursive;
	const cJSON *seccomp; /* NULL: unconfined */
	const char *mount_label;
};

/* *ret_config must be released, after a failure too. */
int config_parse(const char *text, size_t length, struct config *ret_config, struct error *err);
void config_drop(struct config *config);
#define _cleanup_config_ __attribute__((cleanup(config_drop)))

/* The parts, for config_parse() and for what comes in files of their own: exec --process, update --resources. */
int process_parse(const struct place *place, struct process_config *ret_process, struct error *err);
int resources_parse(const struct place *place, struct resources *ret_resources, struct error *err);
int io_parse(const struct place *resources, struct more_resources *more, struct error *err); /* blockIO, network, rdma */
int id_maps_parse(const struct place *place, struct id_maps *ret_maps, struct error *err);   /* either list may be empty */
int mounts_parse(const struct place *root, struct config *config, struct error *err);
int mounts_check(struct config *config, struct error *err); /* when all is read */
int linux_parse(const struct place *place, struct config *config, struct error *err);
int hooks_parse(const struct place *place, struct config *config, struct error *err);

/* Every hook's timeout together, in milliseconds. */
unsigned hooks_time_ms(const struct config *config);

#endif
