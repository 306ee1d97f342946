/*
 * What comes back of one gRPC call: headers, bytes of the body, trailers, put together and judged. No I/O.
 *
 * A unary reply is kept whole until the end. Of a stream each message is handed on as soon as it is complete, and nothing is kept but the
 * beginning of the next.
 */
#ifndef MONOPOD_CLI_GRPC_REPLY_H
#define MONOPOD_CLI_GRPC_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/grpc_client.h"

/* The prefix of a message: one byte that says whether it is compressed, four of length. */
#define GRPC_REPLY_FRAME_HEADER 5

/* Zeroed, then grpc_reply_reset() before each call. */
struct grpc_reply {
	const struct grpc_call *call; /* borrowed until grpc_reply_finish() */
	long http_status;
	long grpc_status; /* -1: not seen */
	char message[ERROR_TEXT_SIZE];
	struct buffer body;   /* frame headers and messages, of a stream what is not handed on yet */
	bool opened;          /* on_open was called */
	bool failed;          /* nothing more is taken */
	struct error failure; /* valid when failed */
};

void grpc_reply_reset(struct grpc_reply *reply, const struct grpc_call *call);
void grpc_reply_release(struct grpc_reply *reply);

/* One header or trailer; the end of either; bytes of the body. -1: the stream is of no use any more, grpc_reply_finish() says why. */
void grpc_reply_header(struct grpc_reply *reply, const char *name, size_t name_len, const char *value, size_t value_len);
void grpc_reply_headers_end(struct grpc_reply *reply);
int grpc_reply_data(struct grpc_reply *reply, const uint8_t *data, size_t len);

/* The caller has enough: nothing more is handed on. */
void grpc_reply_cancel(struct grpc_reply *reply);

/* The stream is closed; `reset_code` is HTTP/2's. */
int grpc_reply_finish(struct grpc_reply *reply, uint32_t reset_code, struct error *err);

#endif
