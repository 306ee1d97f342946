#include "cri/status.h"

static const enum grpc_status statuses[ERR_CODE_COUNT] = {
	[ERR_NONE] = GRPC_OK,
	[ERR_INVALID] = GRPC_INVALID_ARGUMENT,
	[ERR_NOT_FOUND] = GRPC_NOT_FOUND,
	[ERR_EXISTS] = GRPC_ALREADY_EXISTS,
	[ERR_STATE] = GRPC_FAILED_PRECONDITION,
	[ERR_DENIED] = GRPC_PERMISSION_DENIED,
	[ERR_UNAUTHENTICATED] = GRPC_UNAUTHENTICATED,
	[ERR_EXHAUSTED] = GRPC_RESOURCE_EXHAUSTED,
	[ERR_DEADLINE] = GRPC_DEADLINE_EXCEEDED,
	[ERR_CANCELLED] = GRPC_CANCELLED,
	[ERR_UNAVAILABLE] = GRPC_UNAVAILABLE,
	[ERR_UNIMPLEMENTED] = GRPC_UNIMPLEMENTED,
	[ERR_DATA_LOSS] = GRPC_DATA_LOSS,
	[ERR_INTERNAL] = GRPC_INTERNAL,
};

enum grpc_status grpc_status_of(enum error_code code)
{
	if ((unsigned)code >= ERR_CODE_COUNT)
		return GRPC_INTERNAL;
	return statuses[code];
}

size_t grpc_message_encode(char *out, size_t size, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;

	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		int plain = byte >= 0x20 && byte <= 0x7e && byte != '%';

		if (len + (plain ? 1 : 3) >= size)
			break;
		if (plain) {
			out[len++] = (char)byte;
			continue;
		}
		out[len++] = '%';
		out[len++] = digits[byte >> 4];
		out[len++] = digits[byte & 15];
	}
	out[len] = '\0';
	return len;
}
