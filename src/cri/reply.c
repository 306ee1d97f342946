/*
 * The reply of a stream: a queue of encoded messages that nghttp2 takes from when the client's window allows, then the trailers.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cri/session_state.h"
#include "cri/status.h"

/* Streaming: above the first an operation is asked to stop, below the second to go on. Sixteen DATA frames keep any client busy. An
 * operation that goes on is stopped at CALL_SEND_MAX_BYTES. */
#define SEND_HIGH_BYTES (256 * 1024)
#define SEND_LOW_BYTES (64 * 1024)

static struct byte_budget *budget_of(struct stream *stream)
{
	return stream->method->streams ? &stream->session->feed_bytes : &stream->session->bytes;
}

static void drop_chunk(struct stream *stream)
{
	struct chunk *chunk = stream->out;

	stream->out = chunk->next;
	if (!stream->out)
		stream->out_tail = &stream->out;
	stream->out_bytes -= chunk->len;
	byte_budget_give(budget_of(stream), chunk->len);
	free(chunk);
}

void stream_drop_reply(struct stream *stream)
{
	while (stream->out)
		drop_chunk(stream);
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

/* Without memory for an answer the client gets a reset. */
static void check_submitted(struct stream *stream, int result)
{
	if (result != 0)
		(void)nghttp2_submit_rst_stream(stream->session->h2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR);
}

/* grpc-status and grpc-message. Returns how many; they point into the two buffers. */
static size_t status_headers(nghttp2_nv *nv, enum error_code code, const char *text, char number[12],
			     char message[GRPC_MESSAGE_SIZE])
{
	(void)snprintf(number, 12, "%d", (int)grpc_status_of(code));
	nv[0] = header("grpc-status", number);
	if (code == ERR_NONE || !text)
		return 1;
	(void)grpc_message_encode(message, GRPC_MESSAGE_SIZE, text);
	nv[1] = header("grpc-message", message);
	return 2;
}

static void submit_trailers(struct stream *stream)
{
	char number[12], message[GRPC_MESSAGE_SIZE];
	nghttp2_nv nv[2];
	size_t n = status_headers(nv, stream->end_code, stream->end_text, number, message);

	check_submitted(stream, nghttp2_submit_trailer(stream->session->h2, stream->id, nv, n));
}

/* "Trailers-Only" of PROTOCOL-HTTP2.md: an answer without a message is one HEADERS frame. */
static void submit_trailers_only(struct stream *stream, enum error_code code, const char *text)
{
	char number[12], message[GRPC_MESSAGE_SIZE];
	nghttp2_nv nv[5] = { header(":status", "200"), header("content-type", "application/grpc"),
			     header("grpc-accept-encoding", "identity") };
	size_t n = 3 + status_headers(nv + 3, code, text, number, message);

	check_submitted(stream, nghttp2_submit_response(stream->session->h2, stream->id, nv, n, NULL));
}

static size_t copy_chunks(struct stream *stream, uint8_t *buf, size_t room)
{
	size_t copied = 0;

	while (stream->out && copied < room) {
		struct chunk *chunk = stream->out;
		size_t len = chunk->len - chunk->sent;

		if (len > room - copied)
			len = room - copied;
		memcpy(buf + copied, chunk->data + chunk->sent, len);
		chunk->sent += len;
		copied += len;
		if (chunk->sent == chunk->len)
			drop_chunk(stream);
	}
	return copied;
}

/* nghttp2 asks for up to `room` bytes of the reply's body. */
static ssize_t read_body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t room, uint32_t *data_flags,
			 nghttp2_data_source *source, void *user_data)
{
	struct stream *stream = source->ptr;
	size_t copied = copy_chunks(stream, buf, room);

	(void)h2;
	(void)id;
	(void)user_data;
	if (stream->rpc && stream->out_bytes < SEND_LOW_BYTES)
		rpc_note_drained(stream->rpc);
	if (stream->out || (copied > 0 && stream->state != STREAM_ANSWERED))
		return (ssize_t)copied;
	if (stream->state != STREAM_ANSWERED) {
		stream->is_deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*data_flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	submit_trailers(stream);
	return (ssize_t)copied;
}

static void submit_body(struct stream *stream)
{
	nghttp2_nv nv[] = { header(":status", "200"), header("content-type", "application/grpc"),
			    header("grpc-accept-encoding", "identity") };
	nghttp2_data_provider body = { .source.ptr = stream, .read_callback = read_body };

	stream->has_headers = true;
	check_submitted(stream, nghttp2_submit_response(stream->session->h2, stream->id, nv, ARRAY_SIZE(nv), &body));
}

static void push_body(struct stream *stream)
{
	if (!stream->has_headers)
		submit_body(stream);
	if (!stream->is_deferred)
		return;
	stream->is_deferred = false;
	check_submitted(stream, nghttp2_session_resume_data(stream->session->h2, stream->id));
}

static struct chunk *encode(struct session *session, const ProtobufCMessage *message, struct error *err)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	struct chunk *chunk;

	if (len > session->config.max_message_bytes) {
		(void)error_set(err, ERR_EXHAUSTED, "reply of %zu bytes, over the limit of %zu (server.max_message_bytes)", len,
				session->config.max_message_bytes);
		return NULL;
	}
	chunk = malloc(sizeof(*chunk) + GRPC_FRAME_HEADER_SIZE + len);
	if (!chunk) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory for a reply of %zu bytes", len);
		return NULL;
	}
	*chunk = (struct chunk){ .len = GRPC_FRAME_HEADER_SIZE + len };
	grpc_frame_header(chunk->data, (uint32_t)len);
	(void)protobuf_c_message_pack(message, chunk->data + GRPC_FRAME_HEADER_SIZE);
	return chunk;
}

/* A message may be as large as max_message_bytes, but only the first of those that the client does not take. */
static int take_room(struct stream *stream, size_t len, struct error *err)
{
	if (stream_is_behind(stream) && stream->out_bytes + len > CALL_SEND_MAX_BYTES)
		return error_set(err, ERR_EXHAUSTED, "messages were lost: %zu bytes wait for a client that does not read",
				 stream->out_bytes);
	if (!byte_budget_take(budget_of(stream), len))
		return error_set(err, ERR_EXHAUSTED, "too many bytes wait for clients that do not read");
	return 0;
}

void stream_open_reply(struct stream *stream)
{
	if (!stream->has_headers)
		submit_body(stream);
}

int stream_send(struct stream *stream, const ProtobufCMessage *message, struct error *err)
{
	struct chunk *chunk = encode(stream->session, message, err);

	if (!chunk)
		return -1;
	if (take_room(stream, chunk->len, err) < 0) {
		free(chunk);
		return -1;
	}
	*stream->out_tail = chunk;
	stream->out_tail = &chunk->next;
	stream->out_bytes += chunk->len;
	push_body(stream);
	return 0;
}

bool stream_is_behind(const struct stream *stream)
{
	return stream->out_bytes >= SEND_HIGH_BYTES;
}

/* Without headers yet, the end is all there is: "Trailers-Only". */
void stream_finish_reply(struct stream *stream, enum error_code code, const char *text)
{
	if (!stream->has_headers) {
		submit_trailers_only(stream, code, text);
		return;
	}
	stream->end_code = code;
	stream->end_text = code ? strdup(text) : NULL;
	push_body(stream);
}

void stream_refuse_http(struct stream *stream, int status)
{
	char number[12];
	nghttp2_nv nv;

	(void)snprintf(number, sizeof(number), "%d", status);
	nv = header(":status", number);
	check_submitted(stream, nghttp2_submit_response(stream->session->h2, stream->id, &nv, 1, NULL));
}
