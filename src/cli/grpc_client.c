/*
 * One call: frames are queued into `out` and sent in as few writes as the socket takes; then the socket is polled until the stream
 * is closed, the deadline passes or the connection breaks. What arrives goes to struct grpc_reply, which is judged once, at the end:
 * trailers decide, not the order of frames.
 */
#include "cli/grpc_client.h"

#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/grpc_reply.h"

/* Room for a big list without waiting for our own window updates. */
#define WINDOW_BYTES ((int32_t)16 * 1024 * 1024)

/* How long connect(2) may wait for a place in the listener's backlog. */
#define CONNECT_TIMEOUT_S 10

/* Queued but unsent bytes: a request and the control frames that answer the server's. */
#define MAX_OUT_BYTES ((size_t)80 * 1024 * 1024)

#define READ_BYTES 65536

#define FRAME_HEADER GRPC_REPLY_FRAME_HEADER

struct upload {
	uint8_t header[FRAME_HEADER];
	const uint8_t *data;
	size_t len; /* of header and data */
	size_t sent;
};

struct grpc_client {
	char *path; /* NULL: adopted */
	int fd;
	nghttp2_session *session;
	struct buffer out;
	bool going_away; /* the server sent GOAWAY: no new stream */
	struct grpc_reply reply;
	int32_t stream_id;   /* of the call; 0: none */
	bool closed;         /* the stream is */
	bool cancelled;      /* by the caller */
	uint32_t reset_code; /* HTTP/2 error code of the stream's end */
	struct upload upload;
	int attached; /* to go along with the next bytes; -1: none */
	int watch_fd;
	grpc_watch_cb *on_watch;
	void *watch_arg;
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
	struct grpc_client *client = user_data;

	(void)session;
	(void)flags;
	if (frame->hd.stream_id == client->stream_id)
		grpc_reply_header(&client->reply, (const char *)name, name_len, (const char *)value, value_len);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len, void *user_data)
{
	struct grpc_client *client = user_data;

	(void)flags;
	if (stream_id != client->stream_id || client->reply.failed || grpc_reply_data(&client->reply, data, len) == 0)
		return 0;
	return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_CANCEL) == 0 ? 0
												     : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data)
{
	struct grpc_client *client = user_data;

	(void)session;
	if (stream_id == client->stream_id) {
		client->closed = true;
		client->reset_code = error_code;
	}
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct grpc_client *client = user_data;

	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		client->going_away = true;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.stream_id == client->stream_id)
		grpc_reply_headers_end(&client->reply);
	return 0;
}

static int session_open(struct grpc_client *client, struct error *err)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES },
	};
	nghttp2_session_callbacks *callbacks = NULL;
	int status = nghttp2_session_callbacks_new(&callbacks);

	if (status == 0) {
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
		status = nghttp2_session_client_new(&client->session, callbacks, client);
		nghttp2_session_callbacks_del(callbacks);
	}
	if (status == 0)
		status = nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));
	if (status == 0)
		status = nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES);
	if (status != 0)
		return error_set(err, ERR_EXHAUSTED, "open HTTP/2 session: %s", nghttp2_strerror(status));
	return 0;
}

static void session_close(struct grpc_client *client)
{
	nghttp2_session_del(client->session);
	client->session = NULL;
	client->going_away = false;
	buffer_clear(&client->out);
	close_fd(&client->fd);
}

static int connect_socket(const char *path, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = CONNECT_TIMEOUT_S };
	_cleanup_fd_ int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERR_INVALID, "socket path %s is longer than %zu bytes", path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(err, errno, "make a unix socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		(void)error_sys(err, errno, "connect to %s", path);
		err->code = ERR_UNAVAILABLE;
		return -1;
	}
	return steal_fd(&fd);
}

static int client_start(struct grpc_client *client, int fd, struct error *err)
{
	client->fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return error_sys(err, errno, "make the socket non-blocking");
	return session_open(client, err);
}

static int client_connect(struct grpc_client *client, struct error *err)
{
	int fd = connect_socket(client->path, err);

	return fd < 0 ? -1 : client_start(client, fd, err);
}

static struct grpc_client *client_new(struct error *err)
{
	struct grpc_client *client = calloc(1, sizeof(*client));

	if (!client) {
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
		return NULL;
	}
	client->fd = client->watch_fd = client->attached = -1;
	buffer_init(&client->out, MAX_OUT_BYTES);
	return client;
}

int grpc_client_open(const char *socket_path, struct grpc_client **ret_client, struct error *err)
{
	struct grpc_client *client = client_new(err);

	if (!client)
		return -1;
	client->path = strdup(socket_path);
	if (!client->path)
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
	if (!client->path || client_connect(client, err) < 0) {
		grpc_client_close(client);
		return -1;
	}
	*ret_client = client;
	return 0;
}

