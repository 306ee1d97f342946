/* The client against a server that answers rightly, wrongly, late or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/grpc_client.h"
#include "grpc_peer.h"

/* What the handler is to answer, and what it saw. */
struct script {
	struct peer_reply reply;
	char path[128];
	char timeout[32];
	uint8_t *request;
	size_t request_len;
	unsigned calls;
};

static struct peer_reply play(void *arg, const struct peer_call *call)
{
	struct script *s = arg;

	(void)snprintf(s->path, sizeof(s->path), "%s", call->path);
	(void)snprintf(s->timeout, sizeof(s->timeout), "%s", call->timeout);
	s->request = realloc(s->request, call->len + 1);
	if (call->len)
		memcpy(s->request, call->message, call->len);
	s->request_len = call->len;
	s->calls++;
	return s->reply;
}

struct fixture {
	struct script script;
	struct peer peer;
	struct grpc_client *client;
	struct buffer response;
	struct error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || peer_open(&f->peer, play, &f->script) != 0)
		return -1;
	buffer_init(&f->response, 1 << 20);
	return grpc_client_open(f->peer.path, &f->client, &f->err);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	grpc_client_close(f->client);
	peer_close(&f->peer);
	buffer_release(&f->response);
	free(f->script.request);
	free(f);
	return 0;
}

static int call_with(struct fixture *f, const void *request, size_t len, int64_t timeout_ms)
{
	const struct grpc_call call = { .path = "/test.Service/Method",
					.timeout_ms = timeout_ms,
					.request = request,
					.request_len = len,
					.response = &f->response };

	buffer_clear(&f->response);
	f->err = (struct error)ERROR_INIT;
	return grpc_client_call(f->client, &call, &f->err);
}

static int call(struct fixture *f)
{
	return call_with(f, "abc", 3, 5000);
}

static void test_request_and_reply(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .data = "hello", .len = 5 };
	assert_int_equal(call(f), 0);
	assert_int_equal(f->response.len, 5);
	assert_memory_equal(f->response.data, "hello", 5);
	assert_string_equal(f->script.path, "/test.Service/Method");
	assert_string_equal(f->script.timeout, "5000m");
	assert_int_equal(f->script.request_len, 3);
	assert_memory_equal(f->script.request, "abc", 3);
}

static void test_empty_messages(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(call_with(f, "", 0, 1000), 0);
	assert_int_equal(f->response.len, 0);
	assert_int_equal(f->script.request_len, 0);
}

static void test_many_calls_use_one_connection(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .data = "x", .len = 1 };
	for (int i = 0; i < 500; i++)
		assert_int_equal(call(f), 0);
	assert_int_equal(f->script.calls, 500);
	assert_int_equal(f->peer.connections, 1);
}

/* Larger than the default windows of HTTP/2 and than one frame, both ways. */
static void test_large_messages(void **state)
{
	struct fixture *f = *state;
	const size_t len = 900000;
	uint8_t *data = malloc(len);

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7);
	f->script.reply = (struct peer_reply){ .data = data, .len = len };
	assert_int_equal(call_with(f, data, len, 10000), 0);
	assert_int_equal(f->response.len, len);
	assert_memory_equal(f->response.data, data, len);
	assert_int_equal(f->script.request_len, len);
	assert_memory_equal(f->script.request, data, len);
	free(data);
}

static void test_status_becomes_an_error(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .status = 5, .message = "no pod 100%25 like %C3%A9t%C3%A9" };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	assert_string_equal(f->err.text, "no pod 100% like \xc3\xa9t\xc3\xa9");
	f->script.reply = (struct peer_reply){ .status = 12 };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_UNIMPLEMENTED);
	assert_string_equal(f->err.text, "no reason given");
	/* The connection serves on. */
	f->script.reply = (struct peer_reply){ 0 };
	assert_int_equal(call(f), 0);
	assert_int_equal(f->peer.connections, 1);
}

