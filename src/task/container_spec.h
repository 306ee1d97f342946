/*
 * What a request for a container means: from the CRI's words, the image's and the pod's to those of src/runtime.
 *
 * Everything here builds lists in an arena; nothing has an effect on the node. What needs a look at the host (devices, the image's
 * users) says so and belongs in a lane.
 */
#ifndef MONOPOD_TASK_CONTAINER_SPEC_H
#define MONOPOD_TASK_CONTAINER_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "proto/cri.pb-c.h"
#include "runtime/cgroup.h"
#include "runtime/rootfs.h"
#include "runtime/spec.h"
#include "runtime/user.h"

struct container;
struct container_user;
struct image;
struct image_config;
struct node;
struct sandbox;
struct seccomp_filter;
struct stat;

/* Refuses what is wrong (ERR_INVALID) or what this node cannot do (ERR_UNIMPLEMENTED), naming the field. */
int container_check(const struct sandbox *sandbox, const Cri__ContainerConfig *config, const struct image *image,
		    struct error *err);

/* ---- the process (container_process.c) ---- */

/* Kubernetes' rule: `command` replaces the image's entrypoint and cmd; `args` alone replaces the cmd. */
int container_argv(const Cri__ContainerConfig *config, const struct image_config *image, struct arena *arena, char ***ret_argv,
		   struct error *err);

/* The image's variables, then HOSTNAME, then the request's; each replaces what was there. PATH, HOME and TERM (of a tty) when nobody
 * set them. */
int container_env(const Cri__ContainerConfig *config, const struct image_config *image, const char *hostname, const char *home,
		  struct arena *arena, char ***ret_env, struct error *err);

const char *container_cwd(const Cri__ContainerConfig *config, const struct image_config *image);
struct user_request container_user_request(const Cri__ContainerConfig *config, const struct image_config *image);

/* Capabilities and no_new_privs with the user: the same for the first process and for those executed later. */
int container_identity(const Cri__ContainerConfig *config, const struct container_user *user, struct identity *ret_identity,
		       struct error *err);

/* linux.security_context, or one with every default; never NULL. */
const Cri__LinuxContainerSecurityContext *container_security(const Cri__ContainerConfig *config);

/* Fields that newer clients leave empty: security_context.seccomp_profile_path and apparmor_profile. */
const char *container_old_seccomp_field(const Cri__LinuxContainerSecurityContext *context);
const char *container_old_apparmor_field(const Cri__LinuxContainerSecurityContext *context);

bool container_is_privileged(const Cri__ContainerConfig *config);

/* ---- its seccomp filter (container_seccomp.c) ---- */

struct seccomp_choice {
	enum { SECCOMP_NONE, SECCOMP_DEFAULT, SECCOMP_FILE } kind;
	const char *path; /* of SECCOMP_FILE; absolute */
};

/* What the request asks for, where the node's default is "builtin", "unconfined" or a path. DEFAULT is the builtin profile. */
int seccomp_choose(const Cri__ContainerConfig *config, const char *node_default, struct seccomp_choice *ret_choice,
		   struct error *err);

/* Reads and checks a profile that lies in a file and keeps a copy in the container's state directory. Blocks. */
int container_keep_seccomp(const struct container *container, struct error *err);

/* The filter for a process of the container, NULL for none; the arena's or the cache's. Blocks, and may take milliseconds for a profile
 * that is not cached. */
int container_seccomp(const struct container *container, const struct identity *identity, struct arena *arena,
		      const struct seccomp_filter **ret_filter, struct error *err);

/* ---- its AppArmor profile (container_apparmor.c) ---- */

struct apparmor_choice {
	enum { APPARMOR_NONE, APPARMOR_UNSAID, APPARMOR_BY_DEFAULT, APPARMOR_BY_NAME } kind;
	const char *name; /* of APPARMOR_BY_NAME */
};

struct apparmor_choice apparmor_choose(const Cri__ContainerConfig *config);

/* The profile for a process of the container, loaded; NULL for none, as without AppArmor unless a profile is named. Reads files. */
int container_apparmor(const struct container *container, const char **ret_profile, struct error *err);

/* ---- its SELinux labels (container_selinux.c) ---- */

