/*
 * The surface: one const row per RPC of proto/cri.proto and proto/admin.proto.
 *
 * A row without an operation answers UNIMPLEMENTED and nothing else. Paths are matched exactly, case included; "runtime.v1" and
 * "runtime.v1alpha2" are two names of the same rows.
 */
#ifndef MONOPOD_CRI_METHOD_H
#define MONOPOD_CRI_METHOD_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "task/node.h"

enum method_service { SERVICE_RUNTIME, SERVICE_IMAGE, SERVICE_ADMIN };

struct method {
	enum method_service service;
	const char *name;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	bool streams; /* the server's side is a stream */
	int (*check)(const ProtobufCMessage *request,
		     struct error *err); /* check.h; NULL: nothing to check beyond the wire's form */
	operation_fn *run;               /* NULL: not built yet */
};

/* The rows, for tests and `monopod explain`. */
const struct method *method_table(size_t *ret_count);

/* "/SERVICE/METHOD" to its row; NULL when there is none. *ret_service is static: the name it was called by. */
const struct method *method_find(const char *path, const char **ret_service);

#endif
