/*
 * A connection's bytes, behind a good preface or (first byte odd) as they are. The second byte says how they are cut. Four operations:
 * one answers at once, one when the test gets to it, one is a stream that ends at once, one a stream that goes on until its client is
 * gone. Whatever comes, nothing of the byte budget stays taken.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cri/session.h"
#include "proto/cri.pb-c.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
#define MAX_HELD 512
#define BUDGET (1 << 20)
#define STEP_US 50000
#define MAX_OUTPUT ((size_t)64 * 1024 * 1024)

static int64_t now_us;
static struct call *held[MAX_HELD];
static size_t n_held;

static int64_t clock_us(void)
{
	return now_us;
}

static void reply(struct call *call)
{
	Cri__VersionResponse response = CRI__VERSION_RESPONSE__INIT;

	response.version = ((const Cri__VersionRequest *)call->request)->version;
	call_reply(call, &response.base);
}

static void send_some(struct call *call)
{
	Cri__VersionResponse response = CRI__VERSION_RESPONSE__INIT;

	response.version = ((const Cri__VersionRequest *)call->request)->version;
	for (int i = 0; i < 3; i++)
		(void)call_send(call, &response.base);
}

/* Of a call that was held. */
static void answer(struct call *call)
{
	if (strcmp(call->method, "/s") != 0) {
		reply(call);
		return;
	}
	send_some(call);
	call_finish(call);
}

static void op_echo(struct node *node, struct call *call)
{
	(void)node;
	reply(call);
}

static void op_hold(struct node *node, struct call *call)
{
	(void)node;
	if (n_held == MAX_HELD)
		answer(call);
	else
		held[n_held++] = call;
}

static void op_feed(struct node *node, struct call *call)
{
	(void)node;
	send_some(call);
	call_finish(call);
}

static void op_subscribe(struct node *node, struct call *call)
{
	call_open(call);
	op_hold(node, call);
}

#define ROW(title, operation, is_stream)                                                                                           \
	{                                                                                                                          \
		.name = (title), .request = &cri__version_request__descriptor, .response = &cri__version_response__descriptor,     \
		.run = (operation), .streams = (is_stream)                                                                         \
	}

static const struct method *find(const char *path, const char **ret_service)
{
	static const struct method rows[] = { ROW("/e", op_echo, false), ROW("/h", op_hold, false), ROW("/f", op_feed, true),
					      ROW("/s", op_subscribe, true) };

	*ret_service = "test";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strcmp(path, rows[i].name))
			return &rows[i];
	}
	return NULL;
}

static void on_output(void *arg)
{
	(void)arg;
}

static void drain(struct session *session)
{
	const uint8_t *data;
	size_t total = 0;
	ssize_t len;

	while ((len = session_pull(session, &data)) > 0) {
		total += (size_t)len;
		if (total > MAX_OUTPUT)
			abort();
	}
}

static void answer_some(size_t keep)
{
	while (n_held > keep)
		answer(held[--n_held]);
}

static void run(struct session *session, const uint8_t *data, size_t size, size_t step)
{
	struct error err = ERROR_INIT;

	for (size_t at = 0; at < size; at += step) {
		size_t len = size - at < step ? size - at : step;

		if (session_receive(session, data + at, len, &err) < 0 || session_is_over(session))
			break;
		drain(session);
		now_us += STEP_US;
		if (session_next_event_us(session) <= now_us && session_tick(session, &err) < 0)
			break;
		for (size_t i = 0; i < n_held; i++)
			if (!strcmp(held[i]->method, "/s"))
				send_some(held[i]);
		answer_some(n_held / 2);
	}
	drain(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct byte_budget bytes = { .max = BUDGET };
	const struct session_config config = { .find = find,
					       .max_message_bytes = 65536,
					       .max_streams = 20,
					       .bytes = &bytes,
					       .clock_us = clock_us,
					       .on_output = on_output };
	struct session *session;
	struct error err = ERROR_INIT;

	log_set_level(LOG_LEVEL_ERROR);
	if (size < 2 || session_open(&config, &session, &err) < 0)
		return 0;
	if (data[0] % 2 == 0)
		(void)session_receive(session, (const uint8_t *)PREFACE, sizeof(PREFACE) - 1, &err);
	run(session, data + 2, size - 2, (size_t)data[1] * 4 + 1);
	if (data[0] & 4)
		session_shutdown(session);
	if (data[0] & 2)
		answer_some(0);
	session_free(session);
	answer_some(0);
	if (bytes.used != 0)
		abort();
	return 0;
}
