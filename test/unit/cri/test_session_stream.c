/* Server-streaming methods: messages as they come, back pressure, ends of every kind. */
#include "grpc_pair.h"

#include "base/log.h"

static struct call *start_feed(struct pair *pair, struct exchange *call)
{
	pair_call(pair, call, "/test/Feed", "x", NULL);
	assert_int_equal(pair_n_held, 1);
	return pair_held[0];
}

static void expect_message(const struct exchange *call, size_t n, const char *text)
{
	char *answer = pair_answer(call, n);

	if (!text) {
		assert_null(answer);
		return;
	}
	assert_non_null(answer);
	assert_string_equal(answer, text);
	free(answer);
}

static void test_messages(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);

	(void)state;
	assert_true(pair_send(call, "one"));
	assert_int_equal(pair->n_outputs, 1);
	pair_pump(pair);
	expect_message(&exchange, 0, "one");
	assert_int_equal(exchange.grpc_status, -1);
	assert_true(pair_send(call, "two"));
	assert_true(pair_send(call, "three"));
	pair_pump(pair);
	expect_message(&exchange, 2, "three");
	call_finish(call);
	pair_pump(pair);
	assert_true(exchange.closed);
	expect_message(&exchange, 3, NULL);
	pair_expect(&exchange, 0, "one");
	pair_close(pair);
}

static void test_empty_stream(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);

	(void)state;
	call_finish(call);
	pair_pump(pair);
	pair_expect(&exchange, 0, NULL);
	pair_close(pair);
}

static void test_failure_after_messages(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);
	struct error err = ERROR_INIT;

	(void)state;
	(void)pair_send(call, "one");
	(void)error_set(&err, ERR_DATA_LOSS, "events were lost");
	call_fail(call, &err);
	pair_pump(pair);
	assert_string_equal(exchange.message, "events were lost");
	pair_expect(&exchange, 15, "one");
	pair_close(pair);
}

/* The client's window is full: the operation is asked to stop, and told when to go on. */
static void test_back_pressure(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);
	char *text = malloc(10001);
	size_t n = 1;

	(void)state;
	memset(text, 'z', 10000);
	text[10000] = '\0';
	while (pair_send(call, text))
		n++;
	assert_in_range(n, 20, 40);
	assert_int_equal(pair_drained, 0);
	pair_pump(pair);
	assert_int_equal(pair_drained, 1);
	assert_true(pair_send(call, "last"));
	call_finish(call);
	pair_pump(pair);
	expect_message(&exchange, n - 1, text);
	expect_message(&exchange, n, "last");
	pair_expect(&exchange, 0, text);
	free(text);
	pair_close(pair);
}

static void test_message_over_limit(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);
	char *text = calloc(1, PAIR_MAX_MESSAGE + 1);

	(void)state;
	memset(text, 'z', PAIR_MAX_MESSAGE);
	(void)pair_send(call, "one");
	assert_false(pair_send(call, text));
	assert_int_equal(pair_cancelled, 0); /* never from inside the operation */
	pair_pump(pair);
	assert_int_equal(pair_cancelled, 1);
	assert_int_equal(pair_cancel_code, ERR_EXHAUSTED);
	pair_expect(&exchange, 8, "one");
	assert_false(pair_send(call, "to nobody"));
	call_finish(call);
	free(text);
	pair_close(pair);
}

static void test_client_leaves(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);

	(void)state;
	(void)pair_send(call, "one");
	assert_int_equal(nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, exchange.id, NGHTTP2_CANCEL), 0);
	pair_pump(pair);
	assert_int_equal(pair_cancelled, 1);
	assert_false(pair_send(call, "to nobody"));
	call_finish(call);
	buffer_release(&exchange.in);
	pair_close(pair);
}

/* ---- clients that do not read ---- */

/* A client that opens no window reads nothing; reads() opens the window of one stream. */
static struct pair *open_deaf(size_t max_bytes)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 0, .max_streams = 1024, .max_bytes = max_bytes });

	pair_pump(pair);
	return pair;
}

static void reads(struct pair *pair, const struct exchange *exchange, int32_t window)
{
	assert_int_equal(nghttp2_session_set_local_window_size(pair->client, NGHTTP2_FLAG_NONE, exchange->id, window), 0);
	pair_pump(pair);
}

static char *make_text(size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'z', len);
	text[len] = '\0';
	return text;
}

/* It knows that it is subscribed before the first message. */
static void test_headers_come_first(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);

	(void)state;
	assert_int_equal(exchange.n_header_frames, 0);
	call_open(call);
	call_open(call);
	assert_true(pair->n_outputs > 0);
	pair_pump(pair);
	assert_int_equal(exchange.n_header_frames, 1);
	assert_string_equal(exchange.http_status, "200");
	assert_int_equal(exchange.grpc_status, -1);
	(void)pair_send(call, "one");
	call_open(call);
	call_finish(call);
	pair_pump(pair);
	assert_int_equal(exchange.n_header_frames, 2); /* and the trailers */
	pair_expect(&exchange, 0, "one");
	pair_close(pair);
}

