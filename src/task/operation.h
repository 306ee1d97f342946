/*
 * An operation: a task of the step engine on behalf of a call of the CRI, or of another operation.
 *
 * Life: operation_new() → operation_begin() waits for its turn on the object → admit() looks at the object's state → the machine's
 * steps → settle() writes the outcome into the object → the answer goes to the call and to on_done → the turn is given to the next.
 * The memory is freed when the engine has released the task and every hold (a timer being closed, a lane job of our own) is dropped.
 *
 * A caller that goes away cancels the operation, which then undoes what it did, unless outlives_caller says that it goes on without
 * (stops and removals). An operation that still waits for its turn is always given up. So is never more in flight than the server
 * has streams for, apart from those that outlive their callers, of which an object runs one at a time.
 */
#ifndef MONOPOD_TASK_OPERATION_H
#define MONOPOD_TASK_OPERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "loop/task.h"
#include "task/call.h"
#include "task/turn.h"

struct node;
struct operation;

enum admission { ADMIT_REFUSED = -1, ADMIT_RUN = 0, ADMIT_NOTHING_TO_DO = 1 };

struct operation_kind {
	const struct machine *machine;
	size_t size; /* of the struct that begins with struct operation */
	bool outlives_caller;
	bool outlives_node_close; /* short and better brought to its end: node_close() waits instead of cancelling it */
	/* With the turn held, before the first step. NULL: always ADMIT_RUN. */
	enum admission (*admit)(struct operation *op, struct error *err);
	/* Cancelled while it runs, before the engine hears of it: for work that looks at a flag. May be NULL. */
	void (*interrupt)(struct operation *op);
	/* Once, after the last step or undo (not when it was refused). May be NULL. */
	void (*settle)(struct operation *op, int result, const struct error *err);
	/* Answers a success; only when somebody still waits. */
	void (*reply)(struct operation *op, struct call *call);
	/* Once, whatever the end was: closes handles, each with a hold of its own. May be NULL. */
	void (*ended)(struct operation *op);
	/* Frees what the struct owns. May be NULL. */
	void (*release)(struct operation *op);
};

typedef void operation_done_fn(void *arg, int result, const struct error *err);

#define OPERATION_TITLE_SIZE 256

struct operation {
	struct task task; /* first */
	const struct operation_kind *kind;
	struct node *node;
	struct call *call;          /* NULL: nobody waits, or somebody else than a call */
	operation_done_fn *on_done; /* for operations on behalf of others; may be NULL */
	void *on_done_arg;
	char title[OPERATION_TITLE_SIZE]; /* the outermost clause of its errors: "start container web" */
	struct turn turn;
	bool started;
	bool ended;                    /* answered */
	bool closing;                  /* the node cancelled it */
	unsigned holds;                /* the struct lives while there are any */
	struct operation *prev, *next; /* in the node's list */
};

/* Zeroed apart from the fields above. NULL and an error when memory is out or the node is closing. `call` may be NULL. */
void *operation_new(struct node *node, const struct operation_kind *kind, struct call *call, struct error *err);
void operation_title(struct operation *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For an operation that was never begun. */
void operation_discard(struct operation *op);

/* `queue` may be NULL: needs no turn, or its starter holds it. The answer may come from inside this call when it is refused. */
void operation_begin(struct operation *op, struct turn_queue *queue);

/* Ends the operation early. */
void operation_cancel(struct operation *op, const struct error *why);

/* Every operation of the node but those that outlive its closing. */
void operations_cancel_all(struct node *node, const struct error *why);

/* For an operation that answers its call by itself: it will not be answered again. NULL when nobody waits. */
struct call *operation_take_call(struct operation *op);

void operation_hold(struct operation *op);
void operation_drop(struct operation *op);

/*
 * A step that waits for several operations of others:
 *
 *     gather_begin(&op->gather, &op->op);
 *     for each {
 *             gather_expect(&op->gather);
 *             if (x_begin(..., gather_one, &op->gather, &x_err) < 0)
 *                     gather_one(&op->gather, -1, &x_err);
 *     }
 *     return gather_end(&op->gather, err);
 *
 * All are waited for; the first failure is the step's. The operation is held until the last has ended, even when the step has
 * missed its deadline.
 */
struct gather {
	struct operation *op;
	unsigned ticket;
	unsigned pending;
	bool failed;
	struct error err;
};

void gather_begin(struct gather *gather, struct operation *op);
void gather_expect(struct gather *gather);
void gather_one(void *gather, int result, const struct error *err);
enum verdict gather_end(struct gather *gather, struct error *err);

#endif
