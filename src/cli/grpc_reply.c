#include "cli/grpc_reply.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum error_code grpc_error_code(long status)
{
	static const enum error_code codes[] = {
		[0] = ERR_NONE,           [1] = ERR_CANCELLED,        [2] = ERR_INTERNAL,
		[3] = ERR_INVALID,        [4] = ERR_DEADLINE,         [5] = ERR_NOT_FOUND,
		[6] = ERR_EXISTS,         [7] = ERR_DENIED,           [8] = ERR_EXHAUSTED,
		[9] = ERR_STATE,          [10] = ERR_STATE,           [11] = ERR_INVALID,
		[12] = ERR_UNIMPLEMENTED, [13] = ERR_INTERNAL,        [14] = ERR_UNAVAILABLE,
		[15] = ERR_DATA_LOSS,     [16] = ERR_UNAUTHENTICATED,
	};

	return status >= 0 && status < (long)ARRAY_SIZE(codes) ? codes[status] : ERR_INTERNAL;
}

void grpc_reply_reset(struct grpc_reply *reply, const struct grpc_call *call)
{
	struct buffer body = reply->body;

	buffer_clear(&body);
	body.max = (call->on_message ? call->max_message : call->response->max) + GRPC_REPLY_FRAME_HEADER;
	*reply = (struct grpc_reply){ .call = call, .grpc_status = -1, .body = body };
}

void grpc_reply_release(struct grpc_reply *reply)
{
	buffer_release(&reply->body);
}

/* ---- headers ---- */

/* Percent-decoding of grpc-message, as the protocol asks; a broken escape stays as it is. */
static void decode_message(char *text, size_t size, const char *value, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len && out + 1 < size; i++) {
		unsigned byte = (uint8_t)value[i];
		char digits[3] = { 0 };
		char *end = NULL;

		if (byte == '%' && i + 2 < len) {
			memcpy(digits, value + i + 1, 2);
			unsigned long decoded = strtoul(digits, &end, 16);

			if (end == digits + 2) {
				byte = (unsigned)decoded;
				i += 2;
			}
		}
		text[out++] = (char)byte;
	}
	text[out] = '\0';
}

static bool is_named(const char *name, size_t name_len, const char *expected)
{
	return name_len == strlen(expected) && memcmp(name, expected, name_len) == 0;
}

static long number_of(const char *value, size_t len)
{
	char text[16] = { 0 };
	char *end = NULL;
	long number;

	if (len == 0 || len >= sizeof(text))
		return -1;
	memcpy(text, value, len);
	number = strtol(text, &end, 10);
	return *end || number < 0 ? -1 : number;
}

void grpc_reply_header(struct grpc_reply *reply, const char *name, size_t name_len, const char *value, size_t value_len)
{
	if (is_named(name, name_len, ":status"))
		reply->http_status = number_of(value, value_len);
	else if (is_named(name, name_len, "grpc-status"))
		reply->grpc_status = number_of(value, value_len);
	else if (is_named(name, name_len, "grpc-message"))
		decode_message(reply->message, sizeof(reply->message), value, value_len);
}

/* "Trailers-Only" has a status at once: such a stream was never open. */
void grpc_reply_headers_end(struct grpc_reply *reply)
{
	const struct grpc_call *call = reply->call;

	if (reply->opened || reply->http_status != 200 || reply->grpc_status >= 0)
		return;
	reply->opened = true;
	if (call->on_open)
		call->on_open(call->arg);
}

/* ---- messages ---- */

static int give_up(struct grpc_reply *reply)
{
	reply->failed = true;
	return -1;
}

void grpc_reply_cancel(struct grpc_reply *reply)
{
	if (!reply->failed)
		(void)error_set(&reply->failure, ERR_CANCELLED, "given up");
	reply->failed = true;
}

static size_t announced(const uint8_t *frame)
{
	return (size_t)frame[1] << 24 | (size_t)frame[2] << 16 | (size_t)frame[3] << 8 | frame[4];
}

