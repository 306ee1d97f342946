/* The table of subcommands, and `serve`, which the program runs by itself and the client only describes. */
#include <string.h>

#include "cli/command.h"

struct serve_options {
	const char *config;
	const char *log_level;
	struct text_list set;
};

static const struct option_row serve_rows[] = {
	{ 0, "config", "FILE", OPTION_TEXT, offsetof(struct serve_options, config),
	  "read this configuration file over the defaults", 0, 0 },
	{ 0, "set", "SECTION.KEY=VALUE", OPTION_LIST, offsetof(struct serve_options, set),
	  "set one option over the configuration file; may be given again", 0, 0 },
	{ 0, "log-level", "LEVEL", OPTION_TEXT, offsetof(struct serve_options, log_level), "error, warn, info or debug", 0, 0 },
	NO_MORE_OPTIONS,
};

const struct command subcommand_serve = {
	.name = "serve",
	.arguments = "",
	.summary = "run the daemon",
	.text = "Serves the Container Runtime Interface on a unix socket until SIGTERM or SIGINT. Containers go on running when "
		"the\n"
		"daemon ends; the next one takes them over.",
	.options = serve_rows,
	.options_size = sizeof(struct serve_options),
};

const struct command *const commands[] = {
	&subcommand_serve,  &subcommand_ps,      &subcommand_pods,    &subcommand_images, &subcommand_pull,
	&subcommand_import, &subcommand_run,     &subcommand_exec,    &subcommand_logs,   &subcommand_stop,
	&subcommand_rm,     &subcommand_rmi,     &subcommand_inspect, &subcommand_trace,  &subcommand_check,
	&subcommand_config, &subcommand_explain, &subcommand_version, &subcommand_help,   NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
	}
	return NULL;
}
