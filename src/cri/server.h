/*
 * The daemon's front door: listens, keeps the connections, ends them.
 *
 * At most config->max_connections; when they are all taken, the one that has been idle longest gives way to a newcomer, so that a client
 * that forgets to close cannot lock the kubelet out.
 */
#ifndef MONOPOD_CRI_SERVER_H
#define MONOPOD_CRI_SERVER_H

#include "base/config.h"
#include "base/error.h"
#include "cri/method.h"
#include "cri/socket.h"
#include "task/node.h"

struct loop;
struct server;

/* Calls in progress may end within this time when the server closes; then they are cancelled. Longer than a pod start, far shorter than
 * systemd's patience (90 s). */
#define SERVER_GRACE_MS 5000

/* Writes to a client that has gone raise SIGPIPE, which the process must survive (src/serve.c). */

/* Serves the rows of method.h on this socket, which it takes on success. `config` and `node` must outlive the server. */
int server_open(struct loop *loop, const struct config *config, struct server_socket *sock, struct node *node,
		struct server **ret_server, struct error *err);

/* The same with another table: for tests. */
typedef const struct method *server_find_fn(const char *path, const char **ret_service);
int server_open_with(struct loop *loop, const struct config *config, struct server_socket *sock, server_find_fn *find,
		     struct node *node, struct server **ret_server, struct error *err);

/* Stops listening at once, lets calls end, closes the connections. `on_closed` is called from the loop, never from inside this call. */
void server_close(struct server *server, void (*on_closed)(void *arg), void *arg);

/* After on_closed and after the last operation has answered (node_close()): operations hold memory of its budget. NULL is fine. */
void server_free(struct server *server);

struct server_stats {
	size_t connections;
	size_t streams;
	size_t calls;
	size_t bytes; /* of requests and replies in memory */
};

void server_stats(const struct server *server, struct server_stats *ret_stats);

#endif
