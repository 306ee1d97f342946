#include <string.h>

#include "cli/command.h"
#include "cli/find.h"
#include "cli/pod_ops.h"

struct stop_options {
	const char *grace;
};

static const struct option_row stop_rows[] = {
	{ 't', "grace", "TIME", OPTION_TEXT, offsetof(struct stop_options, grace),
	  "how long a container may take to end by itself before it is killed (10s)", 0, 0 },
	NO_MORE_OPTIONS,
};

static int stop_one(struct cli *cli, const char *reference, int64_t grace_s, struct error *err)
{
	struct target target;

	if (find_target(cli, reference, TARGET_ANY, &target, err) < 0)
		return -1;
	if (target.kind == TARGET_POD)
		return stop_pod_gently(cli, target.id, grace_s, err);
	return stop_container(cli, target.id, grace_s, err);
}

static int run_stop(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct stop_options *options = opts;
	int64_t grace_ms = 10000;

	if (options->grace && parse_duration(options->grace, &grace_ms, err) < 0)
		return CLI_USAGE;
	for (int i = 0; i < n_args; i++) {
		if (stop_one(cli, args[i], (grace_ms + 999) / 1000, err) < 0)
			return error_prefix(err, "%s", args[i]);
		(void)fprintf(cli->out, "%s\n", args[i]);
	}
	return 0;
}

const struct command subcommand_stop = {
	.name = "stop",
	.arguments = "POD|CONTAINER...",
	.summary = "stop pods or containers",
	.text = "Sends each container its stop signal, and SIGKILL when the grace is over. A pod's containers are stopped one "
		"after another,\n"
		"then its network is taken down. What is stopped already is left as it is.",
	.options = stop_rows,
	.options_size = sizeof(struct stop_options),
	.min_args = 1,
	.max_args = -1,
	.run = run_stop,
};
