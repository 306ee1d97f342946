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
	static const char *const transfers[] = { "PullImage", "ImportImage", "CheckImages" };
	static const char *const slow[] = { "RunPodSandbox",   "StopPodSandbox", "RemovePodSandbox",
					    "CreateContainer", "StartContainer", "StopContainer",
					    "RemoveContainer", "RemoveImage",    "PruneImages" };

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

/* Two services have a PullImage, with requests of their own. */
static const ProtobufCMethodDescriptor *find_method(const char *name, const ProtobufCMessageDescriptor *input,
						    const struct service **ret_service)
{
	for (size_t s = 0; s < ARRAY_SIZE(services); s++) {
		const ProtobufCServiceDescriptor *d = services[s].descriptor;

		for (unsigned m = 0; m < d->n_methods; m++) {
			if (strcmp(d->methods[m].name, name) == 0 && d->methods[m].input == input) {
				*ret_service = &services[s];
				return &d->methods[m];
			}
		}
	}
	return NULL;
}

/* Finds the method, encodes the request and makes the call, of which the rest is filled in. */
static int send_call(const struct rpc *rpc, const ProtobufCMethodDescriptor *m, const struct service *service,
		     const ProtobufCMessage *request, struct grpc_call *call, struct error *err)
{
	size_t len = protobuf_c_message_get_packed_size(request);
	_cleanup_free_
	uint8_t *data = malloc(len ? len : 1);
	char path[128];

	if (!data)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	(void)snprintf(path, sizeof(path), "/%s/%s", service->names[rpc->api], m->name);
	(void)protobuf_c_message_pack(request, data);
	call->path = path;
	call->request = data;
	call->request_len = len;
	return grpc_client_call(rpc->client, call, err) < 0 ? error_prefix(err, "%s", m->name) : 0;
}

static int no_such_method(const char *method, const ProtobufCMessage *request, struct error *err)
{
	return error_set(err, ERR_INTERNAL, "%s: no such method, or not with a %s", method, request->descriptor->short_name);
}

ProtobufCMessage *rpc_call_within(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, int64_t timeout_ms,
				  struct error *err)
{
	_cleanup_buffer_ struct buffer response = BUFFER_INIT(GRPC_CLIENT_MAX_MESSAGE);
	struct grpc_call call = { .timeout_ms = timeout_ms, .response = &response };
	const struct service *service = NULL;
	const ProtobufCMethodDescriptor *m = find_method(method, request->descriptor, &service);
	ProtobufCMessage *reply;

	if (!m) {
		(void)no_such_method(method, request, err);
		return NULL;
	}
	if (send_call(rpc, m, service, request, &call, err) < 0)
		return NULL;
	reply = protobuf_c_message_unpack(m->output, NULL, response.len, (const uint8_t *)response.data);
	if (!reply)
		(void)error_set(err, ERR_INTERNAL, "%s: the answer does not decode", method);
	return reply;
}

ProtobufCMessage *rpc_call(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, struct error *err)
{
	return rpc_call_within(rpc, method, request, rpc->timeout_ms ? rpc->timeout_ms : default_timeout_ms(method), err);
}

/* ---- streams ---- */

struct receiver {
	const struct rpc_stream *stream;
	const ProtobufCMessageDescriptor *type;
};

static int on_message(void *arg, const uint8_t *data, size_t len, struct error *err)
{
	const struct receiver *receiver = arg;
	_cleanup_message_ ProtobufCMessage *message = protobuf_c_message_unpack(receiver->type, NULL, len, data);

	if (!message)
		return error_set(err, ERR_INTERNAL, "a message of the stream does not decode");
	return receiver->stream->on_message(receiver->stream->arg, message, err);
}

static void on_open(void *arg)
{
	const struct receiver *receiver = arg;

	if (receiver->stream->on_open)
		receiver->stream->on_open(receiver->stream->arg);
}

/* A stream of events has no end; a transfer has one. */
static int64_t stream_timeout_ms(const struct rpc *rpc, const char *method)
{
	int64_t timeout_ms = default_timeout_ms(method);

	if (rpc->timeout_ms)
		return rpc->timeout_ms;
	return timeout_ms == TRANSFER_MS ? timeout_ms : 0;
}

int rpc_stream(const struct rpc *rpc, const char *method, const ProtobufCMessage *request, const struct rpc_stream *stream,
	       struct error *err)
{
	const struct service *service = NULL;
	const ProtobufCMethodDescriptor *m = find_method(method, request->descriptor, &service);
	struct receiver receiver = { .stream = stream, .type = m ? m->output : NULL };
	struct grpc_call call = {
		.timeout_ms = stream_timeout_ms(rpc, method),
		.on_message = on_message,
		.on_open = on_open,
		.arg = &receiver,
		.max_message = GRPC_CLIENT_MAX_MESSAGE,
	};

	if (!m)
		return no_such_method(method, request, err);
	return send_call(rpc, m, service, request, &call, err);
}
