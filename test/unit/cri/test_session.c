/* Calls over a session: what a well-behaved client sees. */
#include "grpc_pair.h"

#include "base/log.h"

static void test_unary(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Echo", "hello", NULL);
	assert_true(call.closed);
	assert_int_equal(call.close_code, NGHTTP2_NO_ERROR);
	assert_int_equal(call.n_header_frames, 2); /* headers and trailers */
	pair_expect(&call, 0, "hello");
	pair_close(pair);
}

static void test_every_byte_alone(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair->step = 1;
	pair_call(pair, &call, "/test/Echo", "byte by byte", NULL);
	pair_expect(&call, 0, "byte by byte");
	pair_close(pair);
}

static void test_empty_message(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Echo", "", NULL);
	pair_expect(&call, 0, "");
	pair_close(pair);
}

/* An error is one HEADERS frame, and its text survives the trailer. */
static void test_error(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Fail", "x", NULL);
	assert_int_equal(call.n_header_frames, 1);
	assert_string_equal(call.message, "100%25 gone:%0A\"%C3%A9\"");
	pair_expect(&call, 5, NULL);
	pair_close(pair);
}

static void test_refused_by_check(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Hold", "bad", NULL);
	assert_string_equal(call.message, "version: bad");
	assert_int_equal(pair_n_held, 0);
	pair_expect(&call, 3, NULL);
	pair_close(pair);
}

static void test_unknown_method(void **state)
{
	static const char *const paths[] = { "/test/Nothing", "/test/echo", "/Test/Echo", "/test/Echo/", "/", "//",
					     "/test",         "/test/Later" };
	struct pair *pair = pair_open();

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct exchange call = { 0 };

		pair_call(pair, &call, paths[i], "x", NULL);
		pair_expect(&call, 12, NULL);
	}
	pair_close(pair);
}

static void test_not_grpc(void **state)
{
	static const struct {
		const char *const more[2][2];
		const char *status;
	} cases[] = {
		{ { { "content-type", "application/json" } }, "415" },
		{ { { "content-type", "application/grpc-web" } }, "415" },
		{ { { "content-type", "application/grpc+json" } }, "415" },
		{ { { "content-type", "" } }, "415" },
		{ { { ":method", "GET" } }, "405" },
		{ { { "content-type", "application/grpc+proto" } }, "200" },
		{ { { "content-type", "application/grpc; charset=utf-8" } }, "200" },
		{ { { "te", NULL } }, "200" },
		{ { { "content-type", NULL } }, "415" },
	};
	struct pair *pair = pair_open();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct exchange call = { 0 };

		print_message("%s: %s\n", cases[i].more[0][0], cases[i].more[0][1] ? cases[i].more[0][1] : "(none)");
		pair_call(pair, &call, "/test/Echo", "x", cases[i].more);
		assert_string_equal(call.http_status, cases[i].status);
		assert_true(call.closed);
		assert_int_equal(call.grpc_status, strcmp(cases[i].status, "200") == 0 ? 0 : -1);
		buffer_release(&call.in);
	}
	pair_close(pair);
}

static void test_encodings(void **state)
{
	static const char *const gzip[][2] = { { "grpc-encoding", "gzip" }, { NULL, NULL } };
	static const char *const identity[][2] = { { "grpc-encoding", "identity" }, { NULL, NULL } };
	static const char *const bad_timeout[][2] = { { "grpc-timeout", "soon" }, { NULL, NULL } };
	struct pair *pair = pair_open();
	struct exchange calls[3] = { 0 };

	(void)state;
	pair_call(pair, &calls[0], "/test/Echo", "x", gzip);
	pair_expect(&calls[0], 12, NULL);
	pair_call(pair, &calls[1], "/test/Echo", "x", identity);
	pair_expect(&calls[1], 0, "x");
	pair_call(pair, &calls[2], "/test/Echo", "x", bad_timeout);
	pair_expect(&calls[2], 3, NULL);
	pair_close(pair);
}

static void test_later_answer(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Hold", "x", NULL);
	assert_int_equal(pair_n_held, 1);
	assert_string_equal(pair_held[0]->method, "Hold");
	assert_string_equal(pair_held[0]->service, "test");
	assert_true(pair_held[0]->deadline_us == INT64_MAX);
	assert_int_equal(pair->n_outputs, 0);
	pair_reply(pair_held[0], "later");
	assert_int_equal(pair->n_outputs, 1);
	pair_pump(pair);
	pair_expect(&call, 0, "later");
	assert_int_equal(pair_cancelled, 0);
	pair_close(pair);
}