int grpc_client_adopt(int fd, struct grpc_client **ret_client, struct error *err)
{
	struct grpc_client *client = client_new(err);

	if (!client)
		return -1;
	if (client_start(client, fd, err) < 0) {
		client->fd = -1;
		grpc_client_close(client);
		return -1;
	}
	*ret_client = client;
	return 0;
}

void grpc_client_close(struct grpc_client *client)
{
	if (!client)
		return;
	session_close(client);
	buffer_release(&client->out);
	grpc_reply_release(&client->reply);
	free(client->path);
	free(client);
}

void grpc_client_cancel(struct grpc_client *client)
{
	client->cancelled = true;
	grpc_reply_cancel(&client->reply);
}

void grpc_client_watch(struct grpc_client *client, int fd, grpc_watch_cb *callback, void *arg)
{
	client->watch_fd = fd;
	client->on_watch = callback;
	client->watch_arg = arg;
}

/* Moves every frame that the session has ready into `out`, so that headers and data leave in one write. */
static int collect_frames(struct grpc_client *client, struct error *err)
{
	const uint8_t *data = NULL;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(client->session, &data)) > 0) {
		if (buffer_append(&client->out, data, (size_t)n, err) < 0)
			return error_prefix(err, "queue request");
	}
	return n < 0 ? error_set(err, ERR_INTERNAL, "encode request: %s", nghttp2_strerror((int)n)) : 0;
}

void grpc_client_attach(struct grpc_client *client, int fd)
{
	client->attached = fd;
}

static ssize_t send_some(struct grpc_client *client)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec vector = { client->out.data, client->out.len };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	ssize_t n;

	if (client->attached >= 0) {
		memcpy(CMSG_DATA(&control.header), &client->attached, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	n = sendmsg(client->fd, &message, MSG_NOSIGNAL);
	if (n > 0)
		client->attached = -1;
	return n;
}

static int flush(struct grpc_client *client, struct error *err)
{
	if (collect_frames(client, err) < 0)
		return -1;
	while (client->out.len > 0) {
		ssize_t n = send_some(client);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return error_set(err, ERR_UNAVAILABLE, "send to the daemon: %s", strerror(errno));
		buffer_consume(&client->out, (size_t)n);
	}
	return 0;
}

/* Reads what is there. 0 also when nothing was; -1 when the connection is over. */
static int receive(struct grpc_client *client, struct error *err)
{
	uint8_t data[READ_BYTES];

	for (;;) {
		ssize_t n = recv(client->fd, data, sizeof(data), 0);
		ssize_t used;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return error_set(err, ERR_UNAVAILABLE, "receive from the daemon: %s", strerror(errno));
		if (n == 0)
			return error_set(err, ERR_UNAVAILABLE, "the daemon closed the connection");
		used = nghttp2_session_mem_recv(client->session, data, (size_t)n);
		if (used != n)
			return error_set(err, ERR_UNAVAILABLE, "the peer does not speak HTTP/2: %s", nghttp2_strerror((int)used));
		if ((size_t)n < sizeof(data))
			return 0;
	}
}

static ssize_t read_upload(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t size, uint32_t *data_flags,
			   nghttp2_data_source *source, void *user_data)
{
	struct upload *u = source->ptr;
	size_t n = 0;

	(void)session;
	(void)stream_id;
	(void)user_data;
	while (n < size && u->sent < FRAME_HEADER)
		out[n++] = u->header[u->sent++];
	if (n < size && u->sent < u->len) {
		size_t rest = u->len - u->sent < size - n ? u->len - u->sent : size - n;

		memcpy(out + n, u->data + (u->sent - FRAME_HEADER), rest);
		u->sent += rest;
		n += rest;
	}
	if (u->sent == u->len)
		*data_flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void upload_init(struct upload *u, const struct grpc_call *call)
{
	uint32_t len = (uint32_t)call->request_len;

	*u = (struct upload){ .data = call->request, .len = FRAME_HEADER + call->request_len };
	u->header[1] = (uint8_t)(len >> 24);
	u->header[2] = (uint8_t)(len >> 16);
	u->header[3] = (uint8_t)(len >> 8);
	u->header[4] = (uint8_t)len;
}

/* At most eight digits and a unit (PROTOCOL-HTTP2.md, Timeout). */
static void format_timeout(char *text, size_t size, int64_t timeout_ms)
{
	if (timeout_ms < 100000000)
		(void)snprintf(text, size, "%lldm", (long long)timeout_ms);
	else
		(void)snprintf(text, size, "%lldS", (long long)(timeout_ms / 1000 < 100000000 ? timeout_ms / 1000 : 99999999));
}

static nghttp2_nv header(const char *name, const char *value)
{
	/* The library copies both and writes to neither; its type has no const. */
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

static int submit(struct grpc_client *client, const struct grpc_call *call, struct error *err)
{
	nghttp2_data_provider provider = { .source.ptr = &client->upload, .read_callback = read_upload };
	char timeout[32];
	int32_t id;

	format_timeout(timeout, sizeof(timeout), call->timeout_ms);
	upload_init(&client->upload, call);
	const nghttp2_nv headers[] = {
		header(":method", "POST"),
		header(":scheme", "http"),
		header(":path", call->path),
		header(":authority", "localhost"),
		header("te", "trailers"),
		header("content-type", "application/grpc"),
		header("user-agent", "monopod/" MONOPOD_VERSION),
		header("grpc-timeout", timeout),
	};
	/* The last header is the time-out. */
	id = nghttp2_submit_request(client->session, NULL, headers, ARRAY_SIZE(headers) - (call->timeout_ms == 0), &provider, NULL);
	if (id < 0)
		return error_set(err, ERR_INTERNAL, "submit request: %s", nghttp2_strerror(id));
	client->stream_id = id;
	return 0;
}

static int fail(struct error *err, const struct error *failure)
{
	*err = *failure;
	return -1;
}

static int wait_for_events(struct pollfd fds[2], int64_t deadline_us, struct error *err)
{
	int64_t left_us = deadline_us - clock_monotonic_us();
	struct timespec left = { .tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000 };

	if (left_us <= 0)
		return error_set(err, ERR_DEADLINE, "no answer in time");
	if (ppoll(fds, 2, deadline_us == INT64_MAX ? NULL : &left, NULL) < 0) {
		fds[0].revents = fds[1].revents = 0;
		return errno == EINTR ? 0 : error_sys(err, errno, "wait for the daemon");
	}
	return 0;
}

/* One turn of waiting: polls, receives, sends. */
static int turn(struct grpc_client *client, int64_t deadline_us, struct error *err)
{
	struct pollfd fds[2] = { { .fd = client->fd, .events = POLLIN }, { .fd = client->watch_fd, .events = POLLIN } };
	struct error failure = ERROR_INIT;

	if (client->out.len > 0)
		fds[0].events |= POLLOUT;
	if (wait_for_events(fds, deadline_us, err) < 0)
		return -1;
	if (fds[1].revents)
		client->on_watch(client->watch_arg);
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) && receive(client, &failure) < 0 && !client->closed)
		return fail(err, &failure);
	if (client->cancelled)
		return error_set(err, ERR_CANCELLED, "given up");
	/* With the answer complete it does not matter whether the server still takes our acknowledgements. */
	if (flush(client, &failure) < 0 && !client->closed)
		return fail(err, &failure);
	return 0;
}

/* The stream is given up; the connection goes on. */
static void abandon(struct grpc_client *client)
{
	struct error ignored = ERROR_INIT;

	(void)nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, client->stream_id, NGHTTP2_CANCEL);
	(void)flush(client, &ignored);
}

