#include "cri/grpc_frame.h"

#include <string.h>

void grpc_decoder_init(struct grpc_decoder *decoder, size_t max_message_bytes)
{
	*decoder = (struct grpc_decoder){ .message = BUFFER_INIT(max_message_bytes) };
}

void grpc_decoder_release(struct grpc_decoder *decoder)
{
	buffer_release(&decoder->message);
}

void grpc_decoder_next(struct grpc_decoder *decoder)
{
	buffer_release(&decoder->message);
	decoder->header_len = 0;
	decoder->message_len = 0;
}

bool grpc_decoder_complete(const struct grpc_decoder *decoder)
{
	return decoder->header_len == GRPC_FRAME_HEADER_SIZE && decoder->message.len == decoder->message_len;
}

bool grpc_decoder_empty(const struct grpc_decoder *decoder)
{
	return decoder->header_len == 0;
}

static uint32_t read_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int check_flags(uint8_t flags, struct error *err)
{
	if (flags == 0)
		return 0;
	if (flags == 1)
		return error_set(err, ERR_UNIMPLEMENTED, "compressed messages are not supported: use grpc-encoding identity");
	return error_set(err, ERR_INVALID, "message with unknown flags 0x%02x", flags);
}

static int read_header(struct grpc_decoder *decoder, struct error *err)
{
	if (check_flags(decoder->header[0], err) < 0)
		return -1;
	decoder->message_len = read_u32(decoder->header + 1);
	if (decoder->message_len > decoder->message.max)
		return error_set(err, ERR_EXHAUSTED, "message of %zu bytes, over the limit of %zu (server.max_message_bytes)",
				 decoder->message_len, decoder->message.max);
	return 0;
}

static ssize_t feed_header(struct grpc_decoder *decoder, const uint8_t *data, size_t len, struct error *err)
{
	size_t wanted = GRPC_FRAME_HEADER_SIZE - decoder->header_len;
	size_t taken = len < wanted ? len : wanted;

	/* The flags are looked at as soon as they are there: nobody needs to send four more bytes to be refused. */
	if (decoder->header_len == 0 && check_flags(data[0], err) < 0)
		return -1;
	memcpy(decoder->header + decoder->header_len, data, taken);
	decoder->header_len += taken;
	if (decoder->header_len == GRPC_FRAME_HEADER_SIZE && read_header(decoder, err) < 0)
		return -1;
	return (ssize_t)taken;
}

ssize_t grpc_decoder_feed(struct grpc_decoder *decoder, const uint8_t *data, size_t len, struct error *err)
{
	ssize_t header = 0;
	size_t wanted;

	if (len == 0 || grpc_decoder_complete(decoder))
		return 0;
	if (decoder->header_len < GRPC_FRAME_HEADER_SIZE) {
		header = feed_header(decoder, data, len, err);
		if (header < 0 || decoder->header_len < GRPC_FRAME_HEADER_SIZE)
			return header;
		data += header;
		len -= (size_t)header;
	}
	wanted = decoder->message_len - decoder->message.len;
	if (len > wanted)
		len = wanted;
	if (len > 0 && buffer_append(&decoder->message, data, len, err) < 0)
		return -1;
	return header + (ssize_t)len;
}

void grpc_frame_header(uint8_t header[GRPC_FRAME_HEADER_SIZE], uint32_t message_len)
{
	header[0] = 0;
	header[1] = (uint8_t)(message_len >> 24);
	header[2] = (uint8_t)(message_len >> 16);
	header[3] = (uint8_t)(message_len >> 8);
	header[4] = (uint8_t)message_len;
}
