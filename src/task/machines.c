#include "task/machines.h"

#include <stddef.h>

#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "runtime/plan.h"
#include "task/node.h"

static const struct machine *const machines[] = {
	&run_pod_machine,           &stop_pod_machine,         &remove_pod_machine,     &create_container_machine,
	&start_container_machine,   &stop_container_machine,   &exit_container_machine, &remove_container_machine,
	&exec_sync_machine,         &reopen_log_machine,       &status_machine,         &pull_image_machine,
	&prune_images_machine,      &check_images_machine,     &import_image_machine,   &remove_image_machine,
	&explain_container_machine, &update_container_machine, &update_pod_machine,     &watch_pull_machine,
};

void machines_register(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		machine_register(machines[i]);
}

/* NULL when memory is out. */
static Admin__Machine *describe(struct arena *arena, const char *name, size_t n_steps)
{
	Admin__Machine *machine = arena_new(arena, Admin__Machine);

	if (!machine)
		return NULL;
	admin__machine__init(machine);
	machine->name = arena_strdup(arena, name);
	machine->steps = arena_new_array(arena, Admin__Step *, n_steps + 1);
	for (size_t i = 0; machine->steps && i < n_steps; i++) {
		machine->steps[i] = arena_new(arena, Admin__Step);
		if (!machine->steps[i])
			return NULL;
		admin__step__init(machine->steps[i]);
		machine->n_steps++;
	}
	return machine->name && machine->steps ? machine : NULL;
}

static Admin__Machine *describe_machine(struct arena *arena, const struct machine *from)
{
	Admin__Machine *machine = describe(arena, from->name, from->n_steps);

	for (size_t i = 0; machine && i < from->n_steps; i++) {
		machine->steps[i]->name = arena_strdup(arena, from->steps[i].name);
		machine->steps[i]->has_undo = from->steps[i].undo != NULL;
		machine->steps[i]->deadline_ms = from->steps[i].deadline_ms;
	}
	return machine;
}

/* The kinds of operation that a plan is made of, as if it were a machine: for fault tests that go through them by table. */
static Admin__Machine *describe_plan(struct arena *arena)
{
	Admin__Machine *machine;
	size_t n = 0;

	while (plan_op_kind(n))
		n++;
	machine = describe(arena, "plan", n);
	for (size_t i = 0; machine && i < n; i++)
		machine->steps[i]->name = arena_strdup(arena, plan_op_kind(i));
	return machine;
}

void op_list_machines(struct node *node, struct call *call)
{
	Admin__ListMachinesResponse reply = ADMIN__LIST_MACHINES_RESPONSE__INIT;
	struct arena *arena = &call->arena;
	struct error err = ERROR_INIT;
	size_t n = 1;

	(void)node;
	for (const struct machine *m = machine_next(NULL); m; m = machine_next(m))
		n++;
	reply.machines = arena_new_array(arena, Admin__Machine *, n);
	for (const struct machine *m = machine_next(NULL); m && reply.machines; m = machine_next(m))
		reply.machines[reply.n_machines++] = describe_machine(arena, m);
	if (reply.machines)
		reply.machines[reply.n_machines++] = describe_plan(arena);
	if (!arena_failed(arena)) {
		call_reply(call, &reply.base);
		return;
	}
	(void)error_set(&err, ERR_EXHAUSTED, "out of memory");
	call_fail(call, &err);
}
