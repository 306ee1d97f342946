/*
 * Every allocation of a session's life fails once: those of ours, of nghttp2 and of protobuf-c. A recorded client talks to the server; the
 * n-th allocation that happens on the server's side returns NULL, for every n. Nothing may crash, nothing may stay.
 *
 * malloc is replaced in this program, which a sanitizer does not allow: with one the test says that it was skipped.
 */
#include "grpc_pair.h"

#include <errno.h>

#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_REPLACE_MALLOC 0
#else
#define CAN_REPLACE_MALLOC 1
#endif

static long live;      /* allocations that were not freed yet */
static long countdown; /* the n-th from now fails; 0: none does */
static bool failed;

#if CAN_REPLACE_MALLOC
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void __libc_free(void *ptr);

static bool fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

static void *counted(void *ptr)
{
	live += ptr != NULL;
	return ptr;
}

void *malloc(size_t size)
{
	return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *ptr, size_t size)
{
	void *grown = fails() ? NULL : __libc_realloc(ptr, size);

	live += grown && !ptr;
	return grown;
}

void free(void *ptr)
{
	live -= ptr != NULL;
	__libc_free(ptr);
}
#endif

/* What a client says that makes four calls, two of which need the test's hand, resets one and says goodbye. */
static uint8_t script[65536];
static size_t script_len;

static void record(struct pair *pair)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = nghttp2_session_mem_send(pair->client, &data)) > 0) {
		assert_true(script_len + (size_t)len < sizeof(script));
		memcpy(script + script_len, data, (size_t)len);
		script_len += (size_t)len;
		pair_deliver(pair, data, (size_t)len);
	}
	while ((len = session_pull(pair->server, &data)) > 0)
		assert_true(nghttp2_session_mem_recv(pair->client, data, (size_t)len) == len);
}

static void record_call(struct pair *pair, struct exchange *exchange, const char *path, const char *text)
{
	static const char *const more[][2] = { { "grpc-timeout", "1S" }, { NULL, NULL } };
	uint8_t *frame = pair_frame(text, &exchange->out_len);

	exchange->out = frame;
	pair_submit(pair, exchange, path, more);
	record(pair);
	free(frame);
}

static void record_script(void)
{
	static const char *const paths[] = { "/test/Echo", "/test/Fail", "/test/Hold", "/test/Hold", "/test/Feed", "/test/Size" };
	struct pair *pair = pair_open();
	struct exchange calls[6] = { 0 };

	for (size_t i = 0; i < 6; i++)
		record_call(pair, &calls[i], paths[i], "20000");
	(void)nghttp2_submit_rst_stream(pair->client, NGHTTP2_FLAG_NONE, calls[2].id, NGHTTP2_CANCEL);
	record(pair);
	for (size_t i = 0; i < 6; i++)
		buffer_release(&calls[i].in);
	while (pair_n_held > 0)
		pair_settle(pair_held[--pair_n_held], "x");
	pair_close(pair);
}

static void on_output(void *arg)
{
	(void)arg;
}

static void pull_all(struct session *session)
{
	const uint8_t *data;

	while (session_pull(session, &data) > 0)
		;
}

static void play(struct session *session)
{
	struct error err = ERROR_INIT;

	for (size_t at = 0; at < script_len; at += 512) {
		if (session_receive(session, script + at, script_len - at < 512 ? script_len - at : 512, &err) < 0)
			return;
		pull_all(session);
	}
	while (pair_n_held > 1) {
		struct call *call = pair_held[--pair_n_held];

		if (!strcmp(call->method, "Feed"))
			call_open(call);
		pair_settle(call, "late");
		pull_all(session);
	}
	pair_now_us += 2000000;
	(void)session_tick(session, &err);
	session_shutdown(session);
	pull_all(session);
}

static void live_through(void)
{
	struct byte_budget bytes = { .max = 1 << 20 };
	const struct session_config config = { .find = pair_find,
					       .max_message_bytes = 65536,
					       .max_streams = 20,
					       .bytes = &bytes,
					       .clock_us = pair_clock_us,
					       .on_output = on_output };
	struct session *session = NULL;
	struct error err = ERROR_INIT;

	pair_n_held = 0;
	if (session_open(&config, &session, &err) == 0) {
		play(session);
		session_free(session);
	}
	countdown = 0;
	while (pair_n_held > 0)
		pair_settle(pair_held[--pair_n_held], "to nobody");
	assert_int_equal(bytes.used, 0);
}

static void test_every_allocation_fails_once(void **state)
{
	long n = 1;

	(void)state;
	if (!CAN_REPLACE_MALLOC) {
		print_message("malloc belongs to the sanitizer\n");
		skip();
	}
	record_script();
	do {
		long before = live;

		failed = false;
		countdown = n;
		live_through();
		countdown = 0;
		assert_int_equal(live, before);
		n++;
	} while (failed);
	print_message("%ld allocations failed, each once\n", n - 2);
	assert_true(n > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_fails_once),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
