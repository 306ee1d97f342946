/*
 * Calls of the CRI and of monopod's Admin service by method name, with protobuf-c messages: encoding, the path, the deadline that
 * fits the method, and the reply decoded into its own type.
 */
#ifndef MONOPOD_CLI_RPC_H
#define MONOPOD_CLI_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "base/error.h"

struct grpc_client;

enum rpc_api { RPC_API_V1, RPC_API_V1ALPHA2 };

struct rpc {
	struct grpc_client *client;
	enum rpc_api api;   /* which of the two CRI service names; Admin has one */
	int64_t timeout_ms; /* 0: each method its own default */
};

/* Finds `method` ("RunPodSandbox", "PullImage", "ImportImage") in the three services, sends `request`, which must be of that method's
 * input type, and returns the reply, of its output type; free it with protobuf_c_message_free_unpacked(reply, NULL). NULL on
 * failure, with the method's name in front of the error's text. */
ProtobufCMessage *rpc_call(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, struct error *err);

/* As rpc_call() with a deadline of its own, for requests that say themselves how long they take. */
ProtobufCMessage *rpc_call_within(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, int64_t timeout_ms,
				  struct error *err);

/* Who reads a stream. */
struct rpc_stream {
	int (*on_message)(void *arg, const ProtobufCMessage *message,
			  struct error *err); /* -1 gives the stream up; see grpc_client.h */
	void (*on_open)(void *arg);           /* the server has taken the call; may be NULL */
	void *arg;
};

/* As rpc_call() for a server-streaming method: returns when the stream has ended. Without a deadline unless rpc->timeout_ms says one
 * or the method moves an image. */
int rpc_stream(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, const struct rpc_stream *stream,
	       struct error *err);

static inline void rpc_cleanup(void *message)
{
	protobuf_c_message_free_unpacked(*(ProtobufCMessage **)message, NULL);
}

/* Frees the reply at the end of the scope. */
#define _cleanup_message_ __attribute__((cleanup(rpc_cleanup)))

#endif
