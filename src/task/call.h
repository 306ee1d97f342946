/*
 * One call of the CRI, as an operation sees it: a decoded request and a way to answer once.
 *
 * The server makes it, checks the request's form (UTF-8, enum values, sizes) and hands it to the operation that the method table
 * names. The operation answers exactly once with call_reply() or call_fail(), now or at a later turn of the loop, and may not touch
 * the call afterwards. When the client goes away or its deadline passes, on_cancel is called once (from the loop, never from inside
 * the operation's own start) and the operation still answers; the answer then goes nowhere.
 *
 * A server-streaming method (its row says so) sends any number of messages with call_send() and then answers with call_finish() or
 * call_fail(). What a client does not read is kept in memory, so a producer that can wait stops when call_send() says so, until on_drain
 * is called. One that cannot wait (events happen when they happen) sends on and need not count: the call is cancelled, the client told
 * with RESOURCE_EXHAUSTED, when more waits than CALL_SEND_MAX_BYTES. A shutdown of the server cancels streams at once.
 */
#ifndef MONOPOD_TASK_CALL_H
#define MONOPOD_TASK_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct call;

/* What may wait of one stream for a client that reads too slowly: some hundred events of the CRI with all their statuses, of 2 KiB to
 * 4 KiB each. One message larger than this is taken when little waits. */
#define CALL_SEND_MAX_BYTES ((size_t)1024 * 1024)

struct call_ops {
	void (*reply)(struct call *call, const ProtobufCMessage *message);
	void (*fail)(struct call *call, const struct error *err);
	void (*open)(struct call *call);
	bool (*send)(struct call *call, const ProtobufCMessage *message);
	void (*finish)(struct call *call);
};

struct call {
	const struct call_ops *ops;
	const char *service;             /* "runtime.v1.RuntimeService": which of the names it was called by; never NULL */
	const char *method;              /* "RunPodSandbox" */
	const ProtobufCMessage *request; /* of the type that the method table names; lives as long as the call */
	const int *attached;             /* a descriptor that came with the connection's first bytes, NULL when none did: the
					  * connection's, to be duplicated before the operation's start returns */
	struct arena arena;              /* for the reply; lives as long as the call */
	int64_t deadline_us;             /* CLOCK_MONOTONIC; INT64_MAX without one */
	void (*on_cancel)(struct call *call, const struct error *why); /* set by the operation; may be NULL */
	void (*on_drain)(struct call *call);                           /* set by a streaming operation; may be NULL */
	void *op;                                                      /* the operation's own */
};

/* Encodes `message` at once: its memory may go as soon as this returns. */
static inline void call_reply(struct call *call, const ProtobufCMessage *message)
{
	call->ops->reply(call, message);
}

static inline void call_fail(struct call *call, const struct error *err)
{
	call->ops->fail(call, err);
}

/* The same with a message out of the call's arena, which may have failed. */
static inline void call_reply_or_fail(struct call *call, const ProtobufCMessage *message)
{
	struct error err = ERROR_INIT;

	if (!arena_failed(&call->arena)) {
		call_reply(call, message);
		return;
	}
	(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
	call_fail(call, &err);
}

/* Sends the headers of a stream's reply before there is a message: a client that waits for them knows that it is subscribed. Optional,
 * harmless later. */
static inline void call_open(struct call *call)
{
	call->ops->open(call);
}

/* Encodes and queues one message of a stream. False: the client is behind, the next message is due after on_drain (this one was taken).
 * A message that cannot be taken (over max_message_bytes, over CALL_SEND_MAX_BYTES, no memory) cancels the call. */
static inline bool call_send(struct call *call, const ProtobufCMessage *message)
{
	return call->ops->send(call, message);
}

/* Ends a stream well. */
static inline void call_finish(struct call *call)
{
	call->ops->finish(call);
}

#endif
