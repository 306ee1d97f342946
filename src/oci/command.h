/* The subcommands: one row each. */
#ifndef MONOPOD_OCI_COMMAND_H
#define MONOPOD_OCI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/options.h"

/* Descriptors from 3 on that are the container's (descriptors.h). */
struct handed {
	size_t n, n_sockets; /* sockets are the first of them */
};

/* One invocation. */
struct oci {
	struct arena arena;
	bool warned;
	struct handed handed;

	/* global options */
	const char *root;
	const char *log;        /* file for errors; NULL: stderr alone */
	const char *log_format; /* "text" or "json" */
	const char *log_level;
	const char *cgroup_manager; /* "cgroupfs" or "systemd" */
	const char *rootless;       /* read and ignored but for "true" */
	bool systemd_cgroup;        /* by either option; create and run alone look at it */
	bool debug;
	bool help, version;
};

/* Returns an exit code, or -1 with the error set. */
typedef int oci_command_fn(struct oci *oci, const void *options, char **args, int n_args, struct error *err);

struct oci_command {
	const char *name;
	const char *arguments; /* after the options */
	const char *summary;
	const struct option_row *options; /* NULL: none */
	size_t options_size;
	int min_args, max_args; /* -1: any number */
	bool stop_at_argument;
	oci_command_fn *run;
};

extern const struct oci_command oci_create, oci_run, oci_start, oci_state, oci_kill, oci_delete, oci_exec, oci_ps, oci_pause,
	oci_resume, oci_update, oci_events, oci_features, oci_spec;

/* A warning to the log and stderr; the command goes on. */
void oci_warn(struct oci *oci, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
