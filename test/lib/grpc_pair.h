/*
 * A gRPC client (nghttp2's, in memory) and a server session (ours) that talk through arrays: no socket, no clock but the test's own.
 *
 * The service has five methods on VersionRequest/VersionResponse: Echo answers at once, Hold keeps its call for the test, Fail fails with
 * a text that needs escaping, Size answers with as many bytes as the request's number says, Feed is a server stream that the test feeds.
 */
#ifndef MONOPOD_TEST_GRPC_PAIR_H
#define MONOPOD_TEST_GRPC_PAIR_H

#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "cri/budget.h"
#include "cri/grpc_frame.h"
#include "cri/session.h"
#include "proto/cri.pb-c.h"

/* Last: its macro fail() would change call.h. */
#include <cmocka.h>

#define PAIR_MAX_MESSAGE ((size_t)256 * 1024)
#define PAIR_MAX_HELD 4096
#define GRPC_PAIR_MESSAGE 1024

/* ---- the service ---- */

static int64_t pair_now_us = 1000000;
static struct call *pair_held[PAIR_MAX_HELD];
static size_t pair_n_held;
static unsigned pair_cancelled, pair_drained;
static enum error_code pair_cancel_code;

static inline int64_t pair_clock_us(void)
{
	return pair_now_us;
}

/* protobuf-c's strings are not const. */
static inline void pair_reply(struct call *call, const char *text)
{
	Cri__VersionResponse response = CRI__VERSION_RESPONSE__INIT;

	response.version = (char *)(uintptr_t)text;
	call_reply(call, &response.base);
}

static inline bool pair_send(struct call *call, const char *text)
{
	Cri__VersionResponse response = CRI__VERSION_RESPONSE__INIT;

	response.version = (char *)(uintptr_t)text;
	return call_send(call, &response.base);
}

/* The answer of a call that the test held: of either kind. */
static inline void pair_settle(struct call *call, const char *text)
{
	if (strcmp(call->method, "Feed") != 0) {
		pair_reply(call, text);
		return;
	}
	(void)pair_send(call, text);
	call_finish(call);
}

static inline void pair_echo(struct node *node, struct call *call)
{
	(void)node;
	pair_reply(call, ((const Cri__VersionRequest *)call->request)->version);
}

static inline void pair_on_cancel(struct call *call, const struct error *why)
{
	(void)call;
	pair_cancelled++;
	pair_cancel_code = why->code;
}

static inline void pair_on_drain(struct call *call)
{
	(void)call;
	pair_drained++;
}

static inline void pair_hold(struct node *node, struct call *call)
{
	(void)node;
	assert_true(pair_n_held < PAIR_MAX_HELD);
	call->on_cancel = pair_on_cancel;
	call->on_drain = pair_on_drain;
	pair_held[pair_n_held++] = call;
}

static inline void pair_fail(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	(void)node;
	(void)error_set(&err, ERR_NOT_FOUND, "100%% gone:\n\"\xc3\xa9\"");
	call_fail(call, &err);
}

/* Text from the call's arena, which may be out of memory as any operation's. */
static inline void pair_size(struct node *node, struct call *call)
{
	size_t len = (size_t)strtoul(((const Cri__VersionRequest *)call->request)->version, NULL, 10);
	char *text = arena_alloc(&call->arena, len + 1);
	struct error err = ERROR_INIT;

	(void)node;
	if (!text) {
		(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
		call_fail(call, &err);
		return;
	}
	memset(text, 'x', len);
	pair_reply(call, text);
}

static inline int pair_refuse(const ProtobufCMessage *request, struct error *err)
{
	if (!strcmp(((const Cri__VersionRequest *)request)->version, "bad"))
		return error_set(err, ERR_INVALID, "version: bad");
	return 0;
}

#define PAIR_ROW(title, operation, is_stream)                                                                                      \
	{                                                                                                                          \
		.name = (title), .request = &cri__version_request__descriptor, .response = &cri__version_response__descriptor,     \
		.check = pair_refuse, .run = (operation), .streams = (is_stream)                                                   \
	}

static inline const struct method *pair_find(const char *path, const char **ret_service)
{
	static const struct method rows[] = {
		PAIR_ROW("Echo", pair_echo, false), PAIR_ROW("Hold", pair_hold, false), PAIR_ROW("Fail", pair_fail, false),
		PAIR_ROW("Size", pair_size, false), PAIR_ROW("Feed", pair_hold, true),  PAIR_ROW("Later", NULL, false),
	};

	*ret_service = "test";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strncmp(path, "/test/", 6) && !strcmp(path + 6, rows[i].name))
			return &rows[i];
	}
	return NULL;
}

/* ---- the client ---- */

struct exchange {
	int32_t id;
	const uint8_t *out; /* the request's body */
	size_t out_len;
	bool keep_open; /* never ends its request */
	char http_status[4];
	int grpc_status; /* -1: none came */
	char message[GRPC_PAIR_MESSAGE];
	struct buffer in;
	bool closed;
	uint32_t close_code;
	size_t n_header_frames;
};

