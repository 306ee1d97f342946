/*
 * A gRPC server for tests of the client: nghttp2 on a unix socket, one connection after another on a thread of its own. What it
 * answers is decided call by call by a handler, including the ways in which a server can be wrong.
 */
#ifndef MONOPOD_TEST_GRPC_PEER_H
#define MONOPOD_TEST_GRPC_PEER_H

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Zeroed: an empty message, status 0. */
struct peer_reply {
	int status;          /* grpc-status; -1: no trailers at all */
	const char *message; /* grpc-message, percent-encoded by the test */
	const void *data;    /* the message; copied */
	size_t len;
	bool compressed_flag;  /* lie in the frame header */
	size_t announce_extra; /* announce more bytes than come */
	bool silent;           /* never answer */
	bool reset;            /* RST_STREAM instead of an answer */
	bool raw;              /* `data` is framed already: any number of messages */
	bool hold_open;        /* no end behind the message */
	bool hang_up;          /* close the connection instead */
	bool hang_up_after;    /* close it after the answer */
	int http_status;       /* 0: 200 */
};

struct peer_call {
	const char *path;
	const char *timeout; /* grpc-timeout as it came */
	const uint8_t *message;
	size_t len;
};

typedef struct peer_reply peer_handler(void *arg, const struct peer_call *call);

struct peer {
	char dir[32];
	char path[64];
	int listener;
	int wake[2];
	pthread_t thread;
	peer_handler *handler;
	void *arg;
	atomic_uint connections;
	/* the connection that is being served */
	int fd;
	nghttp2_session *session;
	bool over;
	/* the call that is being received; the client sends one at a time */
	char call_path[128];
	char call_timeout[32];
	uint8_t *request;
	size_t request_len;
	/* the answer that is being sent */
	struct peer_reply reply;
	uint8_t *body;
	size_t body_len, body_sent;
};

static inline nghttp2_nv peer_header(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0 };
}

static inline void peer_trailers(struct peer *p, int32_t stream)
{
	char status[16];
	nghttp2_nv trailers[2];

	(void)snprintf(status, sizeof(status), "%d", p->reply.status);
	trailers[0] = peer_header("grpc-status", status);
	trailers[1] = peer_header("grpc-message", p->reply.message ? p->reply.message : "");
	(void)nghttp2_submit_trailer(p->session, stream, trailers, p->reply.message ? 2 : 1);
}

static inline ssize_t peer_read_body(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size, uint32_t *flags,
				     nghttp2_data_source *source, void *user_data)
{
	struct peer *p = user_data;
	size_t n = p->body_len - p->body_sent < size ? p->body_len - p->body_sent : size;

	(void)session;
	(void)source;
	if (n)
		memcpy(out, p->body + p->body_sent, n);
	p->body_sent += n;
	if (p->reply.hold_open && n == 0)
		return NGHTTP2_ERR_DEFERRED;
	if (p->body_sent == p->body_len && !p->reply.hold_open) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (p->reply.status >= 0) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			peer_trailers(p, stream);
		}
	}
	return (ssize_t)n;
}

static inline void peer_frame_body(struct peer *p)
{
	uint32_t announced = (uint32_t)(p->reply.len + p->reply.announce_extra);

	free(p->body);
	p->body_len = p->body_sent = 0;
	p->body = malloc(5 + p->reply.len);
	if ((p->reply.status > 0 && !p->reply.raw) || !p->body)
		return;
	if (p->reply.raw) {
		p->body_len = p->reply.len;
		memcpy(p->body, p->reply.data, p->reply.len);
		return;
	}
	p->body[0] = p->reply.compressed_flag;
	p->body[1] = (uint8_t)(announced >> 24);
	p->body[2] = (uint8_t)(announced >> 16);
	p->body[3] = (uint8_t)(announced >> 8);
	p->body[4] = (uint8_t)announced;
	if (p->reply.len)
		memcpy(p->body + 5, p->reply.data, p->reply.len);
	p->body_len = 5 + p->reply.len;
}

