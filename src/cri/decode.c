#include "cri/decode.h"

#include "cri/wire_check.h"

struct allowance {
	struct arena *arena;
	size_t left_bytes;
	bool refused;
};

static void *take(void *arg, size_t size)
{
	struct allowance *allowance = arg;
	void *ptr = NULL;

	if (size <= allowance->left_bytes)
		ptr = arena_alloc(allowance->arena, size);
	if (!ptr) {
		allowance->refused = true;
		return NULL;
	}
	allowance->left_bytes -= size;
	return ptr;
}

static void keep(void *arg, void *ptr)
{
	(void)arg;
	(void)ptr;
}

int decode_message(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, struct arena *arena,
		   const ProtobufCMessage **ret_message, size_t *ret_bytes, struct error *err)
{
	struct allowance allowance = { .arena = arena, .left_bytes = DECODE_MAX_GROWTH + 4 * len };
	ProtobufCAllocator allocator = { .alloc = take, .free = keep, .allocator_data = &allowance };
	ProtobufCMessage *message;

	if (wire_check(type, data, len, err) < 0)
		return -1;
	message = protobuf_c_message_unpack(type, &allocator, len, data);
	if (!message && allowance.refused)
		return error_set(err, ERR_EXHAUSTED, "no memory to unpack a request of %zu bytes", len);
	if (!message)
		return error_set(err, ERR_INVALID, "request: not a %s", type->name);
	*ret_message = message;
	*ret_bytes = DECODE_MAX_GROWTH + 4 * len - allowance.left_bytes;
	return 0;
}
