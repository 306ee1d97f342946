/* Clients that misbehave: the session refuses, forgets or ends, and everything that was taken comes back. */
#include "grpc_pair.h"

#include "base/log.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static void put_frame(struct buffer *b, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
	uint8_t head[9] = { (uint8_t)(len >> 16),    (uint8_t)(len >> 8),     (uint8_t)len,           type,           flags,
			    (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream };
	struct error err = ERROR_INIT;

	assert_int_equal(buffer_append(b, head, sizeof(head), &err), 0);
	assert_int_equal(buffer_append(b, payload, len, &err), 0);
}

/* POST, http, "x", /test/Hold, application/grpc: what a request needs, in HPACK. */
static const uint8_t block[] = "\x83\x86\x41\x01x\x44\x0a/test/Hold\x5f\x10"
			       "application/grpc";

/* What goes around nghttp2's client, which would never write such a thing. */
static void deliver(struct pair *pair, struct buffer *b)
{
	pair_deliver(pair, (const uint8_t *)b->data, b->len);
	buffer_release(b);
}

/* A client that reads what comes and makes nothing of it. */
static void drain(struct pair *pair)
{
	const uint8_t *data;

	while (session_pull(pair->server, &data) > 0)
		;
}

static bool still_serves(struct pair *pair)
{
	struct exchange call = { 0 };
	bool served;

	pair_call(pair, &call, "/test/Echo", "alive", NULL);
	served = call.grpc_status == 0;
	buffer_release(&call.in);
	return served;
}

static void test_garbage(void **state)
{
	static const char *const openings[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02",
						"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
		struct pair *pair = pair_open();

		pair_deliver(pair, (const uint8_t *)openings[i], strlen(openings[i]));
		assert_true(pair->broken);
		assert_int_equal(pair->why.code, ERR_INVALID);
		pair_close(pair);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Random frames behind a good preface: any end is fine, but no crash, no leak and no output without end. */
static void test_random_frames(void **state)
{
	uint32_t seed = 20261123;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct pair *pair = pair_open();
		struct buffer b = BUFFER_INIT(1 << 20);
		struct error err = ERROR_INIT;

		assert_int_equal(buffer_append(&b, PREFACE, strlen(PREFACE), &err), 0);
		put_frame(&b, NGHTTP2_SETTINGS, 0, 0, "", 0);
		for (int i = 0; i < 50; i++) {
			uint8_t payload[64];

			for (size_t k = 0; k < sizeof(payload); k++)
				payload[k] = (uint8_t)next_random(&seed);
			put_frame(&b, (uint8_t)(next_random(&seed) % 12), (uint8_t)next_random(&seed), next_random(&seed) % 8,
				  payload, next_random(&seed) % sizeof(payload));
		}
		deliver(pair, &b);
		drain(pair);
		pair_close(pair);
	}
}

static void test_message_over_limit(void **state)
{
	static const uint8_t header[] = { 0, 0x00, 0x04, 0x00, 0x01 }; /* one byte over 256 KiB */
	struct pair *pair = pair_open();
	struct exchange call = { .out = header, .out_len = sizeof(header), .keep_open = true };

	(void)state;
	pair_submit(pair, &call, "/test/Echo", NULL);
	pair_pump(pair);
	assert_int_equal(pair->bytes.used, 0);
	assert_true(call.closed); /* the rest of the upload is not wanted */
	pair_expect(&call, 8, NULL);
	assert_true(still_serves(pair));
	pair_close(pair);
}

static void test_bodies(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		int status;
	} cases[] = {
		{ "", 0, 3 },                             /* no message */
		{ "\0\0", 2, 3 },                         /* half a header */
		{ "\0\0\0\0\x05\x0a\x03x", 8, 3 },        /* half a message */
		{ "\0\0\0\0\0\0\0\0\0\0", 10, 3 },        /* two messages */
		{ "\0\0\0\0\0\0", 6, 3 },                 /* a message and a byte */
		{ "\1\0\0\0\0", 5, 12 },                  /* compressed */
		{ "\x40\0\0\0\0", 5, 3 },                 /* unknown flags */
		{ "\0\0\0\0\x02\xff\xff", 7, 3 },         /* not protobuf */
		{ "\0\0\0\0\x04\x0a\x02\xff\xfe", 9, 3 }, /* not UTF-8 */
		{ "\0\0\0\0\x02\x78\x01", 7, 0 },         /* an unknown field */
	};
	struct pair *pair = pair_open();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct exchange call = { .out = (const uint8_t *)cases[i].body, .out_len = cases[i].len };

		pair_submit(pair, &call, "/test/Echo", NULL);
		pair_pump(pair);
		assert_int_equal(call.grpc_status, cases[i].status);
		buffer_release(&call.in);
	}
	assert_int_equal(pair->bytes.used, 0);
	pair_close(pair);
}

