/*
 * A gRPC client for unary and server-streaming calls over one unix socket connection, blocking, for one thread.
 *
 * The wire is gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md) without TLS and without message compression. Calls run one after
 * another on the same connection. A connection that the server closed between two calls (GOAWAY, restart) is opened anew; one that
 * breaks during a call fails that call, because nobody can know whether the server acted.
 */
#ifndef MONOPOD_CLI_GRPC_CLIENT_H
#define MONOPOD_CLI_GRPC_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct grpc_client;

/* One message of a reply that we are ready to hold: lists grow with the node, about 1.5 KB per container; 64 MiB is 40,000. */
#define GRPC_CLIENT_MAX_MESSAGE ((size_t)64 * 1024 * 1024)

struct grpc_call {
	const char *path;        /* "/runtime.v1.RuntimeService/Version" */
	int64_t timeout_ms;      /* sent as grpc-timeout and kept here too; 0: none */
	const void *request;     /* the encoded message */
	size_t request_len;      /* at most UINT32_MAX */
	struct buffer *response; /* unary: gets the encoded reply; its max is the limit */

	/* Server-streaming when on_message is there: it gets each message as it comes, and gives the stream up by -1 and an error. on_open
	 * (may be NULL) is called when the server has taken the call. Neither may use the client for anything but
	 * grpc_client_cancel(). */
	int (*on_message)(void *arg, const uint8_t *data, size_t len, struct error *err);
	void (*on_open)(void *arg);
	void *arg;
	size_t max_message; /* bytes of one message */
};

/* Connects. ERR_UNAVAILABLE, with what to do about it, when nobody listens. */
int grpc_client_open(const char *socket_path, struct grpc_client **ret_client, struct error *err);

/* Takes a connected stream socket, owned by the client on success. Such a client cannot connect again. */
int grpc_client_adopt(int fd, struct grpc_client **ret_client, struct error *err);

/* NULL is fine. */
void grpc_client_close(struct grpc_client *client);

/* Fails with the code that the grpc-status stands for and the server's message, with ERR_DEADLINE when the time is up (the stream is
 * reset, the connection stays usable), with ERR_UNAVAILABLE when the connection broke. */
int grpc_client_call(struct grpc_client *client, const struct grpc_call *call, struct error *err);

/* From a callback of the call: it ends with ERR_CANCELLED, the stream is reset, the connection stays usable. */
void grpc_client_cancel(struct grpc_client *client);

/* Sends a duplicate of `fd` along with the first bytes of the connection (SCM_RIGHTS), on which nothing may have been called yet. `fd` stays
 * the caller's and open until the first call has returned. */
void grpc_client_attach(struct grpc_client *client, int fd);

/* While a call waits, also poll `fd` for reading and call back when it is ready: lets one thread time events that happen during a
 * call. fd -1 ends it. The callback must make the descriptor unreadable. */
typedef void grpc_watch_cb(void *arg);
void grpc_client_watch(struct grpc_client *client, int fd, grpc_watch_cb *callback, void *arg);

/* The status code of a gRPC trailer (0 to 16, grpc/doc/statuscodes.md) as one of ours; unknown numbers are ERR_INTERNAL. */
enum error_code grpc_error_code(long status);

#endif
