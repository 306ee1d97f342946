#include "cri/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "cri/peer.h"
#include "cri/socket.h"

/* Descriptors come back when connections end. */
#define PAUSE_MS 100

struct listener {
	uv_poll_t poll;
	uv_timer_t pause;
	unsigned n_handles;
	struct server_socket sock;
	listener_cb *on_connection;
	void *arg;
};

/* At most so many at once, for the sake of those who are connected; the rest is accepted at the next turn. */
#define ACCEPTS_PER_TURN 64

static void on_readable(uv_poll_t *poll, int status, int events);

static void resume(uv_timer_t *timer)
{
	struct listener *listener = timer->data;

	(void)uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void pause_accepting(struct listener *listener, int sys_errno)
{
	log_warn("cri", "accept a connection: %s; trying again in %d ms", strerrordesc_np(sys_errno), PAUSE_MS);
	(void)uv_poll_stop(&listener->poll);
	(void)uv_timer_start(&listener->pause, resume, PAUSE_MS, 0);
}

static void hand_over(const struct listener *listener, int fd)
{
	struct error err = ERROR_INIT;

	if (peer_check_root(fd, &err) < 0) {
		log_warn("cri", "%s", err.text);
		close_fd(&fd);
		return;
	}
	listener->on_connection(fd, listener->arg);
}

/* Errors that belong to the connection (ECONNABORTED) or to nobody (EINTR) concern us no further than the next attempt. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;

	(void)status;
	(void)events;
	for (int n = 0; n < ACCEPTS_PER_TURN; n++) {
		int fd = accept4(listener->sock.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			hand_over(listener, fd);
		else if (errno == EAGAIN)
			return;
		else if (errno != ECONNABORTED && errno != EINTR)
			return pause_accepting(listener, errno);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;

	if (--listener->n_handles == 0)
		free(listener);
}

/* uv_poll_init() also makes the descriptor non-blocking, which an inherited one may not be. */
static int init_handles(struct listener *listener, uv_loop_t *loop, int fd, struct error *err)
{
	int result = uv_poll_init(loop, &listener->poll, fd);

	if (result != 0)
		return error_sys(err, -result, "watch the listening socket");
	/* Cannot fail (libuv 1.44). */
	(void)uv_timer_init(loop, &listener->pause);
	listener->poll.data = listener->pause.data = listener;
	listener->n_handles = 2;
	return 0;
}

int listener_open(uv_loop_t *loop, struct server_socket *sock, listener_cb *on_connection, void *arg,
		  struct listener **ret_listener, struct error *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return error_set(err, ERR_EXHAUSTED, "out of memory for a listener");
	if (init_handles(listener, loop, sock->fd, err) < 0) {
		free(listener);
		return -1;
	}
	listener->sock = *sock;
	*sock = (struct server_socket)SERVER_SOCKET_INIT;
	listener->on_connection = on_connection;
	listener->arg = arg;
	resume(&listener->pause);
	*ret_listener = listener;
	return 0;
}

void listener_close(struct listener *listener)
{
	uv_close((uv_handle_t *)&listener->poll, on_closed);
	uv_close((uv_handle_t *)&listener->pause, on_closed);
	server_socket_close(&listener->sock); /* libuv has forgotten the descriptor */
}
