/* Calls by method name: the path under both service names, the deadline that fits, replies that do not decode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/grpc_client.h"
#include "cli/rpc.h"
#include "grpc_peer.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

struct fixture {
	struct peer peer;
	struct rpc rpc;
	struct peer_reply reply;
	char path[128];
	char timeout[32];
	struct error err;
};

static struct peer_reply remember(void *arg, const struct peer_call *call)
{
	struct fixture *f = arg;

	(void)snprintf(f->path, sizeof(f->path), "%s", call->path);
	(void)snprintf(f->timeout, sizeof(f->timeout), "%s", call->timeout);
	return f->reply;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || peer_open(&f->peer, remember, f) != 0)
		return -1;
	return grpc_client_open(f->peer.path, &f->rpc.client, &f->err);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	grpc_client_close(f->rpc.client);
	peer_close(&f->peer);
	free(f);
	return 0;
}

static void check(struct fixture *f, const char *method, const ProtobufCMessage *request, const char *path, const char *timeout)
{
	_cleanup_message_ ProtobufCMessage *reply = rpc_call(&f->rpc, method, request, &f->err);

	assert_non_null(reply);
	assert_string_equal(f->path, path);
	assert_string_equal(f->timeout, timeout);
}

static void test_paths_and_deadlines(void **state)
{
	struct fixture *f = *state;
	Cri__VersionRequest version = CRI__VERSION_REQUEST__INIT;
	Cri__RunPodSandboxRequest run = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
	Cri__PullImageRequest pull = CRI__PULL_IMAGE_REQUEST__INIT;
	Admin__ListMachinesRequest machines = ADMIN__LIST_MACHINES_REQUEST__INIT;

	check(f, "Version", &version.base, "/runtime.v1.RuntimeService/Version", "10000m");
	check(f, "RunPodSandbox", &run.base, "/runtime.v1.RuntimeService/RunPodSandbox", "240000m");
	check(f, "PullImage", &pull.base, "/runtime.v1.ImageService/PullImage", "3600000m");
	check(f, "ListMachines", &machines.base, "/monopod.v1.Admin/ListMachines", "10000m");
	f->rpc.api = RPC_API_V1ALPHA2;
	f->rpc.timeout_ms = 1234;
	check(f, "Version", &version.base, "/runtime.v1alpha2.RuntimeService/Version", "1234m");
	check(f, "PullImage", &pull.base, "/runtime.v1alpha2.ImageService/PullImage", "1234m");
	check(f, "ListMachines", &machines.base, "/monopod.v1.Admin/ListMachines", "1234m");
}

/* Eight digits are all that the header takes. */
static void test_long_deadlines_are_sent_in_seconds(void **state)
{
	struct fixture *f = *state;
	Cri__VersionRequest version = CRI__VERSION_REQUEST__INIT;

	f->rpc.timeout_ms = 99999999;
	check(f, "Version", &version.base, "/runtime.v1.RuntimeService/Version", "99999999m");
	f->rpc.timeout_ms = 100000000;
	check(f, "Version", &version.base, "/runtime.v1.RuntimeService/Version", "100000S");
}

static void test_the_reply_has_its_type(void **state)
{
	struct fixture *f = *state;
	static char name[] = "monopod";
	uint8_t data[64];
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	Cri__VersionResponse answer = CRI__VERSION_RESPONSE__INIT;
	_cleanup_message_ Cri__VersionResponse *reply = NULL;

	answer.runtime_name = name;
	f->reply = (struct peer_reply){ .data = data, .len = protobuf_c_message_pack(&answer.base, data) };
	reply = (Cri__VersionResponse *)rpc_call(&f->rpc, "Version", &request.base, &f->err);
	assert_non_null(reply);
	assert_ptr_equal(reply->base.descriptor, &cri__version_response__descriptor);
	assert_string_equal(reply->runtime_name, "monopod");
}

static void test_mistakes(void **state)
{
	struct fixture *f = *state;
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;

	assert_null(rpc_call(&f->rpc, "NoSuchMethod", &request.base, &f->err));
	assert_int_equal(f->err.code, ERR_INTERNAL);
	assert_null(rpc_call(&f->rpc, "Status", &request.base, &f->err));
	assert_int_equal(f->err.code, ERR_INTERNAL);
	assert_string_equal(f->path, "");
	/* Field 1, a string of 100 bytes that are not there. */
	f->reply = (struct peer_reply){ .data = "\x0a\x64", .len = 2 };
	assert_null(rpc_call(&f->rpc, "Version", &request.base, &f->err));
	assert_non_null(strstr(f->err.text, "does not decode"));
	f->reply = (struct peer_reply){ .status = 13, .message = "why" };
	assert_null(rpc_call(&f->rpc, "Version", &request.base, &f->err));
	assert_string_equal(f->err.text, "Version: why");
}

int main(void)
{
#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_PEER(test_paths_and_deadlines),
		WITH_PEER(test_long_deadlines_are_sent_in_seconds),
		WITH_PEER(test_the_reply_has_its_type),
		WITH_PEER(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
