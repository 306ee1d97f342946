/*
 * An operation in progress, and the way back of its answer.
 *
 * An rpc and its stream know each other while both live. When the client has its answer (a deadline) or went away first, the rpc is cut
 * off: its operation is told by on_cancel, from rpc_run_due(), and the answer that it still owes goes nowhere. When the connection ends,
 * the rpc outlives the session too.
 *
 * A server stream has no end of its own in sight, so its operation is told of a shutdown at once; a unary call may still answer.
 */
#include <assert.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "cri/decode.h"
#include "cri/session_state.h"
#include "cri/typed_error.h"

/* Operations that a client may leave behind by resetting its streams, per stream that it may have open (arbitrary). */
#define CALLS_PER_STREAM 4

#define RPC_SHUTDOWN "the daemon is shutting down"

static struct rpc *rpc_of(struct call *call)
{
	return container_of(call, struct rpc, call);
}

static void forget_due(struct rpc *rpc)
{
	if (rpc->is_due)
		/* The analyser does not know that an element which is not the last has a next one. */
		DL_DELETE2(rpc->session->due, rpc, due_prev, due_next); /* NOLINT(clang-analyzer-core.NullDereference) */
	rpc->is_due = false;
}

static void make_due(struct rpc *rpc)
{
	if (!rpc->is_due)
		DL_APPEND2(rpc->session->due, rpc, due_prev, due_next);
	rpc->is_due = true;
}

static void rpc_free(struct rpc *rpc)
{
	if (rpc->session) {
		forget_due(rpc);
		DL_DELETE(rpc->session->rpcs, rpc);
		rpc->session->n_rpcs--;
	}
	byte_budget_give(rpc->budget, rpc->bytes);
	arena_release(&rpc->call.arena);
	free(rpc);
}

/* Takes the stream out, when the client still waits. */
static struct stream *cut_off(struct rpc *rpc)
{
	struct stream *stream = rpc->stream;

	rpc->stream = NULL;
	if (stream)
		stream->rpc = NULL;
	return stream;
}

static void answer(struct rpc *rpc, enum error_code code, const char *text)
{
	struct session *session = rpc->session;
	struct stream *stream = cut_off(rpc);

	if (!stream)
		log_debug("cri", "%s: %s after the client was gone", rpc->method->name, error_code_name(code));
	rpc_free(rpc);
	if (!stream)
		return;
	stream_end(stream, code, text);
	session_notify(session);
}

static void reply(struct call *call, const ProtobufCMessage *message)
{
	struct rpc *rpc = rpc_of(call);
	struct error err = ERROR_INIT;

	assert(message->descriptor == rpc->method->response && !rpc->method->streams);
	if (rpc->stream)
		(void)stream_send(rpc->stream, message, &err);
	answer(rpc, err.code, err.text);
}

static void fail(struct call *call, const struct error *err)
{
	struct error typed = *err;

	assert(err->code != ERR_NONE);
	typed_error_to_front(&typed);
	answer(rpc_of(call), typed.code, typed.text);
}

static void finish(struct call *call)
{
	assert(rpc_of(call)->method->streams);
	answer(rpc_of(call), ERR_NONE, NULL);
}

/* A message that cannot be taken ends the stream for the client at once; the operation is told soon. */
static void break_off(struct rpc *rpc, const struct error *err)
{
	struct stream *stream = rpc->stream;

	rpc_cancel(rpc, err->code, "a message of the stream could not be sent");
	stream_end(stream, err->code, err->text);
}

static void open_reply(struct call *call)
{
	struct rpc *rpc = rpc_of(call);

	assert(rpc->method->streams);
	if (!rpc->stream)
		return;
	stream_open_reply(rpc->stream);
	session_notify(rpc->session);
}

static bool send_one(struct call *call, const ProtobufCMessage *message)
{
	struct rpc *rpc = rpc_of(call);
	struct error err = ERROR_INIT;

	assert(message->descriptor == rpc->method->response && rpc->method->streams);
	if (!rpc->stream)
		return false;
	if (stream_send(rpc->stream, message, &err) < 0)
		break_off(rpc, &err);
	else
		rpc->awaits_drain = stream_is_behind(rpc->stream);
	session_notify(rpc->session);
	return rpc->stream && !rpc->awaits_drain;
}

static const struct call_ops wire_ops = { .reply = reply, .fail = fail, .open = open_reply, .send = send_one, .finish = finish };

static struct rpc *rpc_new(struct stream *stream)
{
	struct session *session = stream->session;
	struct rpc *rpc = calloc(1, sizeof(*rpc));

