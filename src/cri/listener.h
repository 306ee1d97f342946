/*
 * Accepts clients. Peers that are not root are disconnected here. When descriptors run out, accepting pauses for a moment instead of
 * spinning.
 */
#ifndef MONOPOD_CRI_LISTENER_H
#define MONOPOD_CRI_LISTENER_H

#include <uv.h>

#include "base/error.h"

struct listener;
struct server_socket;

/* A client: root by its credentials, the descriptor non-blocking, close-on-exec and the callee's. */
typedef void listener_cb(int fd, void *arg);

/* Takes the socket on success. */
int listener_open(uv_loop_t *loop, struct server_socket *sock, listener_cb *on_connection, void *arg,
		  struct listener **ret_listener, struct error *err);

/* Stops listening at once and closes the socket. The memory goes at a later turn of the loop. */
void listener_close(struct listener *listener);

#endif
