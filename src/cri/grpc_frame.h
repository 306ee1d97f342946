/*
 * gRPC's length-prefixed messages (grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"): one byte of flags, four bytes of length in
 * network order, then the message. Bytes in, messages out; no I/O.
 *
 * The decoder takes DATA in pieces of any size. The limit is checked against the length before anything is allocated, and memory
 * grows with the bytes that came, not with the length that was announced.
 */
#ifndef MONOPOD_CRI_GRPC_FRAME_H
#define MONOPOD_CRI_GRPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

#define GRPC_FRAME_HEADER_SIZE 5

struct grpc_decoder {
	uint8_t header[GRPC_FRAME_HEADER_SIZE];
	size_t header_len;
	size_t message_len;    /* announced; valid once the header is complete */
	struct buffer message; /* so far; its max is the limit */
};

void grpc_decoder_init(struct grpc_decoder *decoder, size_t max_message_bytes);
void grpc_decoder_release(struct grpc_decoder *decoder);

/*
 * Takes bytes up to the end of the message in progress; returns how many. -1: ERR_EXHAUSTED for a message over the limit or no
 * memory, ERR_UNIMPLEMENTED for a compressed one, ERR_INVALID for unknown flags. After a failure the decoder is of no use.
 */
ssize_t grpc_decoder_feed(struct grpc_decoder *decoder, const uint8_t *data, size_t len, struct error *err);

/* True when decoder->message is a whole message. It stays so, and takes no bytes, until grpc_decoder_next(). */
bool grpc_decoder_complete(const struct grpc_decoder *decoder);

/* True before the first byte of a message: the only place where a stream may end. */
bool grpc_decoder_empty(const struct grpc_decoder *decoder);

/* Drops the message and its memory; ready for another one. */
void grpc_decoder_next(struct grpc_decoder *decoder);

/* The prefix of an uncompressed message. */
void grpc_frame_header(uint8_t header[GRPC_FRAME_HEADER_SIZE], uint32_t message_len);

#endif