struct pair {
	struct session *server;
	nghttp2_session *client;
	struct byte_budget bytes;
	unsigned n_outputs;
	bool broken; /* the server gave up on the connection */
	struct error why;
	bool got_goaway;
	uint32_t goaway_code;
	size_t step; /* bytes per delivery to the server; 0: all at once */
	size_t n_pings;
};

static inline int pair_on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
				 const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
	struct exchange *exchange = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);

	(void)name_len;
	(void)flags;
	(void)user_data;
	if (!exchange)
		return 0;
	if (!strcmp((const char *)name, ":status"))
		(void)snprintf(exchange->http_status, sizeof(exchange->http_status), "%s", (const char *)value);
	else if (!strcmp((const char *)name, "grpc-status"))
		exchange->grpc_status = (int)strtol((const char *)value, NULL, 10);
	else if (!strcmp((const char *)name, "grpc-message"))
		(void)snprintf(exchange->message, sizeof(exchange->message), "%.*s", (int)value_len, (const char *)value);
	return 0;
}

static inline int pair_on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user_data)
{
	struct exchange *exchange = nghttp2_session_get_stream_user_data(h2, id);
	struct error err = ERROR_INIT;

	(void)flags;
	(void)user_data;
	if (exchange)
		assert_int_equal(buffer_append(&exchange->in, data, len, &err), 0);
	return 0;
}

static inline int pair_on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data)
{
	struct exchange *exchange = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
	struct pair *pair = user_data;

	if (frame->hd.type == NGHTTP2_HEADERS && exchange)
		exchange->n_header_frames++;
	if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		pair->n_pings++;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		pair->got_goaway = true;
		pair->goaway_code = frame->goaway.error_code;
	}
	return 0;
}

static inline int pair_on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user_data)
{
	struct exchange *exchange = nghttp2_session_get_stream_user_data(h2, id);

	(void)user_data;
	if (exchange) {
		exchange->closed = true;
		exchange->close_code = code;
	}
	return 0;
}

static inline ssize_t pair_read_body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t room, uint32_t *data_flags,
				     nghttp2_data_source *source, void *user_data)
{
	struct exchange *exchange = source->ptr;
	size_t len = exchange->out_len < room ? exchange->out_len : room;

	(void)h2;
	(void)id;
	(void)user_data;
	if (len == 0 && exchange->keep_open)
		return NGHTTP2_ERR_DEFERRED;
	memcpy(buf, exchange->out, len);
	exchange->out += len;
	exchange->out_len -= len;
	if (exchange->out_len == 0 && !exchange->keep_open)
		*data_flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)len;
}

static inline void pair_on_output(void *arg)
{
	((struct pair *)arg)->n_outputs++;
}

static inline void pair_open_client(struct pair *pair, uint32_t window)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window } };

	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, pair_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, pair_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, pair_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, pair_on_close);
	assert_int_equal(nghttp2_session_client_new(&pair->client, callbacks, pair), 0);
	nghttp2_session_callbacks_del(callbacks);
	assert_int_equal(nghttp2_submit_settings(pair->client, NGHTTP2_FLAG_NONE, settings, 1), 0);
}

struct pair_options {
	uint32_t window;
	uint32_t max_streams;
	size_t max_bytes;
};

static inline struct pair *pair_open_with(struct pair_options options)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct session_config config = {
		.find = pair_find,
		.max_message_bytes = PAIR_MAX_MESSAGE,
		.max_streams = options.max_streams,
		.bytes = &pair->bytes,
		.clock_us = pair_clock_us,
		.on_output = pair_on_output,
		.arg = pair,
	};
	struct error err = ERROR_INIT;

	pair->bytes.max = options.max_bytes;
	pair_n_held = pair_cancelled = pair_drained = 0;
	pair_cancel_code = ERR_NONE;
	assert_int_equal(session_open(&config, &pair->server, &err), 0);
	pair_open_client(pair, options.window);
	return pair;
}

static inline struct pair *pair_open(void)
{
	return pair_open_with((struct pair_options){ .window = 65535, .max_streams = 200, .max_bytes = 64 * PAIR_MAX_MESSAGE });
}

static inline void pair_drop_server(struct pair *pair)
{
	session_free(pair->server);
	pair->server = NULL;
}

/* Everything that was taken from the budget must have come back. */
static inline void pair_close(struct pair *pair)
{
	pair_drop_server(pair);
	assert_int_equal(pair->bytes.used, 0);
	nghttp2_session_del(pair->client);
	free(pair);
}

static inline void pair_deliver(struct pair *pair, const uint8_t *data, size_t len)
{
	size_t step = pair->step ? pair->step : len;

	for (size_t at = 0; at < len && !pair->broken; at += step) {
		if (session_receive(pair->server, data + at, len - at < step ? len - at : step, &pair->why) < 0)
			pair->broken = true;
	}
}

