/* The two processes of unpack.h: an order comes in by descriptor 4, rights go, the work is done, reports go out. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "image/confine.h"
#include "image/inflate.h"
#include "image/report.h"
#include "image/unpack.h"
#include "image/untar.h"

enum { FD_INPUT = 0, FD_OUTPUT = 1, FD_LAYER = 3, FD_DAEMON = 4 };

static int send_opaque(void *arg, const char *path, struct error *err)
{
	(void)arg;
	return report_send(FD_DAEMON, REPORT_OPAQUE, path, strlen(path), err);
}

static int unpack_tar(const struct unpack_order *order, struct error *err)
{
	const struct untar_options options = {
		.is_layer = order->is_layer,
		.max_bytes = order->max_bytes,
		.max_inodes = order->max_inodes,
		.lists = order->lists,
		.listing_fd = FD_OUTPUT,
		.on_opaque = send_opaque,
	};
	struct untar_usage usage;
	struct report_done done;

	if (confine_unpacker(FD_LAYER, order->max_bytes, err) < 0)
		return error_prefix(err, "confine the unpacker");
	if (untar(FD_INPUT, FD_LAYER, &options, &usage, err) < 0)
		return -1;
	done = (struct report_done){ usage.bytes, usage.inodes };
	return report_send(FD_DAEMON, REPORT_DONE, &done, sizeof(done), err);
}

static int inflate_layer(struct error *err)
{
	const struct report_done done = { 0 };

	if (confine_inflater(err) < 0)
		return error_prefix(err, "confine the decompressor");
	if (inflate_fd(FD_INPUT, FD_OUTPUT, err) < 0)
		return -1;
	return report_send(FD_DAEMON, REPORT_DONE, &done, sizeof(done), err);
}

static int run(struct error *err)
{
	struct unpack_order order;

	(void)prctl(PR_SET_NAME, IMAGE_UNPACK_NAME, 0, 0, 0); /* the kernel took "exe", from the path that was executed */
	/* Orphans would go on writing into a directory that the next daemon is about to empty. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_sys(err, errno, "tie the process to its parent");
	/* Nothing that the daemon forgot to mark close-on-exec comes along. */
	if (close_range(FD_DAEMON + 1, ~0U, 0) < 0)
		return error_sys(err, errno, "close foreign descriptors");
	if (report_read_order(FD_DAEMON, &order, err) < 0)
		return -1;
	switch (order.job) {
	case JOB_INFLATE:
		return inflate_layer(err);
	case JOB_UNTAR:
		return unpack_tar(&order, err);
	default:
		return error_set(err, ERR_INTERNAL, "unknown job %u", order.job);
	}
}

/* Leaves by _exit(): handlers of the program that this is a second life of have nothing to do here. */
int image_unpack_main(void)
{
	struct error err = ERROR_INIT;

	if (run(&err) == 0)
		_exit(EXIT_SUCCESS);
	/* A closed pipe is the consequence of somebody else's failure, who says more. */
	if (err.sys_errno != EPIPE)
		report_send_error(FD_DAEMON, &err);
	_exit(EXIT_FAILURE);
}
