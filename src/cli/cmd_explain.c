#include <stdint.h>
#include <string.h>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "proto/admin.pb-c.h"

/* The two ends of the range are no durations: none at all, and one that the request names. */
static void put_deadline(struct table *table, uint32_t deadline_ms)
{
	if (deadline_ms == 0)
		table_cell(table, "");
	else if (deadline_ms == UINT32_MAX)
		table_cell(table, "the request's");
	else
		table_cellf(table, "%u ms", deadline_ms);
}

static void put_machine(struct table *table, const Admin__Machine *machine)
{
	for (size_t i = 0; i < machine->n_steps; i++) {
		const Admin__Step *step = machine->steps[i];

		table_cell(table, i == 0 ? machine->name : " ");
		table_cell(table, step->name);
		table_cell(table, step->has_undo ? "yes" : "no");
		put_deadline(table, step->deadline_ms);
	}
}

static int run_explain(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	static const char *const headings[] = { "MACHINE", "STEP", "UNDONE", "DEADLINE", NULL };
	Admin__ListMachinesRequest request = ADMIN__LIST_MACHINES_REQUEST__INIT;
	_cleanup_message_ Admin__ListMachinesResponse *reply = NULL;
	struct table table;
	size_t n_shown = 0;

	(void)opts;
	if (strcmp(args[0], "machines") != 0)
		return cli_usage(err, "'%s' cannot be explained, only 'machines'", args[0]);
	reply = (Admin__ListMachinesResponse *)cli_call(cli, "ListMachines", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	table_init(&table, &cli->arena, headings);
	for (size_t i = 0; i < reply->n_machines; i++) {
		if (n_args == 2 && strcmp(reply->machines[i]->name, args[1]) != 0)
			continue;
		put_machine(&table, reply->machines[i]);
		n_shown++;
	}
	if (n_args == 2 && n_shown == 0)
		return error_set(err, ERR_NOT_FOUND, "there is no machine '%s'", args[1]);
	table_print(&table, cli->out);
	return cli_check_memory(cli, err);
}

const struct command subcommand_explain = {
	.name = "explain",
	.arguments = "machines [NAME]",
	.summary = "show how the daemon works on a request",
	.text = "`machines` lists the multi-step operations of the daemon: their steps in order, whether a step is undone when a "
		"later one\n"
		"fails, and how long each may take.",
	.min_args = 1,
	.max_args = 2,
	.run = run_explain,
};
