/* What nghttp2 tells us, handed to the streams. Nothing here starts an operation. */
#include "cri/session_state.h"

/* Tokens of the rate budget. A reply is a HEADERS and a DATA frame at least. */
#define COST_CONTROL 1
#define COST_RESET 4
#define GAIN_SENT 8

static struct stream *find_stream(nghttp2_session *h2, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(h2, id) : NULL;
}

/* Once over the budget the connection ends: the caller's failure is fatal to nghttp2, the GOAWAY says why. */
static int charge(struct session *session, int64_t tokens)
{
	if (rate_budget_take(&session->nuisance, tokens, session_now_us(session)))
		return 0;
	if (!session->is_nuisance)
		(void)nghttp2_session_terminate_session(session->h2, NGHTTP2_ENHANCE_YOUR_CALM);
	session->is_nuisance = true;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_frame(nghttp2_session *h2, const nghttp2_frame_hd *hd, void *user_data)
{
	(void)h2;
	if (hd->type == NGHTTP2_HEADERS)
		return 0;
	if (hd->type == NGHTTP2_DATA && (hd->length > 0 || hd->flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	return charge(user_data, hd->type == NGHTTP2_RST_STREAM ? COST_RESET : COST_CONTROL);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data)
{
	struct stream *stream;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = stream_open(user_data, frame->hd.stream_id);
	if (!stream)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	(void)nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, stream);
	return 0;
}

/* Trailers of a request carry nothing that gRPC knows. */
static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *user_data)
{
	struct stream *stream = find_stream(h2, frame->hd.stream_id);

	(void)flags;
	(void)user_data;
	if (stream && stream->state == STREAM_HEADERS)
		request_head_add(&stream->head, (const char *)name, name_len, (const char *)value, value_len);
	return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user_data)
{
	struct stream *stream = find_stream(h2, id);

	(void)flags;
	(void)user_data;
	if (stream)
		stream_feed(stream, data, len);
	return 0;
}

static void on_stream_frame(struct stream *stream, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_HEADERS && stream->state == STREAM_HEADERS)
		stream_begin(stream);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		stream_finish_request(stream);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data)
{
	struct session *session = user_data;
	struct stream *stream;

	switch (frame->hd.type) {
	case NGHTTP2_SETTINGS:
		session->has_settings = true;
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			session->pinged_us = 0;
		break;
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		stream = find_stream(h2, frame->hd.stream_id);
		if (stream)
			on_stream_frame(stream, frame);
		break;
	default:
		break;
	}
	return 0;
}

/* A complete answer to a request that is still coming: tell the client to stop (RFC 9113 section 8.1). */
static void end_upload(nghttp2_session *h2, int32_t id)
{
	if (nghttp2_session_get_stream_remote_close(h2, id) == 0)
		(void)nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

/* Resets of ours that the client provoked (CVE-2025-8671) cost it as much as its own. */
static int on_sent(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data)
{
	struct session *session = user_data;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		rate_budget_give(&session->nuisance, GAIN_SENT);
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			end_upload(h2, frame->hd.stream_id);
		return 0;
	case NGHTTP2_RST_STREAM:
		return frame->rst_stream.error_code == NGHTTP2_NO_ERROR ? 0 : charge(session, COST_RESET);
	default:
		return 0;
	}
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t error_code, void *user_data)
{
	struct stream *stream = find_stream(h2, id);

	(void)error_code;
	(void)user_data;
	if (!stream)
		return 0;
	(void)nghttp2_session_set_stream_user_data(h2, id, NULL);
	stream_close(stream);
	return 0;
}

int session_callbacks_new(nghttp2_session_callbacks **ret_callbacks)
{
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return -1;
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	*ret_callbacks = callbacks;
	return 0;
}
