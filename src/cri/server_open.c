#include "cri/server.h"

/* Apart from server.c, so that a program that serves a table of its own does not link every operation of the node. */
int server_open(struct loop *loop, const struct config *config, struct server_socket *sock, struct node *node,
		struct server **ret_server, struct error *err)
{
	return server_open_with(loop, config, sock, method_find, node, ret_server, err);
}
