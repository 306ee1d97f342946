#include "task/network_watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/net.h"
#include "task/network.h"
#include "task/node_impl.h"

/* Whoever takes a network apart takes more than one thing: look once it is over, and at most so often. */
#define SETTLE_MS 250

/* What could not be put back, in the network that pods wait for, is tried again without a further notification. As often as the kubelet asks for Status. */
#define RETRY_MS 5000

#define LOOK_DEADLINE_MS 30000

struct network_watch {
	struct network *network;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned n_handles;
	struct job job;
	bool is_looking; /* the job is in its lane */
	bool is_ready;
	bool is_closing;
};

static void on_timer(uv_timer_t *timer);

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct network_watch *watch = poll->data;

	(void)status;
	(void)events;
	(void)uv_poll_stop(poll); /* ready() reads what has come */
	(void)uv_timer_start(&watch->timer, on_timer, SETTLE_MS, 0);
}

static void go_on(struct network_watch *watch)
{
	(void)uv_poll_start(&watch->poll, UV_READABLE, on_readable);
	if (!watch->is_ready && network_serves(watch->network))
		(void)uv_timer_start(&watch->timer, on_timer, RETRY_MS, 0);
}

static int look(struct job *job, struct error *err)
{
	struct net_engine *engine = container_of(job, struct network_watch, job)->network->engine;

	return engine->ops->ready(engine, err);
}

static void on_looked(struct job *job, int result, const struct error *err)
{
	struct network_watch *watch = container_of(job, struct network_watch, job);

	watch->is_ready = result == 0;
	network_learn(watch->network, watch->is_ready, err->text);
}

static void on_closed(uv_handle_t *handle)
{
	struct network_watch *watch = handle->data;
	struct network *network = watch->network;

	if (--watch->n_handles > 0)
		return;
	free(watch);
	network->watch = NULL;
	node_advance_close(network->node);
}

static void close_handles(struct network_watch *watch)
{
	uv_close((uv_handle_t *)&watch->poll, on_closed);
	uv_close((uv_handle_t *)&watch->timer, on_closed);
}

static void on_released(struct job *job)
{
	struct network_watch *watch = container_of(job, struct network_watch, job);

	watch->is_looking = false;
	if (watch->is_closing)
		close_handles(watch);
	else
		go_on(watch);
}

static void on_timer(uv_timer_t *timer)
{
	struct network_watch *watch = timer->data;
	struct error err = ERROR_INIT;

	watch->job = (struct job){ .name = "look at the network",
				   .work = look,
				   .done = on_looked,
				   .release = on_released,
				   .deadline_ms = LOOK_DEADLINE_MS };
	(void)uv_poll_stop(&watch->poll);
	watch->is_looking = lane_submit(watch->network->lane, &watch->job, &err) == 0;
	if (watch->is_looking)
		return;
	log_warn("net", "look at the pod network: %s", err.text);
	watch->is_ready = false;
	go_on(watch);
}

int network_watch_open(struct network *network, struct error *err)
{
	struct network_watch *watch = calloc(1, sizeof(*watch));
	int fd = network->engine->ops->watch_fd(network->engine);
	int rc = watch && fd >= 0 ? uv_poll_init(&network->node->loop->uv, &watch->poll, fd) : 0;

	if (!watch)
		return error_set(err, ERR_EXHAUSTED, "watch the network: out of memory");
	if (fd < 0 || rc < 0) {
		free(watch);
		return fd < 0 ? 0 : error_sys(err, -rc, "watch the network");
	}
	(void)uv_timer_init(&network->node->loop->uv, &watch->timer); /* cannot fail (libuv 1.44) */
	watch->network = network;
	watch->n_handles = 2;
	watch->poll.data = watch->timer.data = watch;
	uv_unref((uv_handle_t *)&watch->poll);
	uv_unref((uv_handle_t *)&watch->timer);
	(void)uv_timer_start(&watch->timer, on_timer, 0, 0);
	network->watch = watch;
	return 0;
}

void network_watch_close(struct network *network)
{
	struct network_watch *watch = network->watch;

	if (!watch || watch->is_closing)
		return;
	watch->is_closing = true;
	if (!watch->is_looking)
		close_handles(watch);
}