static void test_headers_over_limit(void **state)
{
	char *value = malloc(20001);
	const char *const more[][2] = { { "x-large", value }, { NULL, NULL } };
	struct pair *pair = pair_open();
	struct exchange call = { 0 };

	(void)state;
	memset(value, 'v', 20000);
	value[20000] = '\0';
	pair_call(pair, &call, "/test/Echo", "x", more);
	assert_string_equal(call.http_status, "431");
	buffer_release(&call.in);
	free(value);
	assert_true(still_serves(pair));
	pair_close(pair);
}

/* Streams over the limit are refused by the protocol, and the others live. */
static void test_too_many_streams(void **state)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 65535, .max_streams = 4, .max_bytes = 1 << 20 });
	struct buffer b = BUFFER_INIT(1 << 20);

	(void)state;
	pair_pump(pair);
	for (uint32_t id = 1; id < 21; id += 2)
		put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, block, sizeof(block) - 1);
	deliver(pair, &b);
	assert_false(pair->broken);
	assert_int_equal(session_load(pair->server).streams, 4);
	pair_close(pair);
}

static void test_rapid_reset_cve_2023_44487(void **state)
{
	struct pair *pair = pair_open();
	uint32_t id = 1;

	(void)state;
	pair_pump(pair);
	for (; id < 100000 && !pair->broken; id += 2) {
		struct buffer b = BUFFER_INIT(1 << 20);

		put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, block, sizeof(block) - 1);
		put_frame(&b, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
		deliver(pair, &b);
		if (session_is_over(pair->server))
			break;
		drain(pair);
	}
	assert_in_range(id, 100, 5000);
	assert_true(session_load(pair->server).streams <= 1); /* the one whose reset ended it */
	pair_close(pair);
}

/* The client makes us do the resetting, by a window that overflows: operations that go on without a stream are bounded all the same. */
static void test_made_you_reset_cve_2025_8671(void **state)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 65535, .max_streams = 10, .max_bytes = 1 << 20 });
	uint32_t id = 1;

	(void)state;
	pair_pump(pair);
	for (; id < 100000 && !pair->broken && !session_is_over(pair->server); id += 2) {
		struct buffer b = BUFFER_INIT(1 << 20);

		put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, block, sizeof(block) - 1);
		put_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "\0\0\0\0\0", 5);
		deliver(pair, &b);
		put_frame(&b, NGHTTP2_WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff", 4);
		deliver(pair, &b);
		drain(pair);
	}
	assert_in_range(id, 100, 10000);
	assert_in_range(pair_n_held, 1, 40);
	assert_int_equal(pair_cancelled, pair_n_held);
	while (pair_n_held > 0)
		pair_reply(pair_held[--pair_n_held], "to nobody");
	pair_close(pair);
}

/* A client that resets its streams as soon as they run leaves operations behind: not without end. */
static void test_abandoned_operations(void **state)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 65535, .max_streams = 5, .max_bytes = 1 << 20 });
	struct exchange last = { 0 };
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 40 && last.grpc_status <= 0; i++) {
		last = (struct exchange){ 0 };
		pair_call(pair, &last, "/test/Hold", "x", NULL);
		buffer_release(&last.in);
		(void)nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, last.id, NGHTTP2_CANCEL);
		pair_pump(pair);
	}
	assert_int_equal(last.grpc_status, 14);
	assert_int_equal(pair_n_held, 20);
	assert_int_equal(pair_cancelled, 20);
	(void)error_set(&err, ERR_CANCELLED, "undone");
	while (pair_n_held > 0)
		call_fail(pair_held[--pair_n_held], &err);
	assert_int_equal(session_load(pair->server).calls, 0);
	assert_true(still_serves(pair));
	pair_close(pair);
}

