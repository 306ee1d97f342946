/*
 * One HTTP/2 connection of gRPC clients: bytes in, bytes out, calls in between. No I/O and no timers: the owner (connection.c, or a test)
 * moves the bytes and comes back when it is time.
 *
 * The owner's turn:
 *     session_receive()       bytes that came
 *     session_pull() ...      bytes to write, until there are none
 *     session_tick()          when session_next_event_us() has come
 * and closes the connection when one of them fails or session_is_over(). Answers may come at any other time too; then on_output says
 * that session_pull() has something.
 *
 * Operations are started, and told of a cancellation, from within these functions only, never from inside nghttp2 and never from inside
 * another operation's answer.
 *
 * Limits, all per connection: streams at once (HTTP/2 setting), calls in progress (four times that: a client that resets its streams
 * leaves operations behind), bytes of requests and replies in memory (byte budget, of which server streams have a part), control frames and resets (rate budget; nghttp2
 * has limits of its own for resets, CONTINUATION, SETTINGS entries and unsent acknowledgements), time for the preface and for a request
 * to arrive, time without a sign of life.
 */
#ifndef MONOPOD_CRI_SESSION_H
#define MONOPOD_CRI_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "cri/budget.h"
#include "cri/method.h"

struct session;

/* For the client's preface and SETTINGS: sent at once by everybody; ten seconds cover a machine that swaps (arbitrary). */
#define SESSION_HANDSHAKE_US INT64_C(10000000)

/* From the headers of a request to its end. */
#define SESSION_ARRIVAL_US INT64_C(60000000)

/* From an answer to its last byte on the wire, for clients that open no window: 16 MiB at 280 KB/s (arbitrary). */
#define SESSION_DELIVERY_US INT64_C(60000000)

/* A connection on which nothing moved for a minute is asked for a sign of life and given up twenty seconds later, the timeout that gRPC
 * implementations use by default (gRPC, "Keepalive"). */
#define SESSION_PING_AFTER_US INT64_C(60000000)
#define SESSION_PING_WAIT_US INT64_C(20000000)

struct session_config {
	const struct method *(*find)(const char *path, const char **ret_service);
	struct node *node; /* handed to operations */
	size_t max_message_bytes;
	uint32_t max_streams;
	struct byte_budget *bytes;    /* shared by all connections; must outlive every operation; NULL: none */
	int64_t (*clock_us)(void);    /* clock_monotonic_us(), or a test's */
	void (*on_output)(void *arg); /* called outside of receive, pull and tick only */
	void *arg;
};

/* *config is copied. */
int session_open(const struct session_config *config, struct session **ret_session, struct error *err);

/* Calls in progress get on_cancel; their answers go nowhere. NULL is fine. */
void session_free(struct session *session);

/* Takes a descriptor that the client sent along, for its calls. At most once. */
void session_attach(struct session *session, int fd);

/* -1: not HTTP/2, or a violation after which nothing can be read; what session_pull() still has (a GOAWAY) may be sent. */
int session_receive(struct session *session, const uint8_t *data, size_t len, struct error *err);

/* The next bytes to write, valid until the next call of any function of the session; 0: none, -1: no memory. */
ssize_t session_pull(struct session *session, const uint8_t **ret_data);

/* Tells operations what is due to them; receive, pull and tick do so themselves, so this is for an owner that cannot pull for a while. */
void session_tell(struct session *session);

/* The owner's write came through: a sign of life, as bytes that came are. */
void session_note_written(struct session *session);

/* CLOCK_MONOTONIC; may be earlier than anything that happens, never later. */
int64_t session_next_event_us(const struct session *session);

/* Answers calls whose deadline passed, asks for signs of life. -1: the client does not live or does not speak HTTP/2. */
int session_tick(struct session *session, struct error *err);

/* GOAWAY: unary calls that are open are served to their end, server streams end with UNAVAILABLE, new ones of either kind are not taken. */
void session_shutdown(struct session *session);

/* Nothing to write and no more to come: the connection can be closed. */
bool session_is_over(const struct session *session);

/* So much waits to be written that reading more makes it worse. Ask only while a write is blocked: flow control opens by reading. */
bool session_is_backed_up(const struct session *session);

struct session_load {
	size_t streams;
	size_t calls;      /* in progress, cancelled ones included */
	int64_t active_us; /* last sign of life */
};

struct session_load session_load(const struct session *session);

#endif
