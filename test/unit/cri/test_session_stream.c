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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_empty_stream),
		cmocka_unit_test(test_failure_after_messages),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_message_over_limit),
		cmocka_unit_test(test_client_leaves),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
