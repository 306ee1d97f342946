/*
 * One request and its reply.
 *
 *     HEADERS ──► BODY ──► READY ──► RUNNING ──► ANSWERED
 *        └──────────┴────────┴─── refused ──────────▲
 *
 * The headers name a method that exists, the body brings one message, session.c starts the operation when nghttp2 has returned, the
 * operation answers. Whatever goes wrong on the way is an answer too. The stream lives until nghttp2 closes it: with the last byte of
 * the answer, with a reset by either side, or with the connection. An operation that runs then is told and goes on without it.
 */
#include <assert.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/log.h"
#include "cri/session_state.h"

static const bool moves[STREAM_STATE_COUNT][STREAM_STATE_COUNT] = {
	[STREAM_HEADERS] = { [STREAM_BODY] = true, [STREAM_ANSWERED] = true },
	[STREAM_BODY] = { [STREAM_READY] = true, [STREAM_ANSWERED] = true },
	[STREAM_READY] = { [STREAM_RUNNING] = true, [STREAM_ANSWERED] = true },
	[STREAM_RUNNING] = { [STREAM_ANSWERED] = true },
};

static void move_to(struct stream *stream, enum stream_state state)
{
	assert(moves[stream->state][state]);
	stream->state = state;
}

struct stream *stream_open(struct session *session, int32_t id)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->session = session;
	stream->id = id;
	stream->began_us = session_now_us(session);
	stream->deadline_us = INT64_MAX;
	stream->arrival_us = stream->began_us + SESSION_ARRIVAL_US;
	stream->out_tail = &stream->out;
	request_head_init(&stream->head);
	grpc_decoder_init(&stream->decoder, session->config.max_message_bytes);
	DL_APPEND(session->streams, stream);
	session->n_streams++;
	session_expect_by(session, stream->arrival_us);
	return stream;
}

void stream_drop_request(struct stream *stream)
{
	session_give_bytes(stream->session, stream->request_bytes);
	stream->request_bytes = 0;
	grpc_decoder_release(&stream->decoder);
}

void stream_free(struct stream *stream)
{
	struct session *session = stream->session;

	stream_drop_request(stream);
	stream_drop_reply(stream);
	DL_DELETE(session->streams, stream);
	session->n_streams--;
	free(stream->end_text);
	free(stream);
}

static const char *title_of(const struct stream *stream)
{
	return stream->method ? stream->method->name : stream->head.path;
}

static enum log_level level_of(enum error_code code)
{
	if (code == ERR_NONE)
		return LOG_LEVEL_DEBUG;
	return code == ERR_INTERNAL || code == ERR_DATA_LOSS ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO;
}

static void log_end(const struct stream *stream, enum error_code code, const char *text)
{
	int64_t took_us = session_now_us(stream->session) - stream->began_us;

	log_write(level_of(code), "cri", "%s: %s%s%s took_us=%lld", title_of(stream), error_code_name(code), code ? ": " : "",
		  code ? text : "", (long long)took_us);
}

/* nghttp2 closed the stream. */
void stream_close(struct stream *stream)
{
	if (stream->state != STREAM_ANSWERED)
		log_end(stream, ERR_CANCELLED, "the client went away");
	if (stream->rpc)
		rpc_cancel(stream->rpc, ERR_CANCELLED, "the client went away");
	if (stream->state == STREAM_READY)
		session_forget_ready(stream);
	stream_free(stream);
}

/* From here on only the reply's way to the client is left, which has a deadline of its own. */
static void close_request(struct stream *stream)
{
	if (stream->state == STREAM_READY)
		session_forget_ready(stream);
	move_to(stream, STREAM_ANSWERED);
	stream_drop_request(stream);
	stream->arrival_us = session_now_us(stream->session) + SESSION_DELIVERY_US;
	session_expect_by(stream->session, stream->arrival_us);
}

void stream_end(struct stream *stream, enum error_code code, const char *text)
{
	if (stream->state == STREAM_ANSWERED)
		return;
	log_end(stream, code, text);
	close_request(stream);
	stream_finish_reply(stream, code, text);
}