static void test_many_out_of_order(void **state)
{
	static struct exchange calls[200];
	struct pair *pair = pair_open();
	char text[16];

	(void)state;
	memset(calls, 0, sizeof(calls));
	for (size_t i = 0; i < 200; i++) {
		(void)snprintf(text, sizeof(text), "%zu", i);
		pair_call(pair, &calls[i], "/test/Hold", text, NULL);
	}
	assert_int_equal(pair_n_held, 200);
	assert_int_equal(session_load(pair->server).streams, 200);
	for (size_t i = 200; i-- > 0;)
		pair_reply(pair_held[i], ((const Cri__VersionRequest *)pair_held[i]->request)->version);
	pair_pump(pair);
	for (size_t i = 0; i < 200; i++) {
		(void)snprintf(text, sizeof(text), "%zu", i);
		pair_expect(&calls[i], 0, text);
	}
	assert_int_equal(session_load(pair->server).streams, 0);
	assert_int_equal(session_load(pair->server).calls, 0);
	pair_close(pair);
}

/* Replies of many frames through windows of a few bytes, both ways. */
static void test_tiny_windows(void **state)
{
	struct pair *pair =
		pair_open_with((struct pair_options){ .window = 7, .max_streams = 10, .max_bytes = 64 * PAIR_MAX_MESSAGE });
	struct exchange call = { 0 }, echo = { 0 };
	char *big = malloc(100001);
	char *answer;

	(void)state;
	pair_call(pair, &call, "/test/Size", "10000", NULL);
	assert_int_equal(call.grpc_status, 0);
	answer = pair_answer(&call, 0);
	assert_int_equal(strlen(answer), 10000);
	free(answer);
	buffer_release(&call.in);

	memset(big, 'y', 100000);
	big[100000] = '\0';
	pair->step = 13;
	pair_call(pair, &echo, "/test/Echo", big, NULL);
	pair_expect(&echo, 0, big);
	free(big);
	pair_close(pair);
}

static void test_reply_over_limit(void **state)
{
	struct pair *pair = pair_open();
	struct exchange fits = { 0 }, over = { 0 };
	char *answer;

	(void)state;
	pair_call(pair, &fits, "/test/Size", "262000", NULL);
	answer = pair_answer(&fits, 0);
	assert_int_equal(strlen(answer), 262000);
	free(answer);
	buffer_release(&fits.in);
	pair_call(pair, &over, "/test/Size", "262145", NULL);
	pair_expect(&over, 8, NULL);
	pair_close(pair);
}

static void test_deadline(void **state)
{
	static const char *const in_50_ms[][2] = { { "grpc-timeout", "50m" }, { NULL, NULL } };
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Hold", "x", in_50_ms);
	assert_true(pair_held[0]->deadline_us == pair_now_us + 50000);
	assert_true(session_next_event_us(pair->server) <= pair_now_us + 50000);
	pair_wait(pair, 49999);
	assert_int_equal(pair_cancelled, 0);
	pair_wait(pair, 1);
	assert_int_equal(pair_cancelled, 1);
	assert_int_equal(pair_cancel_code, ERR_DEADLINE);
	pair_expect(&call, 4, NULL);
	assert_int_equal(session_load(pair->server).calls, 1); /* still owes an answer */
	pair_reply(pair_held[0], "too late");
	assert_int_equal(session_load(pair->server).calls, 0);
	pair_wait(pair, 1000000);
	assert_int_equal(pair_cancelled, 1);
	pair_close(pair);
}

/* Before the request is there, the deadline is answered too. */
static void test_deadline_of_half_a_request(void **state)
{
	static const char *const in_1_s[][2] = { { "grpc-timeout", "1S" }, { NULL, NULL } };
	struct pair *pair = pair_open();
	struct exchange call = { .out = (const uint8_t *)"\0\0\0", .out_len = 3, .keep_open = true };

	(void)state;
	pair_submit(pair, &call, "/test/Echo", in_1_s);
	pair_pump(pair);
	pair_wait(pair, 999999);
	assert_int_equal(call.grpc_status, -1);
	pair_wait(pair, 1);
	assert_int_equal(call.grpc_status, 4);
	assert_true(call.closed);
	buffer_release(&call.in);
	pair_close(pair);
}

