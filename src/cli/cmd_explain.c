#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/find.h"
#include "cli/json.h"
#include "cli/json_read.h"
#include "cli/table.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

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

static int explain_machines(struct cli *cli, char **args, int n_args, struct error *err)
{
	static const char *const headings[] = { "MACHINE", "STEP", "UNDONE", "DEADLINE", NULL };
	Admin__ListMachinesRequest request = ADMIN__LIST_MACHINES_REQUEST__INIT;
	_cleanup_message_ Admin__ListMachinesResponse *reply = NULL;
	struct table table;
	size_t n_shown = 0;

	reply = (Admin__ListMachinesResponse *)cli_call(cli, "ListMachines", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	table_init(&table, &cli->arena, headings);
	for (size_t i = 0; i < reply->n_machines; i++) {
		if (n_args == 1 && strcmp(reply->machines[i]->name, args[0]) != 0)
			continue;
		put_machine(&table, reply->machines[i]);
		n_shown++;
	}
	if (n_args == 1 && n_shown == 0)
		return error_set(err, ERR_NOT_FOUND, "there is no machine '%s'", args[0]);
	table_print(&table, cli->out);
	return cli_check_memory(cli, err);
}

static int show_container(struct cli *cli, const Admin__ExplainContainerRequest *request, struct error *err)
{
	_cleanup_message_ Admin__ExplainContainerResponse *reply = NULL;

	reply = (Admin__ExplainContainerResponse *)cli_call(cli, "ExplainContainer", &request->base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	for (size_t i = 0; i < reply->n_prepared; i++)
		(void)fprintf(cli->out, "%s\n", reply->prepared[i]);
	for (size_t i = 0; i < reply->n_operations; i++)
		(void)fprintf(cli->out, "%s\n", reply->operations[i]);
	return 0;
}

static int explain_container(struct cli *cli, char **args, int n_args, struct error *err)
{
	Admin__ExplainContainerRequest request = ADMIN__EXPLAIN_CONTAINER_REQUEST__INIT;
	const char *id;

	(void)n_args;
	if (find_container(cli, args[0], &id, err) < 0)
		return CLI_FAILED;
	request.container_id = arena_strdup(&cli->arena, id);
	return cli_check_memory(cli, err) < 0 ? CLI_FAILED : show_container(cli, &request, err);
}

static int explain_request(struct cli *cli, char **args, int n_args, struct error *err)
{
	Admin__ExplainContainerRequest request = ADMIN__EXPLAIN_CONTAINER_REQUEST__INIT;
	Cri__ContainerConfig container = CRI__CONTAINER_CONFIG__INIT;
	Cri__PodSandboxConfig pod = CRI__POD_SANDBOX_CONFIG__INIT;

	(void)n_args;
	if (json_read_file(args[0], &container.base, &cli->arena, err) < 0 ||
	    json_read_file(args[1], &pod.base, &cli->arena, err) < 0)
		return CLI_FAILED;
	request.config = &container;
	request.sandbox_config = &pod;
	return show_container(cli, &request, err);
}

static const struct {
	const char *name;
	int min_args, max_args;
	int (*run)(struct cli *cli, char **args, int n_args, struct error *err);
} subjects[] = {
	{ "machines", 0, 1, explain_machines },
	{ "container", 1, 1, explain_container },
	{ "request", 2, 2, explain_request },
};

static int run_explain(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	(void)opts;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		if (strcmp(args[0], subjects[i].name) != 0)
			continue;
		if (n_args - 1 < subjects[i].min_args || n_args - 1 > subjects[i].max_args)
			return cli_usage(err, "'explain %s' takes other arguments than these", args[0]);
		return subjects[i].run(cli, args + 1, n_args - 1, err);
	}
	return cli_usage(err, "'%s' cannot be explained, only machines, container and request", args[0]);
}

const struct command subcommand_explain = {
	.name = "explain",
	.arguments = "machines [NAME] | container CONTAINER | request CONTAINER.json POD.json",
	.summary = "show how the daemon works on a request",
	.text = "`machines` lists the multi-step operations of the daemon: their steps in order, whether a step is undone when a "
		"later one\n"
		"fails, and how long each may take.\n"
		"\n"
		"`container` prints how a container is started: first what the daemon prepares, then, numbered, every operation "
		"that is\n"
		"done inside before its command, in order. Nothing is started.\n"
		"\n"
		"`request` prints the same for a request that is not sent: the files hold a ContainerConfig and a PodSandboxConfig "
		"of\n"
		"the CRI, as crictl reads them, and the image must be here. What would be refused is refused, with the same "
		"sentence.",
	.min_args = 1,
	.max_args = 3,
	.run = run_explain,
};