	if (!rpc)
		return NULL;
	rpc->call = (struct call){
		.ops = &wire_ops,
		.service = stream->service,
		.method = stream->method->name,
		.deadline_us = stream->deadline_us,
		.attached = session->attached >= 0 ? &session->attached : NULL,
	};
	rpc->session = session;
	rpc->method = stream->method;
	rpc->budget = session->config.bytes;
	DL_APPEND(session->rpcs, rpc);
	session->n_rpcs++;
	return rpc;
}

/* The request's bytes are counted against the server's budget twice: as they came (the session's share ends here) and as they lie in
 * the arena, until the operation has answered. */
static int load_request(struct rpc *rpc, const struct buffer *message, struct error *err)
{
	size_t bytes;

	if (decode_message(rpc->method->request, (const uint8_t *)message->data, message->len, &rpc->call.arena, &rpc->call.request,
			   &bytes, err) < 0)
		return -1;
	if (!byte_budget_take(rpc->budget, bytes))
		return error_set(err, ERR_EXHAUSTED, "too many bytes of requests are in memory");
	rpc->bytes = bytes;
	return rpc->method->check ? rpc->method->check(rpc->call.request, err) : 0;
}

static int prepare(struct stream *stream, struct rpc **ret_rpc, struct error *err)
{
	const struct session *session = stream->session;
	struct rpc *rpc;

	if (session->is_leaving && stream->method->streams)
		return error_set(err, ERR_UNAVAILABLE, RPC_SHUTDOWN);
	if (session->n_rpcs >= (size_t)session->config.max_streams * CALLS_PER_STREAM)
		return error_set(err, ERR_UNAVAILABLE, "%zu operations of this connection are in progress already",
				 session->n_rpcs);
	rpc = rpc_new(stream);
	if (!rpc)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a call");
	if (load_request(rpc, &stream->decoder.message, err) < 0) {
		rpc_free(rpc);
		return -1;
	}
	*ret_rpc = rpc;
	return 0;
}

void rpc_start(struct stream *stream)
{
	struct error err = ERROR_INIT;
	struct rpc *rpc;

	if (prepare(stream, &rpc, &err) < 0) {
		stream_end(stream, err.code, err.text);
		return;
	}
	stream_drop_request(stream);
	stream->rpc = rpc;
	rpc->stream = stream;
	rpc->method->run(stream->session->config.node, &rpc->call);
}

void rpc_cancel(struct rpc *rpc, enum error_code code, const char *text)
{
	(void)cut_off(rpc);
	rpc->why = code;
	rpc->why_text = text;
	make_due(rpc);
}

void rpc_end_streams(struct session *session)
{
	struct rpc *rpc;

	DL_FOREACH (session->rpcs, rpc) {
		struct stream *stream = rpc->stream;

		if (!stream || !rpc->method->streams)
			continue;
		rpc_cancel(rpc, ERR_UNAVAILABLE, RPC_SHUTDOWN);
		stream_end(stream, ERR_UNAVAILABLE, RPC_SHUTDOWN);
	}
}

void rpc_note_drained(struct rpc *rpc)
{
	if (rpc->awaits_drain)
		make_due(rpc);
}

/* The operation may answer from inside its callback: nothing of the rpc may be touched afterwards. */
static void tell(struct rpc *rpc)
{
	struct error why = ERROR_INIT;

	if (rpc->stream) {
		rpc->awaits_drain = false;
		if (rpc->call.on_drain)
			rpc->call.on_drain(&rpc->call);
		return;
	}
	(void)error_set(&why, rpc->why, "%s", rpc->why_text);
	if (rpc->call.on_cancel)
		rpc->call.on_cancel(&rpc->call, &why);
}

void rpc_run_due(struct session *session)
{
	while (session->due) {
		struct rpc *rpc = session->due;

		forget_due(rpc);
		tell(rpc);
	}
}

/* The connection is gone: each is told unless it was, and is on its own from then on. */
void rpc_cancel_all(struct session *session)
{
	while (session->rpcs) {
		struct rpc *rpc = session->rpcs;
		bool is_told = !rpc->stream && !rpc->is_due;

		if (rpc->stream)
			rpc_cancel(rpc, ERR_CANCELLED, "the client went away");
		forget_due(rpc);
		DL_DELETE(session->rpcs, rpc);
		session->n_rpcs--;
		rpc->session = NULL;
		if (!is_told)
			tell(rpc);
	}
}
