/*
 * Reads a container's log file, from its end when asked, and follows it as it grows and as it is rotated (renamed away, with a new
 * file in its place).
 */
#ifndef MONOPOD_CLI_LOG_READER_H
#define MONOPOD_CLI_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/line_feed.h"

struct log_printer;

struct log_reader {
	const char *path; /* the caller's */
	int fd;           /* -1: the file is not there yet */
	int notify;       /* inotify on its directory; -1 unless following */
	struct line_feed lines;
	struct log_printer *printer;
};

/* A file that is not there yet is an error, unless it will be followed: then its directory must exist. */
int log_reader_open(struct log_reader *reader, const char *path, bool follow, struct log_printer *printer, struct error *err);
void log_reader_release(struct log_reader *reader);

/* Goes to where the last `lines` whole lines begin. When that is the beginning of the file, *ret_missing is how many lines it has too few;
 * else -1. */
int log_reader_tail(struct log_reader *reader, int64_t lines, int64_t *ret_missing, struct error *err);

/* Prints all that is there. */
int log_reader_drain(struct log_reader *reader, struct error *err);

/* Prints what comes until `ended` says that nothing more will, which it is asked every `interval_ms`; then prints the rest. A signal
 * handler that ran makes it ask at once. */
typedef bool log_ended_cb(void *arg);
int log_reader_follow(struct log_reader *reader, log_ended_cb *ended, void *arg, int interval_ms, struct error *err);

#define _cleanup_log_reader_ __attribute__((cleanup(log_reader_release)))

#endif