static void test_a_broken_escape_stays(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .status = 2, .message = "50% of %zz and %4" };
	assert_int_equal(call(f), -1);
	assert_string_equal(f->err.text, "50% of %zz and %4");
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	int64_t began_us = clock_monotonic_us();

	f->script.reply = (struct peer_reply){ .silent = true };
	assert_int_equal(call_with(f, "", 0, 100), -1);
	assert_int_equal(f->err.code, ERR_DEADLINE);
	assert_true(clock_monotonic_us() - began_us >= 100000);
	f->script.reply = (struct peer_reply){ .data = "y", .len = 1 };
	assert_int_equal(call(f), 0);
	assert_memory_equal(f->response.data, "y", 1);
	assert_int_equal(f->peer.connections, 1);
}

static void test_reset_stream(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .reset = true };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(f->err.text, "REFUSED_STREAM"));
	f->script.reply = (struct peer_reply){ 0 };
	assert_int_equal(call(f), 0);
}

/* Nobody can know whether the call had an effect, so it is not repeated; the next one connects again. */
static void test_hang_up_during_a_call(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .hang_up = true };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_UNAVAILABLE);
	assert_int_equal(f->script.calls, 1);
	f->script.reply = (struct peer_reply){ 0 };
	assert_int_equal(call(f), 0);
	assert_int_equal(f->peer.connections, 2);
}

static void test_hang_up_between_calls(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .data = "1", .len = 1, .hang_up_after = true };
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(call(f), 0);
		/* The end of the connection must have arrived, or the next call might be sent into it. */
		(void)usleep(20000);
	}
	assert_int_equal(f->peer.connections, 5);
}

static void test_wrong_answers(void **state)
{
	struct fixture *f = *state;

	f->script.reply = (struct peer_reply){ .data = "zzz", .len = 3, .compressed_flag = true };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_UNIMPLEMENTED);
	f->script.reply = (struct peer_reply){ .data = "zzz", .len = 3, .announce_extra = 4 };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_INTERNAL);
	f->script.reply = (struct peer_reply){ .status = -1, .data = "zzz", .len = 3 };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_UNAVAILABLE);
	f->script.reply = (struct peer_reply){ .status = -1, .http_status = 503 };
	assert_int_equal(call(f), -1);
	assert_non_null(strstr(f->err.text, "503"));
}

static void test_answer_over_the_limit(void **state)
{
	struct fixture *f = *state;
	char data[2000] = { 0 };

	f->response.max = 1000;
	f->script.reply = (struct peer_reply){ .data = data, .len = 1001 };
	assert_int_equal(call(f), -1);
	assert_int_equal(f->err.code, ERR_EXHAUSTED);
	f->script.reply.len = 1000;
	assert_int_equal(call(f), 0);
	assert_int_equal(f->response.len, 1000);
}

static void on_readable(void *arg)
{
	int *fds = arg;
	char byte;

	assert_int_equal(read(fds[0], &byte, 1), 1);
	fds[2]++;
}