/* Takes in what the server sent since the last call (pings, GOAWAY, its end), and connects again when the connection is over. */
static int refresh(struct grpc_client *client, struct error *err)
{
	struct error over = ERROR_INIT;

	if (client->fd >= 0 && receive(client, &over) == 0 && !client->going_away)
		return 0;
	if (!client->path)
		return error_set(err, ERR_UNAVAILABLE, "the connection is over");
	session_close(client);
	return client_connect(client, err);
}

static int prepare(struct grpc_client *client, const struct grpc_call *call, struct error *err)
{
	grpc_reply_reset(&client->reply, call);
	client->stream_id = 0;
	client->closed = client->cancelled = false;
	if (call->request_len > UINT32_MAX - FRAME_HEADER)
		return error_set(err, ERR_INVALID, "the request is larger than gRPC can frame");
	return refresh(client, err) < 0 || submit(client, call, err) < 0 ? -1 : 0;
}

int grpc_client_call(struct grpc_client *client, const struct grpc_call *call, struct error *err)
{
	int64_t deadline_us = call->timeout_ms ? clock_monotonic_us() + call->timeout_ms * 1000 : INT64_MAX;

	if (prepare(client, call, err) < 0)
		return -1;
	if (flush(client, err) < 0) {
		session_close(client);
		return -1;
	}
	while (!client->closed) {
		if (turn(client, deadline_us, err) == 0)
			continue;
		if (err->code == ERR_DEADLINE || err->code == ERR_CANCELLED)
			abandon(client);
		else
			session_close(client);
		return -1;
	}
	return grpc_reply_finish(&client->reply, client->reset_code, err);
}
