/* Private to session.c, session_frames.c, stream.c, reply.c and rpc.c: what one connection consists of. */
#ifndef MONOPOD_CRI_SESSION_STATE_H
#define MONOPOD_CRI_SESSION_STATE_H

#include <nghttp2/nghttp2.h>

#include "cri/grpc_frame.h"
#include "cri/request_head.h"
#include "cri/session.h"
#include "task/call.h"

struct stream;
struct rpc;

struct session {
	struct session_config config;
	nghttp2_session *h2;
	int attached; /* descriptor for calls that want one; -1: none */
	struct byte_budget bytes;
	struct byte_budget feed_bytes; /* the part of `bytes` that messages of server streams may take */
	struct rate_budget nuisance;
	struct stream *streams; /* all that are open; doubly linked */
	struct stream *ready;   /* requests that are complete, to be started, in order */
	struct rpc *rpcs;       /* all without an answer; doubly linked */
	struct rpc *due;        /* those that are to be told something */
	size_t n_streams;
	size_t n_rpcs;
	int64_t opened_us;
	int64_t active_us;
	int64_t pinged_us; /* 0: none is out */
	int64_t next_event_us;
	unsigned busy; /* inside receive, pull or tick: on_output would be noise */
	bool has_settings;
	bool is_leaving;  /* GOAWAY was sent */
	bool is_nuisance; /* the rate budget is used up */
};

/* A stream's way through a request. The table of moves is in stream.c. */
enum stream_state {
	STREAM_HEADERS,  /* its headers come in */
	STREAM_BODY,     /* its message comes in */
	STREAM_READY,    /* waits to be started */
	STREAM_RUNNING,  /* an operation has it */
	STREAM_ANSWERED, /* the reply is queued, whole; nothing that comes in matters any more */
	STREAM_STATE_COUNT
};

/* One encoded message on its way out. */
struct chunk {
	struct chunk *next;
	size_t len;
	size_t sent;
	uint8_t data[];
};

struct stream {
	struct session *session;
	struct stream *prev, *next;
	struct stream *ready_prev, *ready_next;
	int32_t id;
	enum stream_state state;
	struct request_head head;
	const struct method *method;
	const char *service;
	struct grpc_decoder decoder;
	size_t request_bytes; /* taken from the budget */
	int64_t began_us;
	int64_t arrival_us;  /* when the request must be whole, and later when the reply must be gone */
	int64_t deadline_us; /* grpc-timeout; INT64_MAX without one */
	struct rpc *rpc;     /* STREAM_RUNNING */

	/* the reply */
	struct chunk *out, **out_tail;
	size_t out_bytes;
	bool has_headers; /* of the reply, submitted */
	bool is_deferred; /* nghttp2 waits for more of the body */
	enum error_code end_code;
	char *end_text; /* of the trailers; NULL when there is none */
};

/* An operation and its answer; lives until it has answered, maybe longer than stream and session. */
struct rpc {
	struct call call;
	struct session *session; /* NULL: the connection is gone */
	struct stream *stream;   /* NULL: the client has its answer, or went away */
	struct rpc *prev, *next;
	struct rpc *due_prev, *due_next;
	const struct method *method;
	struct byte_budget *budget; /* the server's, which outlives the session */
	size_t bytes;               /* taken from it: the request as it lies in memory */
	enum error_code why;        /* ERR_NONE, or what on_cancel is told */
	const char *why_text;
	bool is_due;
	bool awaits_drain;
};

/* session.c */
int64_t session_now_us(const struct session *session);
void session_expect_by(struct session *session, int64_t when_us);
void session_notify(struct session *session);
bool session_take_bytes(struct session *session, size_t bytes);
void session_give_bytes(struct session *session, size_t bytes);
void session_add_ready(struct stream *stream);
void session_forget_ready(struct stream *stream);

/* session_frames.c */
int session_callbacks_new(nghttp2_session_callbacks **ret_callbacks);

/* stream.c: the client's side. Headers are complete; bytes of the body; its end; the stream's end. */
struct stream *stream_open(struct session *session, int32_t id);
void stream_begin(struct stream *stream);
void stream_feed(struct stream *stream, const uint8_t *data, size_t len);
void stream_finish_request(struct stream *stream);
void stream_run(struct stream *stream);
int64_t stream_due_us(const struct stream *stream);
void stream_expire(struct stream *stream, int64_t now_us);
void stream_close(struct stream *stream);
void stream_free(struct stream *stream);
void stream_drop_request(struct stream *stream);

/* Ends the call for the client, once; later ends are ignored. `text` may be NULL with ERR_NONE. */
void stream_end(struct stream *stream, enum error_code code, const char *text);

/* reply.c. Headers before the first message, when there are none yet. A message that cannot be taken returns -1 and changes nothing. */
void stream_open_reply(struct stream *stream);
int stream_send(struct stream *stream, const ProtobufCMessage *message, struct error *err);
bool stream_is_behind(const struct stream *stream);
void stream_finish_reply(struct stream *stream, enum error_code code, const char *text);
void stream_refuse_http(struct stream *stream, int status);
void stream_drop_reply(struct stream *stream);

/* rpc.c */
void rpc_start(struct stream *stream);
void rpc_cancel(struct rpc *rpc, enum error_code code, const char *text);
void rpc_note_drained(struct rpc *rpc);
void rpc_end_streams(struct session *session);
void rpc_run_due(struct session *session);
void rpc_cancel_all(struct session *session);

#endif