static inline void peer_answer(struct peer *p, int32_t stream)
{
	bool framed = p->request_len >= 5;
	const struct peer_call call = { p->call_path, p->call_timeout, framed ? p->request + 5 : NULL,
					framed ? p->request_len - 5 : 0 };
	nghttp2_data_provider provider = { .read_callback = peer_read_body };
	char status[16];
	nghttp2_nv headers[2];

	p->reply = p->handler(p->arg, &call);
	p->over = p->reply.hang_up;
	if (p->reply.reset)
		(void)nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_REFUSED_STREAM);
	if (p->reply.hang_up || p->reply.silent || p->reply.reset)
		return;
	(void)snprintf(status, sizeof(status), "%d", p->reply.http_status ? p->reply.http_status : 200);
	headers[0] = peer_header(":status", status);
	headers[1] = peer_header("content-type", "application/grpc");
	peer_frame_body(p);
	(void)nghttp2_submit_response(p->session, stream, headers, 2, &provider);
}

static inline int peer_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
				 const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
	struct peer *p = user_data;

	(void)session;
	(void)frame;
	(void)flags;
	if (name_len == 5 && !memcmp(name, ":path", 5))
		(void)snprintf(p->call_path, sizeof(p->call_path), "%.*s", (int)value_len, (const char *)value);
	if (name_len == 12 && !memcmp(name, "grpc-timeout", 12))
		(void)snprintf(p->call_timeout, sizeof(p->call_timeout), "%.*s", (int)value_len, (const char *)value);
	return 0;
}

static inline int peer_on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len,
			       void *user_data)
{
	struct peer *p = user_data;

	(void)session;
	(void)flags;
	(void)stream;
	p->request = realloc(p->request, p->request_len + len);
	memcpy(p->request + p->request_len, data, len);
	p->request_len += len;
	return 0;
}

static inline int peer_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct peer *p = user_data;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS)
		p->request_len = 0;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		peer_answer(p, frame->hd.stream_id);
	return 0;
}

static inline int peer_on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user_data)
{
	struct peer *p = user_data;

	(void)session;
	(void)stream;
	(void)code;
	if (p->reply.hang_up_after)
		p->over = true;
	return 0;
}

static inline ssize_t peer_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags, void *user_data)
{
	struct peer *p = user_data;
	ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);

	(void)session;
	(void)flags;
	return n < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : n;
}

static inline void peer_open_session(struct peer *p)
{
	nghttp2_session_callbacks *callbacks = NULL;

	(void)nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, peer_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, peer_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, peer_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, peer_on_close);
	nghttp2_session_callbacks_set_send_callback(callbacks, peer_send);
	(void)nghttp2_session_server_new(&p->session, callbacks, p);
	nghttp2_session_callbacks_del(callbacks);
	(void)nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

static inline void peer_serve_connection(struct peer *p)
{
	uint8_t data[65536];

	p->over = false;
	p->reply = (struct peer_reply){ 0 };
	peer_open_session(p);
	while (!p->over && nghttp2_session_send(p->session) == 0 && !p->over) {
		struct pollfd fds[2] = { { .fd = p->fd, .events = POLLIN }, { .fd = p->wake[0], .events = POLLIN } };
		ssize_t n;

		(void)poll(fds, 2, -1);
		if (fds[1].revents)
			break;
		n = recv(p->fd, data, sizeof(data), 0);
		if (n <= 0 || nghttp2_session_mem_recv(p->session, data, (size_t)n) != n)
			break;
	}
	nghttp2_session_del(p->session);
	(void)close(p->fd);
}

static inline void *peer_main(void *arg)
{
	struct peer *p = arg;

	for (;;) {
		struct pollfd fds[2] = { { .fd = p->listener, .events = POLLIN }, { .fd = p->wake[0], .events = POLLIN } };

		(void)poll(fds, 2, -1);
		if (fds[1].revents)
			return NULL;
		p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
		if (p->fd >= 0) {
			atomic_fetch_add(&p->connections, 1);
			peer_serve_connection(p);
		}
	}
}

/* 0 on success. */
static inline int peer_open(struct peer *p, peer_handler *handler, void *arg)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*p = (struct peer){ .handler = handler, .arg = arg, .listener = -1 };
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/cli-peer.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	(void)snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	memcpy(address.sun_path, p->path, strlen(p->path));
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(p->listener, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(p->listener, 8) < 0 ||
	    pipe(p->wake) < 0)
		return -1;
	return pthread_create(&p->thread, NULL, peer_main, p);
}

static inline void peer_close(struct peer *p)
{
	(void)!write(p->wake[1], "x", 1);
	(void)pthread_join(p->thread, NULL);
	(void)close(p->listener);
	(void)close(p->wake[0]);
	(void)close(p->wake[1]);
	(void)unlink(p->path);
	(void)rmdir(p->dir);
	free(p->request);
	free(p->body);
}

#endif
