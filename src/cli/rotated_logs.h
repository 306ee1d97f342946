/*
 * The files that a container's log was rotated to, named as the kubelet names them: 0.log.20261123-120000, and with .gz behind it once it
 * is compressed (kubernetes, pkg/kubelet/logs/container_log_manager.go). Other files beside the log, such as one that is being compressed
 * (.tmp), are left alone.
 */
#ifndef MONOPOD_CLI_ROTATED_LOGS_H
#define MONOPOD_CLI_ROTATED_LOGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct log_printer;

struct rotated_logs {
	char **paths; /* oldest first */
	size_t n;
};

/* Those of the log at `path`, without the one that is open as `current_fd`, which may have been rotated since (-1: none), and without
 * those that were last written before `since_ns`. */
int rotated_logs_find(const char *path, int current_fd, int64_t since_ns, struct arena *arena, struct rotated_logs *ret_logs,
		      struct error *err);

/* Prints the last `lines` whole lines of all files together and what follows them, a line whose end is in the next file. */
int rotated_logs_print(const struct rotated_logs *logs, int64_t lines, struct log_printer *printer, struct error *err);

#endif