static inline bool pair_pump_once(struct pair *pair)
{
	const uint8_t *data;
	bool moved = false;
	ssize_t len;

	while ((len = nghttp2_session_mem_send(pair->client, &data)) > 0) {
		pair_deliver(pair, data, (size_t)len);
		moved = true;
	}
	while ((len = session_pull(pair->server, &data)) > 0) {
		assert_true(nghttp2_session_mem_recv(pair->client, data, (size_t)len) == len);
		moved = true;
	}
	return moved;
}

/* Until both have said all. */
static inline void pair_pump(struct pair *pair)
{
	for (int turn = 0; turn < 100000 && pair_pump_once(pair); turn++)
		;
}

static inline nghttp2_nv pair_nv(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
			     NGHTTP2_NV_FLAG_NONE };
}

/* A request with up to four headers over the usual ones (NULL: none); a header of the same name replaces, or removes (NULL). */
static inline void pair_submit(struct pair *pair, struct exchange *exchange, const char *path, const char *const (*more)[2])
{
	nghttp2_nv nv[12] = { pair_nv(":method", "POST"),
			      pair_nv(":scheme", "http"),
			      pair_nv(":authority", "localhost"),
			      pair_nv(":path", path),
			      pair_nv("content-type", "application/grpc"),
			      pair_nv("te", "trailers") };
	nghttp2_data_provider body = { .source.ptr = exchange, .read_callback = pair_read_body };
	size_t n = 6;

	for (; more && (*more)[0]; more++) {
		size_t i = 0;

		while (i < n && strcmp((const char *)nv[i].name, (*more)[0]) != 0)
			i++;
		if (!(*more)[1]) {
			assert_true(i < n);
			nv[i] = nv[--n];
			continue;
		}
		nv[i] = pair_nv((*more)[0], (*more)[1]);
		n += i == n;
	}
	exchange->grpc_status = -1;
	exchange->in = (struct buffer)BUFFER_INIT(SIZE_MAX / 2);
	exchange->id = nghttp2_submit_request(pair->client, NULL, nv, n, &body, exchange);
	assert_true(exchange->id > 0);
}

/* The frame of a VersionRequest; the caller frees. */
static inline uint8_t *pair_frame(const char *text, size_t *ret_len)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	char *copy = strdup(text);
	uint8_t *frame;
	size_t len;

	request.version = copy;
	len = cri__version_request__get_packed_size(&request);
	frame = malloc(GRPC_FRAME_HEADER_SIZE + len);
	grpc_frame_header(frame, (uint32_t)len);
	(void)cri__version_request__pack(&request, frame + GRPC_FRAME_HEADER_SIZE);
	free(copy);
	*ret_len = GRPC_FRAME_HEADER_SIZE + len;
	return frame;
}

/* One request, as far as it goes without the test's help. */
static inline void pair_call(struct pair *pair, struct exchange *exchange, const char *path, const char *text,
			     const char *const (*more)[2])
{
	uint8_t *frame = pair_frame(text, &exchange->out_len);

	exchange->out = frame;
	pair_submit(pair, exchange, path, more);
	pair_pump(pair);
	free(frame);
}

/* The n-th message of the reply as text; the caller frees. NULL: there are fewer. */
static inline char *pair_answer(const struct exchange *exchange, size_t n)
{
	struct grpc_decoder decoder;
	struct error err = ERROR_INIT;
	size_t at = 0;
	char *text = NULL;

	grpc_decoder_init(&decoder, SIZE_MAX / 2);
	while (at < exchange->in.len && !text) {
		at += (size_t)grpc_decoder_feed(&decoder, (const uint8_t *)exchange->in.data + at, exchange->in.len - at, &err);
		if (!grpc_decoder_complete(&decoder))
			break;
		if (n-- == 0) {
			Cri__VersionResponse *response =
				cri__version_response__unpack(NULL, decoder.message.len, (const uint8_t *)decoder.message.data);

			assert_non_null(response);
			text = strdup(response->version);
			cri__version_response__free_unpacked(response, NULL);
		}
		grpc_decoder_next(&decoder);
	}
	grpc_decoder_release(&decoder);
	return text;
}

static inline void pair_expect(struct exchange *exchange, int grpc_status, const char *text)
{
	char *answer = pair_answer(exchange, 0);

	assert_string_equal(exchange->http_status, "200");
	assert_int_equal(exchange->grpc_status, grpc_status);
	if (text) {
		assert_non_null(answer);
		assert_string_equal(answer, text);
	} else {
		assert_null(answer);
	}
	free(answer);
	buffer_release(&exchange->in);
}

/* Lets time pass and the server notice. */
static inline void pair_wait(struct pair *pair, int64_t us)
{
	pair_now_us += us;
	if (!pair->broken && session_next_event_us(pair->server) <= pair_now_us && session_tick(pair->server, &pair->why) < 0)
		pair->broken = true;
	pair_pump(pair);
}

#endif