/* In the arena; NULL: none, as where SELinux is off or its policy knows no containers. */
struct selinux_labels {
	const char *process;
	const char *mount; /* of its files: the root, what is mounted for it, volumes that are to be relabelled */
};

/*
 * What container and pod ask for, part by part the container's word first; then the policy's defaults with the pod's own categories,
 * and spc_t for a privileged container. `container_config` may be NULL: what belongs to the pod as a whole. Asks the kernel whether the
 * policy knows them: ERR_INVALID naming selinux_options.
 */
int container_selinux(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		      struct selinux_labels *ret_labels, struct error *err);

/* Gives a new pod a pair of categories that no other has, unless it asks for a level of its own. On the loop; no look at the host. */
int sandbox_choose_pair(struct sandbox *sandbox, struct error *err);

/* ---- what it may use (container_resources.c) ---- */

/* `from` may be NULL: nothing is limited. `pids_limit` is the node's, 0 for none. */
int container_resources(const Cri__LinuxContainerResources *from, int64_t pids_limit, struct arena *arena,
			struct resources *ret_resources, struct error *err);

/* What a container has after a change: the field that the change sets, else the one that was there; a huge page size and a key of
 * `unified` each by itself. A copy on the heap, message_free(). Either may be NULL. ERR_INVALID when the two contradict each other. */
Cri__LinuxContainerResources *resources_merge(const Cri__LinuxContainerResources *now, const Cri__LinuxContainerResources *change,
					      struct error *err);

/* 0 when the request says nothing: a container is not to inherit what protects the daemon. */
int64_t oom_score_adj_wanted(const Cri__LinuxContainerResources *resources);

/* What a container that asks for `wanted` gets: below our own value only CAP_SYS_RESOURCE may go (proc_pid_oom_score_adj(5)). */
int oom_score_adj_within(int64_t wanted, int own, bool may_lower);

/* ---- its files (container_mounts.c) ---- */

struct mount_entry {
	struct mount_spec spec; /* fd is -1 until somebody opened the volume */
	bool is_volume;
	struct volume_spec volume;
	bool relabels;          /* the volume is to be labelled where SELinux is on */
	bool is_image;          /* an image's files; attributes in `volume` */
	size_t image_number;    /* in the container's struct volume_images */
	const char *sub_path;   /* of the image; "": all of it */
	struct id_maps id_maps; /* of the volume; none: its ids are the host's */
};

struct mount_list {
	struct mount_entry *entries;
	size_t n;
};

/* The standard mounts, the pod's files and the request's mounts, parents before what lies below them; of two on one target the later one
 * of the request is on top. */
int container_mounts(const struct sandbox *sandbox, const Cri__ContainerConfig *config, struct arena *arena,
		     struct mount_list *ret_list, struct error *err);

bool mount_is_image(const Cri__Mount *mount);

/* True for `top` itself as well. Both are clean. */
bool path_is_below(const char *path, const char *top);

/* Refuses paths to mask or to make read-only inside a bidirectional mount: that would be mounted on the host, too. */
int container_check_paths(const Cri__ContainerConfig *config, const struct mount_list *mounts, struct arena *arena,
			  struct error *err);

/* ---- what it does not see (container_masks.c) ---- */

/* NULL-terminated: the request's as given, also when empty; the usual ones without a security context; nothing for a privileged
 * container. NULL when memory is out. */
const char *const *container_masked_paths(const Cri__ContainerConfig *config, struct arena *arena);
const char *const *container_readonly_paths(const Cri__ContainerConfig *config, struct arena *arena);

/* ---- its devices (container_devices.c) ---- */

struct device_list {
	struct device_spec *devices;
	size_t n_devices;
	struct device_rule *rules; /* for the cgroup; not counting the standard ones */
	size_t n_rules;
	size_t room; /* of both lists */
	bool restricted;
};

/* The standard devices, and the request's or, when privileged and with `host_devices`, the host's. Looks at the host: blocks. */
int container_devices(const Cri__ContainerConfig *config, bool host_devices, struct arena *arena, struct device_list *ret_list,
		      struct error *err);

/* One more device, in the place of one with the same path; its owner is a user of the container's. `access` is for the cgroup's rule, "" for
 * none. */
int device_list_put(struct device_list *list, struct arena *arena, const char *path, const struct stat *st, const char *access,
		    struct error *err);

#endif
