/*
 * The standard streams of a container: FIFOs below its state directory.
 *
 * The container's own end is opened for reading and writing, so that a reader always exists: a daemon that was killed never makes a
 * write in the container fail, and finds the FIFOs again when it comes back. Everything blocks, as far as a tmpfs does.
 */
#ifndef MONOPOD_TASK_STDIO_H
#define MONOPOD_TASK_STDIO_H

#include <stdbool.h>

#include "base/error.h"

struct stdio {
	int inside[3];   /* the container's 0, 1, 2; -1: /dev/null or a terminal */
	int read_end[2]; /* ours, non-blocking: stdout, stderr */
};

#define STDIO_INIT                                                                                                                 \
	{                                                                                                                          \
		{ -1, -1, -1 },                                                                                                    \
		{                                                                                                                  \
			-1, -1                                                                                                     \
		}                                                                                                                  \
	}

/* Makes the FIFOs in `dir`; ones that are there are replaced. `label`: the SELinux label by which the container may use them, or NULL. */
int stdio_make(const char *dir, bool with_stdin, const char *label, struct stdio *ret_stdio, struct error *err);

/* After a restart: only our ends. */
int stdio_reopen(const char *dir, struct stdio *ret_stdio, struct error *err);

void stdio_close_inside(struct stdio *stdio);
void stdio_release(struct stdio *stdio);

#endif