/* An operation that cannot wait sends on: the client is told that it lost messages, and it gets those that were taken. */
static void test_slow_client_is_told(void **state)
{
	struct pair *pair = open_deaf(64 * PAIR_MAX_MESSAGE);
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);
	char *text = make_text(10000);
	size_t n = 0;

	(void)state;
	while (pair_cancelled == 0 && n < 1000) {
		n += 1;
		(void)pair_send(call, text);
		assert_in_range(pair->bytes.used, 0, CALL_SEND_MAX_BYTES + 2 * 10000);
		pair_pump(pair);
	}
	assert_in_range(n, CALL_SEND_MAX_BYTES / 10100, CALL_SEND_MAX_BYTES / 10000 + 1);
	assert_int_equal(pair_cancel_code, ERR_EXHAUSTED);
	assert_int_equal(exchange.grpc_status, -1);
	call_finish(call);
	reads(pair, &exchange, 4 << 20);
	assert_non_null(strstr(exchange.message, "messages were lost"));
	expect_message(&exchange, n - 2, text);
	expect_message(&exchange, n - 1, NULL);
	pair_expect(&exchange, 8, text);
	free(text);
	pair_close(pair);
}

/* It never reads: after a minute its stream is reset, and with it goes all that waited. */
static void test_deaf_client_is_forgotten(void **state)
{
	struct pair *pair = open_deaf(64 * PAIR_MAX_MESSAGE);
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);
	char *text = make_text(200000);

	(void)state;
	while (pair_cancelled == 0) {
		(void)pair_send(call, text);
		pair_pump(pair);
	}
	call_finish(call);
	assert_true(pair->bytes.used > 200000);
	pair_wait(pair, SESSION_DELIVERY_US + 1);
	assert_true(exchange.closed);
	assert_int_equal(pair->bytes.used, 0);
	free(text);
	buffer_release(&exchange.in);
	pair_close(pair);
}

#define MANY 1000

/* A thousand streams of which none is read have a bound together, and a call beside them is answered. */
static void test_many_deaf_streams(void **state)
{
	const size_t max_bytes = 64 * PAIR_MAX_MESSAGE;
	struct pair *pair = open_deaf(max_bytes);
	struct exchange *streams = calloc(MANY, sizeof(*streams)), call = { 0 };
	char *text = make_text(10000);

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		pair_call(pair, &streams[i], "/test/Feed", "x", NULL);
	assert_int_equal(pair_n_held, MANY);
	for (size_t i = 0; i < 10 * MANY; i++)
		(void)pair_send(pair_held[i % MANY], text);
	pair_pump(pair);
	assert_in_range(pair->bytes.used, max_bytes / 8, max_bytes / 4 + MANY * 100); /* and the requests */
	assert_in_range(pair_cancelled, MANY / 2, MANY);
	assert_int_equal(pair_cancel_code, ERR_EXHAUSTED);
	pair_call(pair, &call, "/test/Echo", "beside", NULL);
	reads(pair, &call, 65535);
	pair_expect(&call, 0, "beside");
	for (size_t i = 0; i < MANY; i++) {
		if (!streams[i].closed)
			(void)nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, streams[i].id, NGHTTP2_CANCEL);
		buffer_release(&streams[i].in);
	}
	pair_pump(pair);
	assert_int_equal(pair_cancelled, MANY);
	assert_int_equal(session_load(pair->server).streams, 0);
	while (pair_n_held > 0)
		call_finish(pair_held[--pair_n_held]);
	assert_int_equal(pair->bytes.used, 0);
	free(text);
	free(streams);
	pair_close(pair);
}

/* ---- resets ---- */

static void reset(struct pair *pair, struct exchange *exchange)
{
	assert_int_equal(nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, exchange->id, NGHTTP2_CANCEL), 0);
	pair_pump(pair);
	assert_true(exchange->closed);
	assert_int_equal(session_load(pair->server).streams, 0);
	buffer_release(&exchange->in);
	*exchange = (struct exchange){ 0 };
}

/* What the operation has done when the reset comes. */
enum reset_at { AT_START, AT_HEADERS, AT_MESSAGE, AT_BEHIND, AT_END, AT_COUNT };

static void go_to(struct call *call, enum reset_at at, const char *text)
{
	if (at == AT_HEADERS)
		call_open(call);
	if (at >= AT_MESSAGE)
		(void)pair_send(call, text);
	if (at >= AT_BEHIND) {
		while (pair_send(call, text))
			;
	}
	if (at == AT_END)
		call_finish(call);
}

