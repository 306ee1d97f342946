/* gRPC framing: the same messages, or the same failure, however the bytes are cut. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "cri/grpc_frame.h"

#define MAX_MESSAGE 4096

struct outcome {
	size_t n_messages;
	size_t n_bytes;
	uint32_t sum; /* of all message bytes, by position */
	enum error_code code;
};

static void note_message(struct grpc_decoder *decoder, struct outcome *outcome)
{
	if (decoder->message.len > MAX_MESSAGE || decoder->message.len != decoder->message_len)
		abort();
	for (size_t i = 0; i < decoder->message.len; i++)
		outcome->sum = outcome->sum * 31 + (uint8_t)decoder->message.data[i];
	outcome->n_bytes += decoder->message.len;
	outcome->n_messages++;
	grpc_decoder_next(decoder);
}

static int feed(struct grpc_decoder *decoder, const uint8_t *data, size_t size, struct outcome *outcome)
{
	struct error err = ERROR_INIT;

	while (size > 0) {
		ssize_t used = grpc_decoder_feed(decoder, data, size, &err);

		if (used < 0) {
			outcome->code = err.code;
			return -1;
		}
		if (used == 0 || (size_t)used > size)
			abort();
		data += used;
		size -= (size_t)used;
		if (grpc_decoder_complete(decoder))
			note_message(decoder, outcome);
	}
	return 0;
}

static struct outcome decode(const uint8_t *data, size_t size, size_t step)
{
	struct grpc_decoder decoder;
	struct outcome outcome = { 0 };

	grpc_decoder_init(&decoder, MAX_MESSAGE);
	for (size_t at = 0; at < size; at += step) {
		if (feed(&decoder, data + at, size - at < step ? size - at : step, &outcome) < 0)
			break;
	}
	grpc_decoder_release(&decoder);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;

	if (size < 2)
		return 0;
	whole = decode(data + 1, size - 1, size);
	cut = decode(data + 1, size - 1, (size_t)data[0] + 1);
	if (whole.n_messages != cut.n_messages || whole.n_bytes != cut.n_bytes || whole.sum != cut.sum || whole.code != cut.code)
		abort();
	return 0;
}
