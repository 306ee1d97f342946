#include "task/latecomer.h"

#include "base/mem.h"
#include "task/node_impl.h"
#include "task/operation.h"

struct latecomer {
	struct operation op; /* first */
	operation_fn *again;
	struct sandbox *sandbox;     /* or NULL: */
	struct container *container; /* whichever it waits for, held because the turn is in its queue */
};

/* Whoever held the turn is done, so `again` finds the object gone or at rest: it cannot come back here for the same reason. */
static enum admission admit(struct operation *base, struct error *err)
{
	(void)err;
	container_of(base, struct latecomer, op)->again(base->node, operation_take_call(base));
	return ADMIT_NOTHING_TO_DO;
}

static void release(struct operation *base)
{
	const struct latecomer *late = container_of(base, struct latecomer, op);

	sandbox_unref(late->sandbox);
	container_unref(late->container);
}

static const struct operation_kind kind = {
	.size = sizeof(struct latecomer),
	.admit = admit,
	.release = release,
};

int sandbox_await(struct sandbox *sandbox, struct call *call, operation_fn *again, struct error *err)
{
	struct latecomer *late = operation_new(sandbox->node, &kind, call, err);

	if (!late)
		return -1;
	late->again = again;
	late->sandbox = sandbox_ref(sandbox);
	operation_begin(&late->op, &sandbox->turns);
	return 0;
}

int container_await(struct container *container, struct call *call, operation_fn *again, struct error *err)
{
	struct latecomer *late = operation_new(container->node, &kind, call, err);

	if (!late)
		return -1;
	late->again = again;
	late->container = container_ref(container);
	operation_begin(&late->op, &container->turns);
	return 0;
}
