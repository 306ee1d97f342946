/*
 * The socket that clients connect to: bound by us, or handed over by systemd (sd_listen_fds(3), by the environment alone).
 *
 * It is the first thing that a daemon takes: two daemons cannot have one socket, and the one that is refused has touched nothing yet.
 * Who connects before the daemon serves waits in the backlog, as with socket activation.
 */
#ifndef MONOPOD_CRI_SOCKET_H
#define MONOPOD_CRI_SOCKET_H

#include <sys/types.h>

#include "base/error.h"

struct server_socket {
	int fd;     /* -1: none */
	char *path; /* NULL: not ours to remove */
	dev_t dev;  /* of the file at `path`, */
	ino_t ino;  /* so that only that one is removed */
};

#define SERVER_SOCKET_INIT                                                                                                         \
	{                                                                                                                          \
		.fd = -1                                                                                                           \
	}

/*
 * The first listening unix stream socket that was handed to this process (LISTEN_PID, LISTEN_FDS), made close-on-exec; other descriptors
 * that came the same way, such as those of an fd store, are left alone.
 *
 * Without one, binds `path` and listens; mode 0600 from birth. What is there already is removed only when it is a socket on which nobody
 * listens; a socket that answers is ERR_EXISTS, anything else ERR_STATE. The folder of `path` is locked meanwhile, so that two daemons
 * that start together cannot take the socket from each other.
 */
int server_socket_open(const char *path, struct server_socket *ret_socket, struct error *err);

/* Stops listening; removes the file when it is still the one that was bound here. Harmless when there is none. */
void server_socket_close(struct server_socket *sock);

#endif