static int check_frame(const uint8_t *frame, struct error *err)
{
	return frame[0] == 0 ? 0 : error_set(err, ERR_UNIMPLEMENTED, "the answer is compressed, which was not asked for");
}

/* How many bytes the first message takes, header included; 0: it is not whole yet. */
static size_t whole_message(const struct buffer *body)
{
	size_t len;

	if (body->len < GRPC_REPLY_FRAME_HEADER)
		return 0;
	len = GRPC_REPLY_FRAME_HEADER + announced((const uint8_t *)body->data);
	return body->len >= len ? len : 0;
}

static int hand_on(struct grpc_reply *reply)
{
	const struct grpc_call *call = reply->call;
	size_t len;

	while ((len = whole_message(&reply->body)) > 0) {
		const uint8_t *frame = (const uint8_t *)reply->body.data;

		if (check_frame(frame, &reply->failure) < 0 || call->on_message(call->arg, frame + GRPC_REPLY_FRAME_HEADER,
										len - GRPC_REPLY_FRAME_HEADER, &reply->failure) < 0)
			return give_up(reply);
		if (reply->failed)
			return -1;
		buffer_consume(&reply->body, len);
	}
	return 0;
}

/* In pieces: what comes at once may hold many messages, of which each fits and all together do not. */
int grpc_reply_data(struct grpc_reply *reply, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t room = reply->body.max - reply->body.len;
		size_t piece = len < room ? len : room;

		if (piece == 0 || buffer_append(&reply->body, data, piece, &reply->failure) < 0) {
			reply->failure = (struct error)ERROR_INIT;
			(void)error_set(&reply->failure, ERR_EXHAUSTED, "the answer is larger than %zu bytes",
					reply->body.max - GRPC_REPLY_FRAME_HEADER);
			return give_up(reply);
		}
		data += piece;
		len -= piece;
		if (reply->call->on_message && hand_on(reply) < 0)
			return -1;
	}
	return 0;
}

/* ---- the end ---- */

static int finish_unary(const struct grpc_reply *reply, struct error *err)
{
	const uint8_t *body = (const uint8_t *)reply->body.data;
	size_t len;

	if (reply->body.len < GRPC_REPLY_FRAME_HEADER)
		return error_set(err, ERR_INTERNAL, "the answer has a status but no message");
	if (check_frame(body, err) < 0)
		return -1;
	len = reply->body.len - GRPC_REPLY_FRAME_HEADER;
	if (announced(body) != len)
		return error_set(err, ERR_INTERNAL, "the answer holds %zu bytes and announces %zu", len, announced(body));
	return buffer_append(reply->call->response, body + GRPC_REPLY_FRAME_HEADER, len, err);
}

static int finish_stream(const struct grpc_reply *reply, struct error *err)
{
	if (reply->body.len > 0)
		return error_set(err, ERR_INTERNAL, "the stream ends in the middle of a message");
	return 0;
}

int grpc_reply_finish(struct grpc_reply *reply, uint32_t reset_code, struct error *err)
{
	if (reply->failed) {
		*err = reply->failure;
		return -1;
	}
	if (reply->grpc_status > 0)
		return error_set(err, grpc_error_code(reply->grpc_status), "%s",
				 reply->message[0] ? reply->message : "no reason given");
	if (reply->grpc_status == 0)
		return reply->call->on_message ? finish_stream(reply, err) : finish_unary(reply, err);
	if (reply->http_status > 0 && reply->http_status != 200)
		return error_set(err, ERR_UNAVAILABLE, "HTTP status %ld", reply->http_status);
	return error_set(err, reset_code == NGHTTP2_CANCEL ? ERR_CANCELLED : ERR_UNAVAILABLE, "the daemon reset the call: %s",
			 nghttp2_http2_strerror(reset_code));
}