static void test_watched_descriptor(void **state)
{
	struct fixture *f = *state;
	int fds[3] = { -1, -1, 0 };

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	grpc_client_watch(f->client, fds[0], on_readable, fds);
	f->script.reply = (struct peer_reply){ .silent = true };
	assert_int_equal(call_with(f, "", 0, 50), -1);
	assert_int_equal(fds[2], 1);
	grpc_client_watch(f->client, -1, NULL, NULL);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* ---- streams ---- */

struct listener {
	struct grpc_client *client;
	unsigned opened, messages;
	size_t bytes;
	char last[16];
	unsigned give_up_at, cancel_at; /* 0: never */
};

static void on_open(void *arg)
{
	struct listener *listener = arg;

	assert_int_equal(listener->messages, 0);
	listener->opened++;
}

static int on_message(void *arg, const uint8_t *data, size_t len, struct error *err)
{
	struct listener *listener = arg;

	(void)snprintf(listener->last, sizeof(listener->last), "%.*s", (int)len, (const char *)data);
	listener->bytes += len;
	listener->messages++;
	if (listener->messages == listener->cancel_at)
		grpc_client_cancel(listener->client);
	return listener->messages == listener->give_up_at ? error_set(err, ERR_STATE, "enough") : 0;
}

static int listen_to(struct fixture *f, struct listener *listener, int64_t timeout_ms)
{
	const struct grpc_call call = { .path = "/test.Service/Feed",
					.timeout_ms = timeout_ms,
					.request = "abc",
					.request_len = 3,
					.on_message = on_message,
					.on_open = on_open,
					.arg = listener,
					.max_message = 1000 };

	f->err = (struct error)ERROR_INIT;
	listener->client = f->client;
	return grpc_client_call(f->client, &call, &f->err);
}

static const char three[] = "\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\5three";

static void test_stream(void **state)
{
	struct fixture *f = *state;
	struct listener listener = { 0 };

	f->script.reply = (struct peer_reply){ .raw = true, .data = three, .len = sizeof(three) - 1 };
	assert_int_equal(listen_to(f, &listener, 0), 0);
	assert_int_equal(listener.opened, 1);
	assert_int_equal(listener.messages, 3);
	assert_int_equal(listener.bytes, 8);
	assert_string_equal(listener.last, "three");
	assert_string_equal(f->script.timeout, ""); /* it may last for ever */
	/* Unary calls share the connection. */
	f->script.reply = (struct peer_reply){ .data = "x", .len = 1 };
	assert_int_equal(call(f), 0);
	assert_int_equal(f->peer.connections, 1);
}

static void test_empty_stream(void **state)
{
	struct fixture *f = *state;
	struct listener listener = { 0 };

	f->script.reply = (struct peer_reply){ .raw = true, .data = "", .len = 0 };
	assert_int_equal(listen_to(f, &listener, 5000), 0);
	assert_int_equal(listener.opened, 1);
	assert_int_equal(listener.messages, 0);
	assert_string_equal(f->script.timeout, "5000m");
}

/* Many at once, each within the limit, all together far beyond. */
static void test_many_messages(void **state)
{
	struct fixture *f = *state;
	struct listener listener = { 0 };
	const size_t n = 3000, size = 5 + 1000;
	uint8_t *data = calloc(n, size);

	assert_non_null(data);
	for (size_t i = 0; i < n; i++) {
		data[i * size + 3] = 1000 >> 8;
		data[i * size + 4] = 1000 & 0xff;
	}
	f->script.reply = (struct peer_reply){ .raw = true, .data = data, .len = n * size };
	assert_int_equal(listen_to(f, &listener, 0), 0);
	assert_int_equal(listener.messages, n);
	assert_int_equal(listener.bytes, n * 1000);
	data[size + 4]++;
	listener = (struct listener){ 0 };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_EXHAUSTED);
	assert_int_equal(listener.messages, 1);
	free(data);
}

static void test_stream_fails_at_its_end(void **state)
{
	struct fixture *f = *state;
	struct listener listener = { 0 };

	f->script.reply = (struct peer_reply){ .raw = true, .data = three, .len = 8, .status = 8, .message = "too slow" };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_EXHAUSTED);
	assert_string_equal(f->err.text, "too slow");
	assert_int_equal(listener.messages, 1);
	listener = (struct listener){ 0 };
	f->script.reply = (struct peer_reply){ .raw = true, .data = three, .len = sizeof(three) - 3 };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_INTERNAL);
	listener = (struct listener){ 0 };
	f->script.reply = (struct peer_reply){ .raw = true, .data = "\1\0\0\0\1x", .len = 6 };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_UNIMPLEMENTED);
	listener = (struct listener){ 0 };
	f->script.reply = (struct peer_reply){ .raw = true, .data = three, .len = sizeof(three) - 1, .status = -1 };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_UNAVAILABLE);
}