static void test_cancel_by_reset(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 };
	struct error err = ERROR_INIT;

	(void)state;
	pair_call(pair, &call, "/test/Hold", "x", NULL);
	assert_int_equal(nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, call.id, NGHTTP2_CANCEL), 0);
	pair_pump(pair);
	assert_int_equal(pair_cancelled, 1);
	assert_int_equal(pair_cancel_code, ERR_CANCELLED);
	assert_int_equal(session_load(pair->server).streams, 0);
	(void)error_set(&err, ERR_CANCELLED, "undone");
	call_fail(pair_held[0], &err);
	assert_int_equal(pair->n_outputs, 0);
	buffer_release(&call.in);
	pair_close(pair);
}

/* The connection goes while operations run: each is told once and may answer when the session is long gone. */
static void test_lost_connection(void **state)
{
	struct pair *pair = pair_open();
	struct exchange calls[3] = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		pair_call(pair, &calls[i], "/test/Hold", "x", NULL);
	assert_int_equal(nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, calls[1].id, NGHTTP2_CANCEL), 0);
	pair_pump(pair);
	assert_int_equal(pair_cancelled, 1);
	pair_drop_server(pair);
	assert_int_equal(pair_cancelled, 3);
	for (int i = 0; i < 3; i++) {
		pair_reply(pair_held[i], "to nobody");
		buffer_release(&calls[i].in);
	}
	assert_int_equal(pair_cancelled, 3);
	pair_close(pair);
}

static void answer_all(struct call *call, const struct error *why)
{
	(void)call;
	(void)why;
	while (pair_n_held > 0)
		pair_reply(pair_held[--pair_n_held], "joined");
}

/* An operation that is told may answer others, and itself, from inside: as joined operations do. */
static void test_cancel_answers_others(void **state)
{
	struct pair *pair = pair_open();
	struct exchange calls[5] = { 0 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		pair_call(pair, &calls[i], "/test/Hold", "x", NULL);
		pair_held[i]->on_cancel = answer_all;
	}
	assert_int_equal(nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, calls[2].id, NGHTTP2_CANCEL), 0);
	pair_pump(pair);
	for (int i = 0; i < 5; i++) {
		if (i != 2)
			pair_expect(&calls[i], 0, "joined");
	}
	buffer_release(&calls[2].in);
	for (int i = 0; i < 5; i++) {
		calls[i] = (struct exchange){ 0 };
		pair_call(pair, &calls[i], "/test/Hold", "x", NULL);
		pair_held[i]->on_cancel = answer_all;
	}
	pair_drop_server(pair);
	assert_int_equal(pair_n_held, 0);
	pair_close(pair);
}

static void test_shutdown(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { 0 }, refused = { 0 };

	(void)state;
	pair_call(pair, &call, "/test/Hold", "x", NULL);
	session_shutdown(pair->server);
	assert_int_equal(pair->n_outputs, 1);
	pair_pump(pair);
	assert_true(pair->got_goaway);
	assert_int_equal(pair->goaway_code, NGHTTP2_NO_ERROR);
	assert_false(session_is_over(pair->server));
	pair_call(pair, &refused, "/test/Echo", "x", NULL);
	assert_int_equal(refused.grpc_status, -1);
	pair_reply(pair_held[0], "served to its end");
	pair_pump(pair);
	pair_expect(&call, 0, "served to its end");
	assert_true(session_is_over(pair->server));
	buffer_release(&refused.in);
	pair_close(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),
		cmocka_unit_test(test_every_byte_alone),
		cmocka_unit_test(test_empty_message),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_refused_by_check),
		cmocka_unit_test(test_unknown_method),
		cmocka_unit_test(test_not_grpc),
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_later_answer),
		cmocka_unit_test(test_many_out_of_order),
		cmocka_unit_test(test_tiny_windows),
		cmocka_unit_test(test_reply_over_limit),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_of_half_a_request),
		cmocka_unit_test(test_cancel_by_reset),
		cmocka_unit_test(test_lost_connection),
		cmocka_unit_test(test_cancel_answers_others),
		cmocka_unit_test(test_shutdown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
