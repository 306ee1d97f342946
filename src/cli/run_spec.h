/* From the options of `monopod run` to the two configurations of the CRI. */
#ifndef MONOPOD_CLI_RUN_SPEC_H
#define MONOPOD_CLI_RUN_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/options.h"
#include "proto/cri.pb-c.h"

struct run_options {
	const char *name;
	const char *namespace;
	const char *hostname;
	const char *log_dir;
	const char *user;
	const char *workdir;
	const char *entrypoint;
	struct text_list envs;
	struct text_list mounts;
	struct text_list ports;
	struct text_list labels;
	struct text_list annotations;
	struct text_list dns;
	struct text_list add_caps;
	struct text_list drop_caps;
	int64_t cpu_shares;
	int64_t cpu_quota_us;
	int64_t memory_bytes;
	bool host_network;
	bool host_pid;
	bool host_ipc;
	bool share_pid;
	bool privileged;
	bool read_only;
	bool no_new_privs;
	bool tty;
	bool detach;
	bool remove;
};

/* Both of the arena. `uid` is the pod's. Errors are the user's: ERR_INVALID, or memory. */
struct run_spec {
	Cri__PodSandboxConfig *pod;
	Cri__ContainerConfig *container;
};

int run_spec_build(struct arena *arena, const struct run_options *options, const char *uid, char *image, char **command,
		   size_t n_command, struct run_spec *ret_spec, struct error *err);

/* "8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80". */
int parse_port(struct arena *arena, const char *text, Cri__PortMapping *mapping, struct error *err);

/* "/host/path:/container/path[:ro][,rslave]". */
int parse_mount(struct arena *arena, const char *text, Cri__Mount *mount, struct error *err);

/* "1000", "1000:1000", "name". Digits are always a number, and one that does not fit is an error, never a name. */
int parse_user(struct arena *arena, const char *text, Cri__LinuxContainerSecurityContext *security, struct error *err);

#endif
