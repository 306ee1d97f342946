/*
 * The socket that clients connect to: bound by us, or handed over by systemd (sd_listen_fds(3), by the environment alone). Peers that
 * are not root are disconnected here. When descriptors run out, accepting pauses for a moment instead of spinning.
 */
#ifndef MONOPOD_CRI_LISTENER_H
#define MONOPOD_CRI_LISTENER_H

#include <uv.h>

#include "base/error.h"

struct listener;

/* A client: root by its credentials, the descriptor non-blocking, close-on-exec and the callee's. */
typedef void listener_cb(int fd, void *arg);

/*
 * Binds `path`, mode 0600 from birth. What is there already is removed only when it is a socket on which nobody listens; a socket that
 * answers is ERR_EXISTS, anything else ERR_STATE. The folder of `path` is locked meanwhile, so that two daemons that start together
 * cannot take the socket from each other.
 */
int listener_open(uv_loop_t *loop, const char *path, listener_cb *on_connection, void *arg, struct listener **ret_listener,
		  struct error *err);

/* Takes `fd`, a listening socket, on success. On failure the handles go at a later turn of the loop. */
int listener_adopt(uv_loop_t *loop, int fd, listener_cb *on_connection, void *arg, struct listener **ret_listener,
		   struct error *err);

/*
 * The first listening unix stream socket that was handed to this process (LISTEN_PID, LISTEN_FDS), made close-on-exec; -1 when there is
 * none. Other descriptors that came the same way, such as those of an fd store, are left alone.
 */
int listener_inherited_fd(void);

/* Stops listening; removes the file when it is still the one that was bound here. The memory goes at a later turn of the loop. */
void listener_close(struct listener *listener);

#endif
