#include "base/clock.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "proto/cri.pb-c.h"

struct pods_options {
	bool ready;
	bool quiet;
	bool full_ids;
};

static const struct option_row pods_rows[] = {
	{ 'r', "ready", NULL, OPTION_FLAG, offsetof(struct pods_options, ready), "only those that are ready", 0, 0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct pods_options, quiet), "print ids and nothing else", 0, 0 },
	{ 0, "no-trunc", NULL, OPTION_FLAG, offsetof(struct pods_options, full_ids), "print ids in full", 0, 0 },
	NO_MORE_OPTIONS,
};

static void put_pod(struct table *table, const Cri__PodSandbox *pod, bool full_ids)
{
	const Cri__PodSandboxMetadata *m = pod->metadata;
	char id[TEXT_SHORT_ID_SIZE];
	char age[TEXT_AGE_SIZE];

	text_short_id(id, pod->id);
	text_age(age, pod->created_at, clock_realtime_ns());
	table_cell(table, full_ids ? pod->id : id);
	table_cell(table, m ? m->namespace_ : "");
	table_cell(table, m ? m->name : "");
	table_cell(table, pod->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY ? "ready" : "notready");
	table_cell(table, age);
	table_cellf(table, "%u", m ? m->attempt : 0);
}

static Cri__ListPodSandboxResponse *list(struct cli *cli, bool only_ready, struct error *err)
{
	Cri__ListPodSandboxRequest request = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;
	Cri__PodSandboxStateValue ready = CRI__POD_SANDBOX_STATE_VALUE__INIT;

	ready.state = CRI__POD_SANDBOX_STATE__SANDBOX_READY;
	filter.state = only_ready ? &ready : NULL;
	request.filter = &filter;
	return (Cri__ListPodSandboxResponse *)cli_call(cli, "ListPodSandbox", &request.base, err);
}

static int run_pods(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	static const char *const headings[] = { "ID", "NAMESPACE", "NAME", "STATE", "AGE", "ATTEMPT", NULL };
	const struct pods_options *options = opts;
	_cleanup_message_ Cri__ListPodSandboxResponse *reply = list(cli, options->ready, err);
	struct table table;

	(void)args;
	(void)n_args;
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	table_init(&table, &cli->arena, headings);
	for (size_t i = 0; i < reply->n_items; i++) {
		if (options->quiet)
			(void)fprintf(cli->out, "%s\n", reply->items[i]->id);
		else
			put_pod(&table, reply->items[i], options->full_ids);
	}
	if (!options->quiet)
		table_print(&table, cli->out);
	return cli_check_memory(cli, err);
}

const struct command subcommand_pods = {
	.name = "pods",
	.arguments = "",
	.summary = "list pods",
	.text = "Lists the pod sandboxes of this node, ready or not.",
	.options = pods_rows,
	.options_size = sizeof(struct pods_options),
	.run = run_pods,
};
