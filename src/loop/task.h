/*
 * The step engine: a multi-step operation as a const table.
 *
 *     static const struct step run_pod_steps[] = {
 *         { "record",    write_record,   erase_record,   1000 },
 *         { "netns",     make_netns,     remove_netns,   1000 },
 *         { "network",   attach_network, detach_network, 30000 },
 *     };
 *
 * A step does one thing and returns a verdict. STEP_WAIT means that an event will call task_resume(). A step that fails, outlives
 * its deadline or is cancelled makes the engine run the undo of every step that was begun, that one first, backwards. Undo accepts
 * half-done steps and being called twice; it may wait too, under the same deadline. An undo that fails for want of descriptors or memory
 * is tried again until there are some, for TASK_UNDO_PATIENCE_MS; any other failing undo is logged and the next one runs.
 *
 * The result callback fires exactly once, never from inside task_start(), after the last undo (or after its deadline). Whoever owns
 * the task frees it from `release`, which the engine calls at a later turn than the callback, when no lane job holds the task any
 * more.
 *
 * After a deadline the work of a lane job may still go on while undo runs. Undo of such a step belongs into the same lane, where it
 * waits for the work to return; it is then run even when its own deadline has passed (job->must_run), before `release`.
 *
 * A cancellation is a result, not a jump. It takes effect at the next turn: the step that waits counts as failed with the given
 * error. When its lane job has not begun, the job is taken out of the queue; when it runs, the task waits for it to return, for as
 * long as the step's deadline allows. A step that is done nevertheless is undone like the others.
 *
 * Every step is timed; see struct timeline. fault_here(machine, step) is asked before each step.
 */
#ifndef MONOPOD_LOOP_TASK_H
#define MONOPOD_LOOP_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct lane;
struct loop;
struct task;

/* Longer than any client waits for an answer; what is still left then stays until the daemon starts again. */
#define TASK_UNDO_PATIENCE_MS 600000
#define TASK_UNDO_RETRY_MS 250

enum verdict { STEP_DONE, STEP_WAIT, STEP_FAILED };

/* On STEP_FAILED *err is set. */
typedef enum verdict step_fn(struct task *task, struct error *err);

struct step {
	const char *name;
	step_fn *run;
	step_fn *undo;        /* NULL: nothing to undo */
	unsigned deadline_ms; /* for run and for undo, each */
};

struct machine {
	const char *name; /* as in "run_pod" */
	const struct step *steps;
	size_t n_steps;
};

#define MACHINE(title, table)                                                                                                      \
	{                                                                                                                          \
		.name = (title), .steps = (table), .n_steps = sizeof(table) / sizeof((table)[0])                                   \
	}

/* What a start took, for `monopod trace` and the verbose status. Times count from the start of the task. */
#define TIMELINE_MAX 48

struct timeline_entry {
	char name[28];
	uint32_t start_us;
	uint32_t took_us;
};

struct timeline {
	int64_t began_realtime_ns;
	uint32_t total_us;
	unsigned n_entries;
	struct timeline_entry entries[TIMELINE_MAX];
};

/* Adds an entry measured elsewhere (the plan interpreter's steps); start_us counts from the start of the task. */
void timeline_add(struct timeline *timeline, const char *name, uint32_t start_us, uint32_t took_us);

/* result 0, or -1 with err->text outermost first: "STEP: cause". */
typedef void task_done_cb(struct task *task, int result, const struct error *err);
typedef void task_release_cb(struct task *task);

/* Embed as the first member of the operation's struct. Fields are the engine's, except where said. */
struct task {
	struct loop *loop;
	const struct machine *machine;
	task_done_cb *on_done;
	task_release_cb *on_release;
	struct timeline timeline; /* read by anybody */
	void *internal;
};

/* Starts at the next turn of the loop. The machine and its table must be static. */
int task_start(struct task *task, struct loop *loop, const struct machine *machine, task_done_cb *on_done,
	       task_release_cb *on_release, struct error *err);

/*
 * The event that a waiting step (or undo) waited for: result 0, or -1 and the error. Ignored when nothing waits. May run the next
 * steps and the result callback before it returns, so let it be the last thing an event's callback does. May also be called from
 * inside the step itself, which then still returns STEP_WAIT.
 */
void task_resume(struct task *task, int result, const struct error *err);

/*
 * For events that may come after their step has missed its deadline, when another step waits already: take the number of the step
 * (or undo) while it runs, and resume with it. Ignored when that one is over.
 */
unsigned task_ticket(const struct task *task);
void task_resume_visit(struct task *task, unsigned ticket, int result, const struct error *err);

/* Runs `work` in a lane under the current step's deadline and resumes with its result; returns STEP_WAIT, or STEP_FAILED when it
 * cannot be queued. `work` runs on a pool thread, gets the task, and must not touch what the loop thread uses meanwhile. One at a
 * time for each step. */
enum verdict task_run_in_lane(struct task *task, struct lane *lane, int (*work)(struct task *task, struct error *err),
			      struct error *err);

/* It can end in nothing but a failure: a step has failed, or it was cancelled. */
bool task_is_failing(const struct task *task);

/* Ends a task early: the current step counts as failed with this error, all is undone (see above). Harmless when undo has begun or
 * the task is over, as long as its memory is there. */
void task_cancel(struct task *task, const struct error *why);

/* Undo is not tried again from now on: the daemon ends, and the next one cleans up. */
void task_stop_retrying(struct task *task);

/* Every machine that was registered, for `monopod explain machines` and for the fault tests that go through them by table. */
void machine_register(const struct machine *machine);
const struct machine *machine_next(const struct machine *after);

#endif