/* The reader has enough, by itself or because of what a watched descriptor said; the connection stays. */
static void test_stream_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct listener listener = { .give_up_at = 2 };

	f->script.reply = (struct peer_reply){ .raw = true, .data = three, .len = sizeof(three) - 1, .hold_open = true };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_STATE);
	assert_string_equal(f->err.text, "enough");
	assert_int_equal(listener.messages, 2);
	listener = (struct listener){ .cancel_at = 2 };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_CANCELLED);
	assert_int_equal(listener.messages, 2);
	listener = (struct listener){ 0 };
	assert_int_equal(listen_to(f, &listener, 100), -1);
	assert_int_equal(f->err.code, ERR_DEADLINE);
	assert_int_equal(listener.messages, 3);
	f->script.reply = (struct peer_reply){ .data = "x", .len = 1 };
	assert_int_equal(call(f), 0);
	assert_int_equal(f->peer.connections, 1);
}

static void on_interrupt(void *arg)
{
	int *fds = ((void **)arg)[0];
	char byte;

	assert_int_equal(read(fds[0], &byte, 1), 1);
	grpc_client_cancel(((void **)arg)[1]);
}

static void test_watch_cancels_a_stream(void **state)
{
	struct fixture *f = *state;
	struct listener listener = { 0 };
	int fds[2];
	void *arg[2] = { fds, f->client };

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	grpc_client_watch(f->client, fds[0], on_interrupt, arg);
	f->script.reply = (struct peer_reply){ .silent = true };
	assert_int_equal(listen_to(f, &listener, 0), -1);
	assert_int_equal(f->err.code, ERR_CANCELLED);
	grpc_client_watch(f->client, -1, NULL, NULL);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_not_http2(void **state)
{
	int fds[2];
	struct grpc_client *client = NULL;
	struct error err = ERROR_INIT;
	_cleanup_buffer_ struct buffer response = BUFFER_INIT(100);
	const struct grpc_call call = { .path = "/a/b", .timeout_ms = 2000, .request = "", .response = &response };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write(fds[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
	assert_int_equal(grpc_client_adopt(fds[0], &client, &err), 0);
	assert_int_equal(grpc_client_call(client, &call, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	/* It cannot connect again. */
	assert_int_equal(grpc_client_call(client, &call, &err), -1);
	grpc_client_close(client);
	(void)close(fds[1]);
}

static void test_nobody_listens(void **state)
{
	struct grpc_client *client = NULL;
	struct error err = ERROR_INIT;
	char path[200];

	(void)state;
	assert_int_equal(grpc_client_open("/nonexistent/socket", &client, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "/nonexistent/socket"));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(grpc_client_open(path, &client, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void test_status_codes(void **state)
{
	(void)state;
	assert_int_equal(grpc_error_code(3), ERR_INVALID);
	assert_int_equal(grpc_error_code(14), ERR_UNAVAILABLE);
	assert_int_equal(grpc_error_code(16), ERR_UNAUTHENTICATED);
	assert_int_equal(grpc_error_code(17), ERR_INTERNAL);
	assert_int_equal(grpc_error_code(-1), ERR_INTERNAL);
}

int main(void)
{
#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_PEER(test_request_and_reply),
		WITH_PEER(test_empty_messages),
		WITH_PEER(test_many_calls_use_one_connection),
		WITH_PEER(test_large_messages),
		WITH_PEER(test_status_becomes_an_error),
		WITH_PEER(test_a_broken_escape_stays),
		WITH_PEER(test_deadline),
		WITH_PEER(test_reset_stream),
		WITH_PEER(test_hang_up_during_a_call),
		WITH_PEER(test_hang_up_between_calls),
		WITH_PEER(test_wrong_answers),
		WITH_PEER(test_answer_over_the_limit),
		WITH_PEER(test_watched_descriptor),
		WITH_PEER(test_stream),
		WITH_PEER(test_empty_stream),
		WITH_PEER(test_many_messages),
		WITH_PEER(test_stream_fails_at_its_end),
		WITH_PEER(test_stream_is_given_up),
		WITH_PEER(test_watch_cancels_a_stream),
		cmocka_unit_test(test_not_http2),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_status_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
