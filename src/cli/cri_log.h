/*
 * Lines of a container's log file, in the format of the CRI (cri-api, pkg/apis/runtime/v1/constants.go):
 *
 *     2016-10-06T00:17:09.669794202Z stdout P the first part of a long line
 *     2016-10-06T00:17:09.669794203Z stdout F and its end
 *
 * Time in RFC 3339 with nanoseconds, stream, tags separated by ':' of which P (partial) and F (full) are known, then the bytes that
 * the container wrote.
 */
#ifndef MONOPOD_CLI_CRI_LOG_H
#define MONOPOD_CLI_CRI_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cri_log_stream { CRI_LOG_STDOUT, CRI_LOG_STDERR };

/* Points into the line. */
struct cri_log_line {
	const char *time;
	size_t time_len;
	enum cri_log_stream stream;
	bool partial;
	const char *text;
	size_t text_len;
};

/* `line` without its line end. -1 when it is not such a line. */
int cri_log_parse(const char *line, size_t len, struct cri_log_line *ret_line);

/* RFC 3339 with 0 to 9 fractional digits and Z or a numeric offset; -1 when it is something else. */
int rfc3339_parse(const char *text, size_t len, int64_t *ret_realtime_ns);

/* Puts the container's output back together. */
struct log_printer {
	FILE *streams[2]; /* by enum cri_log_stream */
	bool timestamps;
	int64_t since_ns;    /* older lines are left out; 0: none */
	bool inside_line[2]; /* private: the last part of that stream was partial */
};

/* Prints one line of the file; what does not parse goes to stdout as it is. */
void log_printer_put(struct log_printer *printer, const char *line, size_t len);

#endif
