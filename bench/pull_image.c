/* pull_image SOCKET IMAGE: PullImage of any CRI endpoint, as the kubelet calls it. */
#include <stdio.h>

#include "base/mem.h"
#include "cli/grpc_client.h"
#include "cli/rpc.h"
#include "proto/cri.pb-c.h"

#define TIMEOUT_MS 600000

static int pull(const char *socket, char *name, struct error *err)
{
	struct rpc rpc = { .api = RPC_API_V1, .timeout_ms = TIMEOUT_MS };
	Cri__PullImageRequest request = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	image.image = name;
	request.image = &image;
	if (grpc_client_open(socket, &rpc.client, err) < 0)
		return -1;
	reply = rpc_call(&rpc, "PullImage", &request.base, err);
	grpc_client_close(rpc.client);
	return reply ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: pull_image SOCKET IMAGE\n");
		return 2;
	}
	if (pull(argv[1], argv[2], &err) == 0)
		return 0;
	(void)fprintf(stderr, "pull_image: %s\n", err.text);
	return 1;
}
