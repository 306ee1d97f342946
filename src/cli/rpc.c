#include "cli/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/grpc_client.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

/* Answered from memory, or a single system call deep: a daemon that takes longer is in trouble, and the caller should hear of it. */
#define QUICK_MS (10 * 1000)

/* May wait for a network, for disks or for processes to end. The kubelet gives RunPodSandbox four minutes. */
#define SLOW_MS (4 * 60 * 1000)

/* Moves whole images over slow lines. */
#define TRANSFER_MS (60 * 60 * 1000)

static const struct service {
	const ProtobufCServiceDescriptor *descriptor;
	const char *names[2]; /* by enum rpc_api */
} services[] = {
	{ &cri__runtime_service__descriptor, { "runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService" } },
	{ &cri__image_service__descriptor, { "runtime.v1.ImageService", "runtime.v1alpha2.ImageService" } },
	{ &admin__admin__descriptor, { "monopod.v1.Admin", "monopod.v1.Admin" } },
};

static int64_t default_timeout_ms(const char *method)
{
	static const char *const transfers[] = { "PullImage", "ImportImage" };
	static const char *const slow[] = { "RunPodSandbox",  "StopPodSandbox", "RemovePodSandbox", "CreateContainer",
					    "StartContainer", "StopContainer",  "RemoveContainer",  "RemoveImage" };

	for (size_t i = 0; i < ARRAY_SIZE(transfers); i++) {
		if (strcmp(method, transfers[i]) == 0)
			return TRANSFER_MS;
	}
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		if (strcmp(method, slow[i]) == 0)
			return SLOW_MS;
	}
	return QUICK_MS;
}

static const ProtobufCMethodDescriptor *find_method(const char *name, const struct service **ret_service)
{
	for (size_t s = 0; s < ARRAY_SIZE(services); s++) {
		const ProtobufCServiceDescriptor *d = services[s].descriptor;

		for (unsigned m = 0; m < d->n_methods; m++) {
			if (strcmp(d->methods[m].name, name) == 0) {
				*ret_service = &services[s];
				return &d->methods[m];
			}
		}
	}
	return NULL;
}

static int call_bytes(const struct rpc *rpc, const char *path, const ProtobufCMessage *request, int64_t timeout_ms,
		      struct buffer *response, struct error *err)
{
	size_t len = protobuf_c_message_get_packed_size(request);
	_cleanup_free_
	uint8_t *data = malloc(len ? len : 1);
	struct grpc_call call = { .path = path, .timeout_ms = timeout_ms, .request_len = len, .response = response };

	if (!data)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	call.request = data;
	(void)protobuf_c_message_pack(request, data);
	return grpc_client_call(rpc->client, &call, err);
}

ProtobufCMessage *rpc_call_within(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, int64_t timeout_ms,
				  struct error *err)
{
	_cleanup_buffer_ struct buffer response = BUFFER_INIT(GRPC_CLIENT_MAX_MESSAGE);
	const struct service *service = NULL;
	const ProtobufCMethodDescriptor *m = find_method(method, &service);
	ProtobufCMessage *reply;
	char path[128];

	if (!m || m->input != request->descriptor) {
		(void)error_set(err, ERR_INTERNAL, "%s: no such method, or not with a %s", method, request->descriptor->short_name);
		return NULL;
	}
	(void)snprintf(path, sizeof(path), "/%s/%s", service->names[rpc->api], method);
	if (call_bytes(rpc, path, request, timeout_ms, &response, err) < 0) {
		(void)error_prefix(err, "%s", method);
		return NULL;
	}
	reply = protobuf_c_message_unpack(m->output, NULL, response.len, (const uint8_t *)response.data);
	if (!reply)
		(void)error_set(err, ERR_INTERNAL, "%s: the answer does not decode", method);
	return reply;
}

ProtobufCMessage *rpc_call(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, struct error *err)
{
	return rpc_call_within(rpc, method, request, rpc->timeout_ms ? rpc->timeout_ms : default_timeout_ms(method), err);
}
