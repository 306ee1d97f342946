/*
 * Requests from the wire to the checks: the first byte chooses the type. What passes the check of the form must unpack, within its memory,
 * and survive being packed and checked again; what fails must say why.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "base/arena.h"
#include "cri/check.h"
#include "cri/decode.h"
#include "cri/wire_check.h"
#include "proto/cri.pb-c.h"

static const struct {
	const ProtobufCMessageDescriptor *type;
	check_fn *check;
} requests[] = {
	{ &cri__run_pod_sandbox_request__descriptor, check_run_pod_sandbox },
	{ &cri__create_container_request__descriptor, check_create_container },
	{ &cri__exec_sync_request__descriptor, check_exec_sync },
	{ &cri__pull_image_request__descriptor, check_pull_image },
	{ &cri__list_containers_request__descriptor, check_list_containers },
	{ &cri__stop_container_request__descriptor, check_stop_container },
};

static void expect_reason(const struct error *err)
{
	if (err->code == ERR_NONE || err->text[0] == '\0')
		abort();
}

static void check_again(const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(len + 1);
	struct error err = ERROR_INIT;

	if (!bytes || protobuf_c_message_pack(message, bytes) != len)
		abort();
	if (wire_check(message->descriptor, bytes, len, &err) < 0)
		abort();
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessage *message = NULL;
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	size_t n = sizeof(requests) / sizeof(requests[0]), which, bytes = 0;

	if (size == 0)
		return 0;
	which = data[0] % n;
	if (decode_message(requests[which].type, data + 1, size - 1, &arena, &message, &bytes, &err) < 0) {
		expect_reason(&err);
		/* The form was good and protobuf-c did not agree: the two must not differ. */
		if (wire_check(requests[which].type, data + 1, size - 1, &err) == 0)
			abort();
	} else {
		if (bytes > DECODE_MAX_GROWTH + 4 * size)
			abort();
		check_again(message);
		if (requests[which].check(message, &err) < 0)
			expect_reason(&err);
	}
	arena_release(&arena);
	return 0;
}
