/*
 * The life of one pod with one container, call by call as a kubelet makes them, each call timed.
 *
 * The first log line is timed by inotify on the pod's log directory, watched from before RunPodSandbox: the descriptor is polled
 * together with the connection, so a line that is there before StartContainer returns is seen at once.
 */
#ifndef MONOPOD_BENCH_POD_CYCLE_H
#define MONOPOD_BENCH_POD_CYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/rpc.h"
#include "stats.h"

enum phase {
	PHASE_RUN_POD,
	PHASE_CREATE,
	PHASE_START,
	PHASE_LINE,  /* from the beginning of StartContainer to the first log line */
	PHASE_TOTAL, /* from the beginning of RunPodSandbox to the first log line */
	PHASE_EXEC,
	PHASE_STOP,
	PHASE_STOP_POD,
	PHASE_REMOVE_POD,
	PHASE_COUNT
};

extern const char *const phase_names[PHASE_COUNT];

struct pod_plan {
	char *image;
	char *command; /* for sh -c; must print a line at once and then wait */
	bool host_network;
	bool exec;
	const char *log_root; /* a directory of the harness; each pod has its own below */
	const char *run_label;
};

#define BENCH_LABEL "monopod-bench"

/* One worker's connection to one endpoint. */
struct pod_client {
	struct rpc rpc;
	int notify; /* inotify */
	int watch;  /* of the current pod's log directory; -1: none */
	char log_path[512];
	int64_t line_us; /* when the first line was seen; 0: not yet */
};

int pod_client_open(struct pod_client *client, const char *socket, enum rpc_api api, struct error *err);
void pod_client_close(struct pod_client *client);

struct bench_pod {
	unsigned number; /* unique within the run: makes name, uid and directory */
	char pod_id[128];
	char container_id[128];
	char log_dir[512];
};

/* Everything up to the first log line, and the exec. On failure the pod is removed again. */
int pod_start(struct pod_client *client, const struct pod_plan *plan, struct bench_pod *pod, struct samples phases[PHASE_COUNT],
	      struct error *err);

/* StopContainer with no grace, StopPodSandbox, RemovePodSandbox, and the log directory. */
int pod_end(struct pod_client *client, struct bench_pod *pod, struct samples phases[PHASE_COUNT], struct error *err);

/* Removes every pod that carries the label with this value; returns how many there were, or -1. */
int pods_sweep(struct pod_client *client, const char *run_label, struct error *err);

/* Makes sure that the image is there: asks for it, and pulls it when it is not. */
int pod_image_ensure(struct pod_client *client, char *image, struct error *err);

#endif
