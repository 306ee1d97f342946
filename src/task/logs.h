/*
 * The log pump: from a container's stdout and stderr to its CRI log file.
 *
 * The loop reads what is there, a bounded amount per wake-up, and formats it (log_lines.h); the file is written by a lane, one write
 * at a time. While a write is out and enough has gathered behind it, reading pauses, so a container that writes faster than the disk
 * waits, as it would on the disk itself. A write that fails, or hangs past its deadline, loses its data: the loss is counted and
 * logged once, and the container goes on.
 *
 * The pump belongs to the loop thread.
 */
#ifndef MONOPOD_TASK_LOGS_H
#define MONOPOD_TASK_LOGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct lane;
struct log_pump;
struct loop;

/* Opens (or makes, 0640) the file for appending and the directories above it (0755). Blocks: for a lane. Returns the descriptor. */
int log_file_open(const char *path, struct error *err);

/* `name` is for our own log. The pump takes `file_fd` (-1: nothing is written, what the container says is discarded). */
int log_pump_new(struct loop *loop, struct lane *lane, const char *name, int file_fd, struct log_pump **ret_pump,
		 struct error *err);

/* Adds a stream to read, "stdout" or "stderr", at most two. Takes `fd`, which must be non-blocking, also on failure. */
int log_pump_add(struct log_pump *pump, const char *stream, int fd, struct error *err);

/* From now on entries go to this file; takes the descriptor. */
void log_pump_set_file(struct log_pump *pump, int file_fd);

/* No more is to come: reads to the end of the streams, for at most `grace_ms` when somebody still holds them open, writes what was
 * read, calls `on_finished` at a later turn and frees the pump. May be called again with a shorter grace; the first callback holds. */
typedef void log_finished_cb(void *arg);
void log_pump_finish(struct log_pump *pump, unsigned grace_ms, log_finished_cb *on_finished, void *arg);

/* Bytes of log that could not be written. */
uint64_t log_pump_dropped(const struct log_pump *pump);

#endif
