/*
 * Error codes as gRPC statuses (grpc/doc/statuscodes.md), and error texts as the grpc-message trailer.
 */
#ifndef MONOPOD_CRI_STATUS_H
#define MONOPOD_CRI_STATUS_H

#include <stddef.h>

#include "base/error.h"

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

/* The one place where our codes become the wire's. */
enum grpc_status grpc_status_of(enum error_code code);

/* Room for an error text of which every byte needs three. */
#define GRPC_MESSAGE_SIZE (3 * ERROR_TEXT_SIZE)

/* The percent-encoding of grpc/doc/PROTOCOL-HTTP2.md ("Status-Message"): what is not printable ASCII, and '%' itself, becomes %XX.
 * Returns the length; cuts what does not fit, never inside an escape. */
size_t grpc_message_encode(char *out, size_t size, const char *text);

#endif
