#include <string.h>

#include "cli/command.h"
#include "cli/help.h"

struct help_options {
	bool roff;
	bool names;
};

static const struct option_row help_rows[] = {
	{ 0, "roff", NULL, OPTION_FLAG, offsetof(struct help_options, roff),
	  "print the source of a man page: of COMMAND, of all options of the configuration file (monopod.conf), or without an "
	  "argument "
	  "the lists of monopod(8)",
	  0, 0 },
	{ 0, "names", NULL, OPTION_FLAG, offsetof(struct help_options, names), "print the names of all commands, one per line", 0,
	  0 },
	NO_MORE_OPTIONS,
};

static int print_names(FILE *out)
{
	for (const struct command *const *c = commands; *c; c++)
		(void)fprintf(out, "%s\n", (*c)->name);
	return 0;
}

static int run_help(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct help_options *options = opts;
	const struct command *command = n_args ? command_find(args[0]) : NULL;

	if (options->names)
		return print_names(cli->out);
	if (options->roff && n_args && strcmp(args[0], "monopod.conf") == 0)
		return roff_config(cli->out, err);
	if (n_args && !command)
		return cli_usage(err, "'%s' is not a command", args[0]);
	if (options->roff)
		return command ? roff_command(command, cli->out) : roff_overview(cli->out);
	return command ? help_command(command, cli->out) : help_overview(cli->out);
}

const struct command subcommand_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "list the commands, or explain one",
	.text = "Without an argument lists the commands; with one prints what `monopod COMMAND --help` prints.",
	.options = help_rows,
	.options_size = sizeof(struct help_options),
	.max_args = 1,
	.run = run_help,
};