static void test_reset_in_each_state(void **state)
{
	struct pair *pair = open_deaf(64 * PAIR_MAX_MESSAGE);
	struct exchange exchange = { .keep_open = true };
	char *text = make_text(10000);

	(void)state;
	pair_submit(pair, &exchange, "/test/Feed", NULL);
	pair_pump(pair);
	reset(pair, &exchange); /* before its message */
	assert_int_equal(pair_n_held, 0);
	for (int at = AT_START; at < AT_COUNT; at++) {
		struct call *call = start_feed(pair, &exchange);

		pair_cancelled = 0;
		pair_n_held = 0;
		go_to(call, (enum reset_at)at, text);
		pair_pump(pair);
		reset(pair, &exchange);
		assert_int_equal(pair_cancelled, at != AT_END);
		if (at == AT_END)
			continue;
		assert_false(pair_send(call, "to nobody"));
		call_open(call);
		call_finish(call);
		assert_int_equal(pair->bytes.used, 0);
	}
	free(text);
	pair_close(pair);
}

/* ---- ends that are nobody's wish ---- */

static void test_deadline(void **state)
{
	static const char *const more[][2] = { { "grpc-timeout", "2S" }, { NULL, NULL } };
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };

	(void)state;
	pair_call(pair, &exchange, "/test/Feed", "x", more);
	(void)pair_send(pair_held[0], "one");
	pair_pump(pair);
	pair_wait(pair, 1999999);
	assert_int_equal(pair_cancelled, 0);
	pair_wait(pair, 1);
	assert_int_equal(pair_cancelled, 1);
	assert_int_equal(pair_cancel_code, ERR_DEADLINE);
	call_finish(pair_held[0]);
	pair_expect(&exchange, 4, "one");
	pair_close(pair);
}

/* The server goes: streams end at once, one that is just arriving is refused, a unary call may still answer. */
static void test_shutdown(void **state)
{
	struct pair *pair = pair_open();
	struct exchange feed = { 0 }, hold = { 0 }, arriving = { 0 };
	struct call *call = start_feed(pair, &feed);
	uint8_t *frame = pair_frame("x", &arriving.out_len);

	(void)state;
	pair_call(pair, &hold, "/test/Hold", "x", NULL);
	arriving.out = frame;
	arriving.out_len -= 1;
	arriving.keep_open = true;
	pair_submit(pair, &arriving, "/test/Feed", NULL);
	pair_pump(pair);
	(void)pair_send(call, "one");
	session_shutdown(pair->server);
	assert_int_equal(pair_cancelled, 0); /* never from inside */
	arriving.out_len = 1;
	arriving.keep_open = false;
	assert_int_equal(nghttp2_session_resume_data(pair->client, arriving.id), 0);
	pair_pump(pair);
	assert_int_equal(pair_cancelled, 1);
	assert_int_equal(pair_cancel_code, ERR_UNAVAILABLE);
	assert_int_equal(pair_n_held, 2);
	pair_expect(&feed, 14, "one");
	pair_expect(&arriving, 14, NULL);
	call_finish(call);
	pair_reply(pair_held[1], "still");
	pair_pump(pair);
	pair_expect(&hold, 0, "still");
	assert_true(session_is_over(pair->server));
	free(frame);
	pair_close(pair);
}

/* GOAWAY of a client is no end of its streams; the end of its connection is. */
static void test_client_says_goodbye(void **state)
{
	struct pair *pair = pair_open();
	struct exchange exchange = { 0 };
	struct call *call = start_feed(pair, &exchange);

	(void)state;
	assert_int_equal(nghttp2_submit_goaway(pair->client, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0), 0);
	pair_pump(pair);
	assert_int_equal(pair_cancelled, 0);
	assert_true(pair_send(call, "one"));
	pair_pump(pair);
	expect_message(&exchange, 0, "one");
	pair_drop_server(pair);
	assert_int_equal(pair_cancelled, 1);
	assert_int_equal(pair_cancel_code, ERR_CANCELLED);
	assert_false(pair_send(call, "to nobody"));
	call_finish(call);
	buffer_release(&exchange.in);
	pair_close(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_empty_stream),
		cmocka_unit_test(test_failure_after_messages),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_message_over_limit),
		cmocka_unit_test(test_client_leaves),
		cmocka_unit_test(test_headers_come_first),
		cmocka_unit_test(test_slow_client_is_told),
		cmocka_unit_test(test_deaf_client_is_forgotten),
		cmocka_unit_test(test_many_deaf_streams),
		cmocka_unit_test(test_reset_in_each_state),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_client_says_goodbye),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
