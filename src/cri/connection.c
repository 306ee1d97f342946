#include "cri/connection.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cri/peer.h"

/* One frame of nghttp2's never has more: DATA is cut at 16 KiB and our headers are short. */
#define MAX_PULL_BYTES ((size_t)20 * 1024)

/* Shared by all connections: bytes stay in these only within one callback. */
#define READ_BYTES ((size_t)64 * 1024)
#define WRITE_BYTES ((size_t)128 * 1024)
static char read_space[READ_BYTES];
static char write_space[WRITE_BYTES];

struct connection {
	struct connection_config config;
	struct session *session;
	uv_pipe_t pipe;
	uv_timer_t timer;
	uv_idle_t flusher; /* active when operations have answered; keeps the loop from sleeping */
	unsigned n_handles;
	uv_write_t write;
	char *pending; /* what the socket did not take; NULL: nothing */
	int64_t armed_us;
	bool is_reading;
	bool has_begun; /* the first bytes came, and what came with them was taken */
	bool is_broken; /* nothing can be read any more; what is to be said is said once */
	bool is_closing;
};

static void after_turn(struct connection *c);

static void on_handle_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;

	if (--c->n_handles > 0)
		return;
	session_free(c->session);
	if (c->config.on_closed)
		c->config.on_closed(c, c->config.arg);
	free(c->pending);
	free(c);
}

void connection_close(struct connection *c)
{
	if (c->is_closing)
		return;
	c->is_closing = true;
	uv_close((uv_handle_t *)&c->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
	uv_close((uv_handle_t *)&c->flusher, on_handle_closed);
}

static void fail(struct connection *c, const struct error *err)
{
	log_info("cri", "connection given up: %s", err->text);
	c->is_broken = true;
}

/* A client hands over a descriptor with its first bytes or never: looking costs each connection one system call. */
static void take_descriptor(struct connection *c)
{
	uv_os_fd_t socket;
	int fd;

	c->has_begun = true;
	if (uv_fileno((uv_handle_t *)&c->pipe, &socket) != 0)
		return;
	fd = peer_take_descriptor(socket);
	if (fd >= 0)
		session_attach(c->session, fd);
}

/* libuv asks for memory when there is something to read. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *c = handle->data;

	(void)suggested;
	if (!c->has_begun)
		take_descriptor(c);
	*buf = uv_buf_init(read_space, sizeof(read_space));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	struct connection *c = stream->data;
	struct error err = ERROR_INIT;

	if (len == 0)
		return;
	if (len < 0) {
		connection_close(c);
		return;
	}
	if (session_receive(c->session, (const uint8_t *)buf->base, (size_t)len, &err) < 0)
		fail(c, &err);
	after_turn(c);
}

static void on_timer(uv_timer_t *timer)
{
	struct connection *c = timer->data;
	struct error err = ERROR_INIT;

	c->armed_us = INT64_MAX;
	if (session_tick(c->session, &err) < 0)
		fail(c, &err);
	after_turn(c);
}

static void on_flush(uv_idle_t *idle)
{
	(void)uv_idle_stop(idle);
	after_turn(idle->data);
}

static void on_output(void *arg)
{
	struct connection *c = arg;

	if (!c->is_closing)
		(void)uv_idle_start(&c->flusher, on_flush);
}

static void on_written(uv_write_t *request, int status)
{
	struct connection *c = request->data;

	free(c->pending);
	c->pending = NULL;
	if (c->is_closing)
		return;
	if (status < 0) {
		connection_close(c);
		return;
	}
	session_note_written(c->session);
	after_turn(c);
}

/* Fills write_space; returns how much, -1 without memory. */
static ssize_t pull(struct connection *c)
{
	size_t filled = 0;

	while (filled + MAX_PULL_BYTES <= sizeof(write_space)) {
		const uint8_t *data;
		ssize_t len = session_pull(c->session, &data);

		if (len < 0 || (size_t)len > sizeof(write_space) - filled)
			return -1;
		if (len == 0)
			break;
		memcpy(write_space + filled, data, (size_t)len);
		filled += (size_t)len;
	}
	return (ssize_t)filled;
}

static int queue_rest(struct connection *c, const char *rest, size_t len)
{
	uv_buf_t buf;

	c->pending = malloc(len);
	if (!c->pending)
		return -1;
	memcpy(c->pending, rest, len);
	buf = uv_buf_init(c->pending, (unsigned)len);
	c->write.data = c;
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) == 0)
		return 0;
	free(c->pending);
	c->pending = NULL;
	return -1;
}

