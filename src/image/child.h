/* One process of unpack.h, seen from the daemon. */
#ifndef MONOPOD_IMAGE_CHILD_H
#define MONOPOD_IMAGE_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/report.h"

/* Longest time in which a child neither takes nor gives a byte. Then the disk below it hangs, or it does: a pull that fails can be
 * tried again, one that waits for ever cannot. Reports at the end come after all directories got their times, hence minutes. */
#define CHILD_STALL_LIMIT_MS (5 * 60 * 1000)

struct child {
	pid_t pid;  /* 0: not started, or waited for */
	int socket; /* reports; -1 when read to the end */
	struct buffer reports;
	bool failed; /* it ended otherwise than with exit status 0 */
	int signal;  /* that ended it, 0 for none */
};

void child_init(struct child *child);

/* Looks for monopod-unpack beside this program's file, once. Where there is none, this program is started again instead, which takes
 * longer. To be called early: an upgrade replaces the file, and what it brings may speak otherwise. */
void child_find_program(void);

/* Starts it with `input` as descriptor 0 and `output` (or -1: nothing) as 1 and, for the unpacker, `layer` as 3. */
int child_start(struct child *child, const struct unpack_order *order, int input, int output, int layer, struct error *err);

/* Reads what the child has sent so far, without blocking. */
int child_read_reports(struct child *child, struct error *err);

/* Reads all reports and waits for the end; ERR_DEADLINE when there is none for CHILD_STALL_LIMIT_MS, ERR_CANCELLED when *cancelled (may
 * be NULL) becomes true before. */
int child_wait(struct child *child, const atomic_bool *cancelled, struct error *err);

/* How often a wait looks whether it was cancelled. */
#define CHILD_POLL_MS 200

/* Makes the error that a failed child reported. False when it gave none. */
bool child_error(const struct child *child, struct error *err);

/* Kills and waits if it still runs. */
void child_release(struct child *child);

#endif
