/*
 * One client on the socket: a session (session.h) with libuv around it.
 *
 * Writes go out at once as far as the socket takes them; the rest waits in one buffer while nothing more is pulled from the session, and
 * when too much waits behind it, nothing more is read either. Answers that operations give outside of our callbacks are written at the
 * start of the loop's next turn, several at a time. A connection closes itself: at end of file, on a failure, when the session is over.
 */
#ifndef MONOPOD_CRI_CONNECTION_H
#define MONOPOD_CRI_CONNECTION_H

#include <uv.h>

#include "base/error.h"
#include "cri/session.h"

struct connection;

struct connection_config {
	uv_loop_t *loop;
	struct session_config session;                               /* on_output and arg are set by connection_open() */
	void (*on_closed)(struct connection *connection, void *arg); /* its memory goes when this returns */
	void *arg;
};

/* Takes `fd`, a connected non-blocking stream socket, in any case. on_closed is called on success only, never from inside this call. */
int connection_open(int fd, const struct connection_config *config, struct connection **ret_connection, struct error *err);

/* See session_shutdown(); then it closes. */
void connection_shutdown(struct connection *connection);

/* Now; calls in progress are cancelled. Harmless when it closes already. */
void connection_close(struct connection *connection);

struct session_load connection_load(const struct connection *connection);

#endif
