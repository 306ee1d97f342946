/* What people and tests ask of machines: which there are, and how long a step took. The engine is in task.c. */
#include <assert.h>
#include <stdio.h>

#include "loop/task.h"

/* More machines than the CRI has methods that change something; one line each in `monopod explain machines`. */
#define MAX_MACHINES 64

void timeline_add(struct timeline *timeline, const char *name, uint32_t start_us, uint32_t took_us)
{
	struct timeline_entry *entry;

	if (timeline->n_entries == TIMELINE_MAX)
		return;
	entry = &timeline->entries[timeline->n_entries++];
	*entry = (struct timeline_entry){ .start_us = start_us, .took_us = took_us };
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
}

static const struct machine *machines[MAX_MACHINES];
static size_t n_machines;

static size_t machine_index(const struct machine *machine)
{
	size_t i = 0;

	while (i < n_machines && machines[i] != machine)
		i++;
	return i;
}

void machine_register(const struct machine *machine)
{
	if (machine_index(machine) < n_machines)
		return;
	assert(n_machines < MAX_MACHINES);
	machines[n_machines++] = machine;
}

const struct machine *machine_next(const struct machine *after)
{
	size_t next = after ? machine_index(after) + 1 : 0;

	return next < n_machines ? machines[next] : NULL;
}