/* 1: more may follow, 0: nothing is left or the socket is full, -1: the connection is of no use. */
static int write_some(struct connection *c)
{
	ssize_t len = pull(c);
	uv_buf_t buf;
	int written;

	if (len <= 0)
		return (int)len;
	buf = uv_buf_init(write_space, (unsigned)len);
	written = uv_try_write((uv_stream_t *)&c->pipe, &buf, 1);
	if (written < 0 && written != UV_EAGAIN)
		return -1;
	if (written < 0)
		written = 0;
	if (written > 0)
		session_note_written(c->session);
	if (written == len)
		return 1;
	return queue_rest(c, write_space + written, (size_t)(len - written));
}

static int flush(struct connection *c)
{
	int result = 1;

	while (result > 0 && !c->pending)
		result = write_some(c);
	return result;
}

static void update_reading(struct connection *c)
{
	bool wanted = !(c->pending && session_is_backed_up(c->session));

	if (wanted == c->is_reading)
		return;
	c->is_reading = wanted;
	if (!wanted)
		(void)uv_read_stop((uv_stream_t *)&c->pipe);
	else if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0)
		connection_close(c);
}

static void update_timer(struct connection *c)
{
	int64_t when_us = session_next_event_us(c->session);
	int64_t wait_us = when_us - c->config.session.clock_us();

	if (when_us == c->armed_us)
		return;
	c->armed_us = when_us;
	uv_update_time(c->config.loop);
	(void)uv_timer_start(&c->timer, on_timer, wait_us > 0 ? (uint64_t)(wait_us + 999) / 1000 : 0, 0);
}

/* After anything that may have produced output, a deadline or an end. */
static void after_turn(struct connection *c)
{
	if (c->is_closing)
		return;
	session_tell(c->session);
	if (flush(c) < 0 || c->is_broken || (!c->pending && session_is_over(c->session))) {
		connection_close(c);
		return;
	}
	update_reading(c);
	update_timer(c);
}

/* Neither can fail (libuv 1.44, unix). */
static void init_handles(struct connection *c)
{
	(void)uv_pipe_init(c->config.loop, &c->pipe, 0);
	(void)uv_timer_init(c->config.loop, &c->timer);
	(void)uv_idle_init(c->config.loop, &c->flusher);
	c->pipe.data = c->timer.data = c->flusher.data = c;
	c->n_handles = 3;
}

static int start(struct connection *c, int *fd, struct error *err)
{
	int result = uv_pipe_open(&c->pipe, *fd);

	if (result != 0)
		return error_sys(err, -result, "take a connection");
	*fd = -1;
	return session_open(&c->config.session, &c->session, err);
}

int connection_open(int fd, const struct connection_config *config, struct connection **ret_connection, struct error *err)
{
	_cleanup_fd_ int owned = fd;
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a connection");
	c->config = *config;
	c->config.session.on_output = on_output;
	c->config.session.arg = c;
	c->armed_us = INT64_MAX;
	init_handles(c);
	if (start(c, &owned, err) < 0) {
		c->config.on_closed = NULL;
		connection_close(c);
		return -1;
	}
	/* The first turn writes our SETTINGS and starts to read. */
	on_output(c);
	*ret_connection = c;
	return 0;
}

void connection_shutdown(struct connection *c)
{
	if (!c->is_closing)
		session_shutdown(c->session);
}

struct session_load connection_load(const struct connection *c)
{
	return session_load(c->session);
}