static size_t flood(struct pair *pair, uint8_t type, uint8_t flags, uint32_t stream, const char *payload, size_t len)
{
	size_t n = 0;

	for (; n < 100000 && !pair->broken && !session_is_over(pair->server); n++) {
		struct buffer b = BUFFER_INIT(1 << 16);

		put_frame(&b, type, flags, stream, payload, len);
		deliver(pair, &b);
		if (!pair->broken)
			drain(pair);
	}
	return n;
}

static void test_floods(void **state)
{
	static const struct {
		uint8_t type, flags;
		const char *payload;
		size_t len;
	} cases[] = {
		{ NGHTTP2_PING, 0, "12345678", 8 },
		{ NGHTTP2_PING, NGHTTP2_FLAG_ACK, "12345678", 8 },
		{ NGHTTP2_SETTINGS, 0, "", 0 },
		{ NGHTTP2_WINDOW_UPDATE, 0, "\0\0\0\1", 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair *pair = pair_open();
		size_t n;

		pair_pump(pair);
		print_message("frames of type 0x%02x\n", cases[i].type);
		n = flood(pair, cases[i].type, cases[i].flags, 0, cases[i].payload, cases[i].len);
		assert_in_range(n, 500, 5000);
		assert_true(pair->broken);
		pair_pump_once(pair);
		assert_true(pair->got_goaway);
		assert_int_equal(pair->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
		pair_close(pair);
	}
}

static void test_empty_data_flood(void **state)
{
	struct pair *pair = pair_open();
	struct exchange call = { .keep_open = true };

	(void)state;
	pair_submit(pair, &call, "/test/Echo", NULL);
	pair_pump(pair);
	assert_in_range(flood(pair, NGHTTP2_DATA, 0, (uint32_t)call.id, "", 0), 500, 5000);
	assert_true(pair->broken);
	buffer_release(&call.in);
	pair_close(pair);
}

/* Acknowledgements that a client does not take may not pile up. */
static void test_pings_without_reading(void **state)
{
	struct pair *pair = pair_open();
	size_t n = 0;

	(void)state;
	pair_pump(pair);
	for (; n < 100000 && !pair->broken; n++) {
		struct buffer b = BUFFER_INIT(1 << 16);

		put_frame(&b, NGHTTP2_PING, 0, 0, "12345678", 8);
		deliver(pair, &b);
	}
	assert_in_range(n, 100, 1000);
	pair_close(pair);
}

static void test_continuation_flood_cve_2024_28182(void **state)
{
	struct pair *pair = pair_open();
	struct buffer b = BUFFER_INIT(1 << 20);
	char junk[1000];
	size_t n = 0;

	(void)state;
	pair_pump(pair);
	memset(junk, 0x82, sizeof(junk)); /* ":method: GET", again and again */
	put_frame(&b, NGHTTP2_HEADERS, 0, 1, "\x83\x86", 2);
	deliver(pair, &b);
	for (; n < 10000 && !pair->broken && !session_is_over(pair->server); n++) {
		put_frame(&b, NGHTTP2_CONTINUATION, 0, 1, junk, sizeof(junk));
		deliver(pair, &b);
		drain(pair);
	}
	assert_in_range(n, 1, 10);
	pair_close(pair);
}

/* Replies to a client that opens no window: bounded by the budget, then refused; a deadline ends the wait. */
static void test_client_that_never_reads(void **state)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 0, .max_streams = 200, .max_bytes = 1 << 20 });
	static struct exchange calls[20];
	unsigned refused = 0;

	(void)state;
	memset(calls, 0, sizeof(calls));
	for (size_t i = 0; i < 20; i++) {
		pair_call(pair, &calls[i], "/test/Size", "100000", NULL);
		refused += calls[i].grpc_status == 8;
	}
	assert_int_equal(refused, 15); /* half of the server's 1 MiB is one connection's: five replies of 100,000 bytes */
	assert_true(pair->bytes.used <= 1 << 19);
	pair_wait(pair, SESSION_DELIVERY_US);
	assert_int_equal(session_load(pair->server).streams, 0);
	assert_int_equal(pair->bytes.used, 0);
	for (size_t i = 0; i < 20; i++)
		buffer_release(&calls[i].in);
	pair_close(pair);
}

