/*
 * A transfer: one pull of an image from its registry, for everybody who asks for it while it goes on.
 *
 * Requests for the same reference (in its full spelling) with the same credentials, byte for byte, share a transfer. Who brings other
 * credentials, or none, gets a transfer of his own, which begins with a request for the manifest under those credentials: the registry
 * says whether he may have the image, also when every byte of it lies here already. So nobody is served a private image on somebody
 * else's password. What the two transfers then have in common (layers, by diff id) is fetched once, by the store; this takes a caller's
 * knowledge of a layer's digest, which only a manifest that he may read tells him, for the right to it, as other runtimes do.
 *
 * Transfers take turns (node->pulls). A caller who goes away leaves the transfer to the others; with the last one it stops.
 */
#ifndef MONOPOD_TASK_PULL_TRANSFER_H
#define MONOPOD_TASK_PULL_TRANSFER_H

#include "loop/task.h"
#include "proto/cri.pb-c.h"

struct image;
struct operation;
struct pull_board;
struct pull_transfer;

/* Registries are slow by minutes, not by hours; the store gives up a transfer that does not move (pull_progress_timeout). */
#define PULL_DEADLINE_MS (60 * 60 * 1000)

/* A caller's part in a transfer: embedded in its operation, zero at first. */
struct pull_share {
	struct pull_transfer *transfer; /* NULL: not in any */
	struct operation *op;
	struct pull_board *board; /* how far the transfer is; ours, until pull_share_release() */
	unsigned ticket;
	struct image *image; /* once it is here: the caller's reference, to be given back by pull_share_release() */
	struct pull_share *prev, *next;
};

/* For a step of `op`: waits for the image, in a transfer that goes on or in a new one. */
enum verdict pull_share_join(struct pull_share *share, struct operation *op, const Cri__PullImageRequest *request,
			     struct error *err);

/* Gives up waiting. Harmless when nothing is waited for. */
void pull_share_leave(struct pull_share *share);
void pull_share_release(struct pull_share *share);

#endif
