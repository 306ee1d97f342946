/*
 * The headers of a gRPC request (grpc/doc/PROTOCOL-HTTP2.md, "Requests"): what we need of them, gathered field by field, and the
 * verdict when they are complete. Nothing is stored but the path; no I/O.
 */
#ifndef MONOPOD_CRI_REQUEST_HEAD_H
#define MONOPOD_CRI_REQUEST_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Names, values and RFC 9113's 32 bytes per field; announced as SETTINGS_MAX_HEADER_LIST_SIZE. A CRI client sends 300 bytes, with
 * tracing headers 1 KiB. */
#define REQUEST_HEAD_MAX_BYTES (16 * 1024)

/* The longest path of the table has 61 bytes; a longer one cannot be in it. */
#define REQUEST_PATH_SIZE 128

struct request_head {
	char path[REQUEST_PATH_SIZE]; /* "" when it was longer */
	int64_t timeout_us;           /* grpc-timeout; -1 without one */
	size_t bytes;
	bool is_post;
	bool is_grpc;
	bool bad_timeout;
	bool bad_encoding;
};

void request_head_init(struct request_head *head);
void request_head_add(struct request_head *head, const char *name, size_t name_len, const char *value, size_t value_len);

/* 200 when gRPC can answer; else 405, 415 or 431 (RFC 9110, RFC 6585), to be sent without a gRPC status. */
int request_head_http_status(const struct request_head *head);

/* What gRPC answers itself: a malformed grpc-timeout, an encoding that we do not speak. */
int request_head_check(const struct request_head *head, struct error *err);

#endif