/* Uploads that stand still hold what they brought until they are given up. */
static void test_idle_uploads(void **state)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 65535, .max_streams = 200, .max_bytes = 1 << 20 });
	static struct exchange calls[30];
	uint8_t *body = calloc(1, 40000);
	unsigned refused = 0;

	(void)state;
	memset(calls, 0, sizeof(calls));
	body[2] = 1; /* a message of 64 KiB, of which 40,000 bytes come */
	for (size_t i = 0; i < 30; i++) {
		calls[i] = (struct exchange){ .out = body, .out_len = 40000, .keep_open = true };
		pair_submit(pair, &calls[i], "/test/Echo", NULL);
		pair_pump(pair);
		refused += calls[i].grpc_status == 8;
	}
	assert_int_equal(refused, 30 - (1 << 19) / 40000);
	pair_wait(pair, SESSION_ARRIVAL_US);
	assert_int_equal(pair->bytes.used, 0);
	assert_int_equal(session_load(pair->server).streams, 0);
	assert_int_equal(calls[0].grpc_status, 4);
	assert_true(still_serves(pair));
	for (size_t i = 0; i < 30; i++)
		buffer_release(&calls[i].in);
	free(body);
	pair_close(pair);
}

static void test_no_preface(void **state)
{
	struct pair *pair = pair_open();

	(void)state;
	pair_deliver(pair, (const uint8_t *)PREFACE, 10);
	assert_false(pair->broken);
	pair_now_us += SESSION_HANDSHAKE_US;
	assert_true(session_next_event_us(pair->server) <= pair_now_us);
	assert_int_equal(session_tick(pair->server, &pair->why), -1);
	assert_int_equal(pair->why.code, ERR_DEADLINE);
	pair_close(pair);
}

static void test_keepalive(void **state)
{
	struct pair *pair = pair_open();

	(void)state;
	pair_pump(pair);
	pair_wait(pair, SESSION_PING_AFTER_US);
	assert_int_equal(pair->n_pings, 1); /* and nghttp2 answered it */
	pair_wait(pair, SESSION_PING_WAIT_US);
	assert_false(pair->broken);
	pair_wait(pair, SESSION_PING_AFTER_US);
	assert_int_equal(pair->n_pings, 2);
	assert_true(still_serves(pair));
	pair_close(pair);
}

static void test_dead_client(void **state)
{
	struct pair *pair = pair_open();
	const uint8_t *data;

	(void)state;
	pair_pump(pair);
	pair_now_us += SESSION_PING_AFTER_US;
	assert_int_equal(session_tick(pair->server, &pair->why), 0);
	assert_true(session_pull(pair->server, &data) > 0); /* the ping, which nobody answers */
	pair_now_us += SESSION_PING_WAIT_US - 1;
	assert_int_equal(session_tick(pair->server, &pair->why), 0);
	pair_now_us += 1;
	assert_int_equal(session_tick(pair->server, &pair->why), -1);
	assert_int_equal(pair->why.code, ERR_DEADLINE);
	pair_close(pair);
}

static void test_backed_up(void **state)
{
	struct pair *pair = pair_open_with((struct pair_options){ .window = 65535, .max_streams = 1000, .max_bytes = 64 << 20 });
	static struct exchange calls[600];

	(void)state;
	memset(calls, 0, sizeof(calls));
	for (size_t i = 0; i < 600; i++)
		pair_call(pair, &calls[i], "/test/Hold", "x", NULL);
	assert_false(session_is_backed_up(pair->server));
	for (size_t i = 0; i < 600; i++)
		pair_reply(pair_held[i], "y");
	assert_true(session_is_backed_up(pair->server));
	pair_pump(pair);
	assert_false(session_is_backed_up(pair->server));
	for (size_t i = 0; i < 600; i++)
		buffer_release(&calls[i].in);
	pair_close(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_random_frames),
		cmocka_unit_test(test_message_over_limit),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_headers_over_limit),
		cmocka_unit_test(test_too_many_streams),
		cmocka_unit_test(test_rapid_reset_cve_2023_44487),
		cmocka_unit_test(test_made_you_reset_cve_2025_8671),
		cmocka_unit_test(test_abandoned_operations),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_empty_data_flood),
		cmocka_unit_test(test_pings_without_reading),
		cmocka_unit_test(test_continuation_flood_cve_2024_28182),
		cmocka_unit_test(test_client_that_never_reads),
		cmocka_unit_test(test_idle_uploads),
		cmocka_unit_test(test_no_preface),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_dead_client),
		cmocka_unit_test(test_backed_up),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
