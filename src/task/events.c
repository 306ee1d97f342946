#include "task/events.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "task/list.h"
#include "task/node_impl.h"

struct subscriber {
	struct node *node;
	struct call *call;
	struct subscriber *prev, *next;
};

int64_t event_stamp_ns(struct node *node)
{
	int64_t now_ns = clock_realtime_ns();

	node->stamped_ns = now_ns > node->stamped_ns ? now_ns : node->stamped_ns + 1;
	return node->stamped_ns;
}

/* ---- telling ---- */

/* Whoever is ended for not reading hears of it by on_cancel at a later turn. */
static void tell_all(struct node *node, const Cri__ContainerEventResponse *event)
{
	struct subscriber *subscriber;

	DL_FOREACH (node->subscribers, subscriber)
		(void)call_send(subscriber->call, &event->base);
}

/* An event that cannot be made is a gap that nobody could see: then all subscriptions end. */
static void end_all(struct node *node)
{
	struct error err = ERROR_INIT;

	(void)error_set(&err, ERR_EXHAUSTED, "events were lost: out of memory; list and subscribe again");
	while (node->subscribers) {
		struct subscriber *subscriber = node->subscribers;
		struct call *call = subscriber->call;

		DL_DELETE(node->subscribers, subscriber);
		node->n_subscribers--;
		free(subscriber);
		call->on_cancel = NULL;
		call_fail(call, &err);
	}
}

static void tell(struct node *node, struct sandbox *sandbox, char *id, Cri__ContainerEventType type)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	Cri__ContainerEventResponse event = CRI__CONTAINER_EVENT_RESPONSE__INIT;

	if (!node->subscribers)
		return;
	event.container_id = id;
	event.container_event_type = type;
	event.created_at = event_stamp_ns(node);
	event.pod_sandbox_status = sandbox_status_message(&scratch, sandbox);
	event.containers_statuses = sandbox_containers_statuses(&scratch, sandbox, &event.n_containers_statuses);
	if (arena_failed(&scratch))
		end_all(node);
	else
		tell_all(node, &event);
}

void event_of_container(struct container *container, Cri__ContainerEventType type)
{
	tell(container->node, container->sandbox, container->id, type);
}

void event_of_sandbox(struct sandbox *sandbox, Cri__ContainerEventType type)
{
	tell(sandbox->node, sandbox, sandbox->id, type);
}

/* ---- subscribing ---- */

static void on_cancel(struct call *call, const struct error *why)
{
	struct subscriber *subscriber = call->op;
	struct node *node = subscriber->node;

	log_debug("task", "a subscription to events ends: %s", why->text);
	DL_DELETE(node->subscribers, subscriber);
	node->n_subscribers--;
	free(subscriber);
	call_fail(call, why);
}

static int subscribe(struct node *node, struct call *call, struct error *err)
{
	struct subscriber *subscriber;

	if (node->n_subscribers >= MAX_SUBSCRIBERS)
		return error_set(err, ERR_EXHAUSTED, "%u clients listen to events already", node->n_subscribers);
	subscriber = calloc(1, sizeof(*subscriber));
	if (!subscriber)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	subscriber->node = node;
	subscriber->call = call;
	call->op = subscriber;
	call->on_cancel = on_cancel;
	DL_APPEND(node->subscribers, subscriber);
	node->n_subscribers++;
	return 0;
}

void op_get_container_events(struct node *node, struct call *call)
{
	struct error err = ERROR_INIT;

	if (subscribe(node, call, &err) < 0)
		call_fail(call, &err);
	else
		call_open(call);
}
