/*
 * CDI: the Container Device Interface, by which vendors say what a container needs for a device of theirs
 * (github.com/cncf-tags/container-device-interface, SPEC.md, versions 0.3.0 to 1.1.0; 0.1.0 and 0.2.0 are read as 0.3.0).
 *
 * Spec files (*.json, *.yaml) lie in directories; a device is named VENDOR/CLASS=NAME. Of two directories the later one wins; two
 * Specs of one directory that name the same device are a conflict, and that device cannot be had. A file that is wrong costs its own
 * devices only. Members that the specification does not know are errors, as everywhere.
 *
 * Files are read anew when one came, went or changed. Everything blocks and is thread-safe.
 */
#ifndef MONOPOD_RUNTIME_CDI_H
#define MONOPOD_RUNTIME_CDI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct cdi_node {
	const char *path;      /* inside */
	const char *host_path; /* where to look for what is not said; never empty */
	char type;             /* 'b', 'c', 'p' (fifo) or '\0': not said */
	int64_t major, minor;  /* 0: not said */
	bool has_mode, has_uid, has_gid;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	const char *access; /* "rwm", or "" for a node that the cgroup is not told of */
};

struct cdi_mount {
	const char *host_path, *container_path, *type;
	char **options; /* NULL-terminated */
};

enum cdi_moment { CDI_PRESTART, CDI_CREATE_RUNTIME, CDI_CREATE_CONTAINER, CDI_START_CONTAINER, CDI_POSTSTART, CDI_POSTSTOP };

struct cdi_hook {
	enum cdi_moment moment;
	const char *path;
	char **args, **env; /* NULL-terminated; args[0] included */
	unsigned timeout_s; /* 0: not said */
};

/* What all devices of one container ask for, in order. */
struct cdi_edits {
	char **env;
	size_t n_env;
	struct cdi_node *nodes;
	size_t n_nodes;
	struct cdi_mount *mounts;
	size_t n_mounts;
	struct cdi_hook *hooks;
	size_t n_hooks;
	gid_t *gids;
	size_t n_gids;
	const char *unsupported; /* an edit that nobody here can make, NULL: none */
};

/* True for VENDOR/CLASS=NAME in the specification's characters. */
bool cdi_is_qualified(const char *name);

/*
 * The edits of these devices: those of a Spec as a whole stand before the first of its devices. `dirs` are separated by commas, the most
 * important one last. In the arena. ERR_NOT_FOUND names the device that no Spec has, and a file that is wrong, which may be the reason;
 * ERR_UNIMPLEMENTED an edit that is not built: resctrl groups (intelRdt) and network devices (netDevices).
 */
int cdi_resolve(const char *dirs, char *const *names, size_t n, struct arena *arena, struct cdi_edits *ret_edits,
		struct error *err);

/* The edits that one Spec's text asks for, of all its devices: what cdi_resolve() reads from files. For tests and fuzzing. */
int cdi_read_all(const char *text, size_t len, bool yaml, struct arena *arena, struct cdi_edits *ret_edits, struct error *err);

#endif
