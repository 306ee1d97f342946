/* A call without a server: keeps what an operation answers, as a client would have decoded it. */
#ifndef MONOPOD_TEST_CALL_H
#define MONOPOD_TEST_CALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "task/call.h"

/* Last: its macro fail() would change call.h. */
#include <cmocka.h>

#define TEST_CALL_MESSAGES 64

struct test_call {
	struct call call;
	bool done;
	bool failed;
	struct error err;
	ProtobufCMessage *reply;
	/* a stream */
	bool opened;
	bool deaf; /* set by the test: asks for a pause after each message */
	ProtobufCMessage *messages[TEST_CALL_MESSAGES];
	size_t n_messages;
};

static inline ProtobufCMessage *test_call_copy(const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *data = malloc(len + 1);
	ProtobufCMessage *copy;

	assert_non_null(data);
	(void)protobuf_c_message_pack(message, data);
	copy = protobuf_c_message_unpack(message->descriptor, NULL, len, data);
	assert_non_null(copy);
	free(data);
	return copy;
}

static void test_call_reply(struct call *call, const ProtobufCMessage *message)
{
	struct test_call *test = container_of(call, struct test_call, call);

	assert_false(test->done);
	test->reply = test_call_copy(message);
	test->done = true;
}

static void test_call_open(struct call *call)
{
	container_of(call, struct test_call, call)->opened = true;
}

static bool test_call_send(struct call *call, const ProtobufCMessage *message)
{
	struct test_call *test = container_of(call, struct test_call, call);

	assert_false(test->done);
	assert_true(test->n_messages < TEST_CALL_MESSAGES);
	test->messages[test->n_messages++] = test_call_copy(message);
	return !test->deaf;
}

static void test_call_finish(struct call *call)
{
	struct test_call *test = container_of(call, struct test_call, call);

	assert_false(test->done);
	test->done = true;
}

static void test_call_fail(struct call *call, const struct error *err)
{
	struct test_call *test = container_of(call, struct test_call, call);

	assert_false(test->done);
	assert_int_not_equal(err->code, ERR_NONE);
	test->err = *err;
	test->done = test->failed = true;
}

static const struct call_ops test_call_ops = {
	.reply = test_call_reply,
	.fail = test_call_fail,
	.open = test_call_open,
	.send = test_call_send,
	.finish = test_call_finish,
};

static inline void call_end(struct test_call *test)
{
	if (test->reply)
		protobuf_c_message_free_unpacked(test->reply, NULL);
	while (test->n_messages > 0)
		protobuf_c_message_free_unpacked(test->messages[--test->n_messages], NULL);
	arena_release(&test->call.arena);
}

#endif
