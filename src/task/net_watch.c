#include "task/net_watch.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/net.h"
#include "task/node_impl.h"

/* Whoever takes a network apart takes more than one thing: look once it is over, and at most so often. */
#define SETTLE_MS 250

/* What could not be put back is tried again without a further notification. As often as the kubelet asks for Status. */
#define RETRY_MS 5000

#define LOOK_DEADLINE_MS 30000

struct net_watch {
	struct node *node;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned n_handles;
	struct job job;
	bool is_looking; /* the job is in its lane */
	bool is_ready;
	bool is_closing;
};

static void on_timer(uv_timer_t *timer);

void net_learn(struct node *node, bool is_ready, const char *reason)
{
	bool was_ready = node->net_ready;

	if (!is_ready && (was_ready || node->net_checked_us == 0))
		log_warn("net", "the pod network is not ready: %s", reason);
	else if (is_ready && !was_ready && node->net_checked_us != 0)
		log_info("net", "the pod network is ready again");
	node->net_checked_us = clock_monotonic_us();
	node->net_ready = is_ready;
	(void)snprintf(node->net_reason, sizeof(node->net_reason), "%s", is_ready ? "" : reason);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct net_watch *watch = poll->data;

	(void)status;
	(void)events;
	(void)uv_poll_stop(poll); /* ready() reads what has come */
	(void)uv_timer_start(&watch->timer, on_timer, SETTLE_MS, 0);
}

static void go_on(struct net_watch *watch)
{
	(void)uv_poll_start(&watch->poll, UV_READABLE, on_readable);
	if (!watch->is_ready)
		(void)uv_timer_start(&watch->timer, on_timer, RETRY_MS, 0);
}

static int look(struct job *job, struct error *err)
{
	struct net_engine *net = container_of(job, struct net_watch, job)->node->net;

	return net->ops->ready(net, err);
}

static void on_looked(struct job *job, int result, const struct error *err)
{
	struct net_watch *watch = container_of(job, struct net_watch, job);

	watch->is_ready = result == 0;
	net_learn(watch->node, watch->is_ready, err->text);
}

static void on_closed(uv_handle_t *handle)
{
	struct net_watch *watch = handle->data;
	struct node *node = watch->node;

	if (--watch->n_handles > 0)
		return;
	free(watch);
	node->net_watch = NULL;
	node_advance_close(node);
}

static void close_handles(struct net_watch *watch)
{
	uv_close((uv_handle_t *)&watch->poll, on_closed);
	uv_close((uv_handle_t *)&watch->timer, on_closed);
}

static void on_released(struct job *job)
{
	struct net_watch *watch = container_of(job, struct net_watch, job);

	watch->is_looking = false;
	if (watch->is_closing)
		close_handles(watch);
	else
		go_on(watch);
}

static void on_timer(uv_timer_t *timer)
{
	struct net_watch *watch = timer->data;
	struct error err = ERROR_INIT;

	watch->job = (struct job){ .name = "look at the network",
				   .work = look,
				   .done = on_looked,
				   .release = on_released,
				   .deadline_ms = LOOK_DEADLINE_MS };
	(void)uv_poll_stop(&watch->poll);
	watch->is_looking = lane_submit(watch->node->net_lane, &watch->job, &err) == 0;
	if (watch->is_looking)
		return;
	log_warn("net", "look at the pod network: %s", err.text);
	watch->is_ready = false;
	go_on(watch);
}

int net_watch_open(struct node *node, struct error *err)
{
	struct net_watch *watch = calloc(1, sizeof(*watch));
	int fd = node->net->ops->watch_fd(node->net);
	int rc = watch && fd >= 0 ? uv_poll_init(&node->loop->uv, &watch->poll, fd) : 0;

	if (!watch)
		return error_set(err, ERR_EXHAUSTED, "watch the network: out of memory");
	if (fd < 0 || rc < 0) {
		free(watch);
		return fd < 0 ? 0 : error_sys(err, -rc, "watch the network");
	}
	(void)uv_timer_init(&node->loop->uv, &watch->timer); /* cannot fail (libuv 1.44) */
	watch->node = node;
	watch->n_handles = 2;
	watch->poll.data = watch->timer.data = watch;
	uv_unref((uv_handle_t *)&watch->poll);
	uv_unref((uv_handle_t *)&watch->timer);
	(void)uv_timer_start(&watch->timer, on_timer, 0, 0);
	node->net_watch = watch;
	return 0;
}

void net_watch_close(struct node *node)
{
	struct net_watch *watch = node->net_watch;

	if (!watch || watch->is_closing)
		return;
	watch->is_closing = true;
	if (!watch->is_looking)
		close_handles(watch);
}
