/* Requests that several commands make: by id, with the reply's content or nothing. */
#ifndef MONOPOD_CLI_POD_OPS_H
#define MONOPOD_CLI_POD_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "proto/cri.pb-c.h"

struct cli;

/* What a reference of rm or stop names. A pod goes before a container of the same name. */
enum target_kind { TARGET_ANY, TARGET_POD, TARGET_CONTAINER };

struct target {
	enum target_kind kind; /* TARGET_POD or TARGET_CONTAINER */
	const char *id;        /* of the arena */
};

int find_target(struct cli *cli, const char *reference, enum target_kind wanted, struct target *ret_target, struct error *err);

/* Replies are freed by the caller (_cleanup_message_). */
Cri__PodSandboxStatusResponse *pod_status(struct cli *cli, const char *id, bool verbose, struct error *err);
Cri__ContainerStatusResponse *container_status(struct cli *cli, const char *id, bool verbose, struct error *err);
Cri__ListContainersResponse *containers_of_pod(struct cli *cli, const char *pod_id, struct error *err);

int stop_container(struct cli *cli, const char *id, int64_t grace_s, struct error *err);
int remove_container(struct cli *cli, const char *id, struct error *err);
int stop_pod(struct cli *cli, const char *id, struct error *err);

/* Stops the pod's containers with their grace, then the pod. */
int stop_pod_gently(struct cli *cli, const char *id, int64_t grace_s, struct error *err);

/* Also removes the log directory that `run` made for it. */
int remove_pod(struct cli *cli, const char *id, struct error *err);

/* Where `run` keeps logs: RUN_LOG_BASE/UID, for pods whose uid is one that `run` made up (32 hexadecimal digits; the kubelet's have
 * dashes). The path comes from the uid alone, so that nothing in a pod can make `rm` remove another directory. */
#define RUN_LOG_BASE "/var/log/monopod"
bool is_run_uid(const char *uid);

#endif
