/*
 * The configuration of the daemon: one struct, filled from a table of options (config.c) that also prints the file with every
 * default and help text (`monopod config default`). Format: INI, `[section]`, `key = value`, `#` comments, read by libinih.
 *
 * Strings are owned by the struct. Unknown sections and keys, and values that do not parse, are errors that name file and line.
 */
#ifndef MONOPOD_BASE_CONFIG_H
#define MONOPOD_BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* One [runtime.NAME]: what a pod of that runtime handler gets instead of what [runtime] says; "" is the same as there. */
struct config_handler {
	char *name;
	char *seccomp_default, *apparmor_default;
	bool privileged_without_host_devices;
	struct config_handler *next;
};

struct config {
	/* [server] */
	char *socket;    /* unix socket of the CRI, mode 0600 */
	char *root_dir;  /* persistent: images, writable layers, store */
	char *state_dir; /* volatile, on a tmpfs: namespaces, fifos */
	char *log_level;
	int64_t max_message_bytes; /* of one gRPC message, both directions */
	int64_t max_connections;
	int64_t max_streams; /* concurrent, per connection */

	/* [runtime] */
	char *cgroup_root;        /* "auto", or where the cgroup hierarchies are mounted */
	char *cgroup_driver;      /* "auto", "cgroupfs" or "systemd" */
	char *cgroup_parent;      /* for pods that name none */
	int64_t pids_limit;       /* of each container; 0: none */
	char *seccomp_default;    /* "builtin", "unconfined" or a path */
	char *rlimits;            /* of containers: "nofile=1024:524288,core=0"; see runtime/rlimits.h */
	char *apparmor_default;   /* "builtin", "unconfined" or the name of a profile */
	char *cdi_dirs;           /* of CDI Specs, separated by commas, the most important one last */
	bool clamp_oom_score_adj; /* without CAP_SYS_RESOURCE: raise to what is allowed, with one warning */

	struct config_handler *handlers; /* [runtime.NAME], in their order */

	/* [image] */
	char *certs_dir;           /* of registries' directories, separated by colons */
	char *insecure_registries; /* comma-separated HOST[:PORT] spoken to over plain HTTP */
	char *auth_file;           /* credentials of the node, in the form of Docker's config.json; "": none */
	int64_t max_layer_bytes;   /* unpacked */
	int64_t pull_progress_timeout_ms;
	int64_t max_parallel_pulls;                                       /* of images; the others wait in their order */
	int64_t max_parallel_downloads, max_parallel_downloads_per_image; /* of layers */
	int64_t keep_partial_pulls_ms;                                    /* layers of an image that did not come whole */
	char *pinned_images;                                              /* comma-separated names; see image/pins.h */

	/* [net] */
	char *net_engine;   /* "auto" or "exec" */
	char *cni_conf_dir; /* of CNI configurations */
	char *cni_bin_dirs; /* of plugins, separated by commas */
	char *bridge;       /* name of the embedded default bridge */
	char *pod_cidr;     /* IPv4 prefix of the embedded default network */
	char *mtu;          /* "auto" or a number */
};

/* Every default. Fails only when memory is out. */
int config_init(struct config *config, struct error *err);

/* Reads `path` over what *config holds; after a failure part of the file may have been taken over. */
int config_read(struct config *config, const char *path, struct error *err);

/* Sets one option by its "section.key" name, as `monopod serve --set net.bridge=x` does; "runtime.NAME.key" makes the handler. */
int config_set(struct config *config, const char *name, const char *value, struct error *err);

/* The file that config_read() would take back unchanged, with a comment for each option. */
int config_print(const struct config *config, FILE *out);

/* NULL when there is no [runtime.NAME]. */
const struct config_handler *config_find_handler(const struct config *config, const char *name);

void config_release(struct config *config);

#endif