static void fail(struct stream *stream, const struct error *err)
{
	stream_end(stream, err->code, err->text);
}

/* Not gRPC: answered in HTTP's own words. */
static void refuse_http(struct stream *stream, int status)
{
	log_info("cri", "%s: HTTP status %d", title_of(stream), status);
	close_request(stream);
	stream_refuse_http(stream, status);
}

static int find_method(struct stream *stream, struct error *err)
{
	const struct session_config *config = &stream->session->config;

	stream->method = config->find(stream->head.path, &stream->service);
	if (!stream->method)
		return error_set(err, ERR_UNIMPLEMENTED, "no such method: %s", stream->head.path);
	if (!stream->method->run)
		return error_set(err, ERR_UNIMPLEMENTED, "%s is not built yet", stream->method->name);
	return 0;
}

static void set_deadline(struct stream *stream)
{
	if (stream->head.timeout_us < 0)
		return;
	stream->deadline_us = stream->began_us + stream->head.timeout_us;
	session_expect_by(stream->session, stream->deadline_us);
}

void stream_begin(struct stream *stream)
{
	int status = request_head_http_status(&stream->head);
	struct error err = ERROR_INIT;

	if (status != 200) {
		refuse_http(stream, status);
		return;
	}
	if (request_head_check(&stream->head, &err) < 0 || find_method(stream, &err) < 0) {
		fail(stream, &err);
		return;
	}
	set_deadline(stream);
	move_to(stream, STREAM_BODY);
}

/* Requests of all methods are single messages. */
static int take_body(struct stream *stream, const uint8_t *data, size_t len, struct error *err)
{
	ssize_t used;

	if (!session_take_bytes(stream->session, len))
		return error_set(err, ERR_EXHAUSTED, "too many bytes of requests are in memory");
	stream->request_bytes += len;
	used = grpc_decoder_feed(&stream->decoder, data, len, err);
	if (used < 0)
		return -1;
	if ((size_t)used < len)
		return error_set(err, ERR_INVALID, "more than one message in a request");
	return 0;
}

void stream_feed(struct stream *stream, const uint8_t *data, size_t len)
{
	struct error err = ERROR_INIT;

	if (stream->state == STREAM_BODY && take_body(stream, data, len, &err) < 0)
		fail(stream, &err);
}

void stream_finish_request(struct stream *stream)
{
	if (stream->state != STREAM_BODY)
		return;
	if (!grpc_decoder_complete(&stream->decoder)) {
		stream_end(stream, ERR_INVALID,
			   grpc_decoder_empty(&stream->decoder) ? "request without a message"
								: "request ends in the middle of its message");
		return;
	}
	move_to(stream, STREAM_READY);
	session_add_ready(stream);
}

void stream_run(struct stream *stream)
{
	move_to(stream, STREAM_RUNNING);
	rpc_start(stream);
}

int64_t stream_due_us(const struct stream *stream)
{
	bool may_dawdle = stream->state == STREAM_READY || stream->state == STREAM_RUNNING;
	int64_t due_us = may_dawdle ? INT64_MAX : stream->arrival_us;

	if (stream->state != STREAM_ANSWERED && stream->deadline_us < due_us)
		due_us = stream->deadline_us;
	return due_us;
}

static const char *lateness(const struct stream *stream, int64_t now_us)
{
	if (stream->deadline_us > now_us)
		return "the request did not arrive in 60 s";
	return stream->state == STREAM_RUNNING ? "the deadline passed while the operation was in progress"
					       : "the deadline passed before the request was there";
}

void stream_expire(struct stream *stream, int64_t now_us)
{
	if (stream_due_us(stream) > now_us)
		return;
	if (stream->state == STREAM_ANSWERED) {
		stream->arrival_us = INT64_MAX;
		(void)nghttp2_submit_rst_stream(stream->session->h2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
		return;
	}
	if (stream->rpc)
		rpc_cancel(stream->rpc, ERR_DEADLINE, "the deadline passed");
	stream_end(stream, ERR_DEADLINE, lateness(stream, now_us));
}
