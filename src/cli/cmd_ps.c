#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/find.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "proto/cri.pb-c.h"

struct ps_options {
	bool all;
	bool quiet;
	bool full_ids;
	const char *pod;
};

static const struct option_row ps_rows[] = {
	{ 'a', "all", NULL, OPTION_FLAG, offsetof(struct ps_options, all), "also those that do not run", 0, 0 },
	{ 'p', "pod", "POD", OPTION_TEXT, offsetof(struct ps_options, pod), "only the containers of this pod", 0, 0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct ps_options, quiet), "print ids and nothing else", 0, 0 },
	{ 0, "no-trunc", NULL, OPTION_FLAG, offsetof(struct ps_options, full_ids), "print ids in full", 0, 0 },
	NO_MORE_OPTIONS,
};

static const char *state_word(Cri__ContainerState state)
{
	static const char *const words[] = { "created", "running", "exited", "unknown" };

	return (unsigned)state < sizeof(words) / sizeof(words[0]) ? words[state] : "unknown";
}

static void put_id(struct table *table, const char *id, bool full)
{
	char text[TEXT_SHORT_ID_SIZE];

	text_short_id(text, id);
	table_cell(table, full ? id : text);
}

static const char *image_of(const Cri__Container *c)
{
	if (c->image && c->image->user_specified_image && c->image->user_specified_image[0])
		return c->image->user_specified_image;
	return c->image && c->image->image ? c->image->image : c->image_ref;
}

static void put_container(struct table *table, const Cri__Container *c, bool full_ids)
{
	char age[TEXT_AGE_SIZE];

	text_age(age, c->created_at, clock_realtime_ns());
	put_id(table, c->id, full_ids);
	table_cell(table, c->metadata ? c->metadata->name : "");
	table_cell(table, state_word(c->state));
	table_cell(table, age);
	table_cellf(table, "%u", c->metadata ? c->metadata->attempt : 0);
	put_id(table, c->pod_sandbox_id, full_ids);
	table_cell(table, image_of(c));
}

static Cri__ListContainersResponse *list(struct cli *cli, const struct ps_options *options, struct error *err)
{
	Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
	Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
	Cri__ContainerStateValue running = CRI__CONTAINER_STATE_VALUE__INIT;
	const char *pod_id = "";

	running.state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	if (options->pod && find_pod(cli, options->pod, &pod_id, err) < 0)
		return NULL;
	filter.pod_sandbox_id = arena_strdup(&cli->arena, pod_id);
	filter.state = options->all ? NULL : &running;
	request.filter = &filter;
	return (Cri__ListContainersResponse *)cli_call(cli, "ListContainers", &request.base, err);
}

static int run_ps(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	static const char *const headings[] = { "ID", "NAME", "STATE", "AGE", "ATTEMPT", "POD", "IMAGE", NULL };
	const struct ps_options *options = opts;
	_cleanup_message_ Cri__ListContainersResponse *reply = list(cli, options, err);
	struct table table;

	(void)args;
	(void)n_args;
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	table_init(&table, &cli->arena, headings);
	for (size_t i = 0; i < reply->n_containers; i++) {
		if (options->quiet)
			(void)fprintf(cli->out, "%s\n", reply->containers[i]->id);
		else
			put_container(&table, reply->containers[i], options->full_ids);
	}
	if (!options->quiet)
		table_print(&table, cli->out);
	return cli_check_memory(cli, err);
}

const struct command subcommand_ps = {
	.name = "ps",
	.arguments = "",
	.summary = "list containers",
	.text = "Lists the containers that run, with the pod that each belongs to; --all lists created and exited ones too.",
	.options = ps_rows,
	.options_size = sizeof(struct ps_options),
	.run = run_ps,
};
