/* The table of subcommands. */
#include <string.h>

#include "cli/command.h"

const struct command *const commands[] = {
	&subcommand_serve,
	&subcommand_ps,
	&subcommand_pods,
	&subcommand_images,
	&subcommand_pull,
	&subcommand_import,
	&subcommand_run,
	&subcommand_exec,
	&subcommand_logs,
	&subcommand_stop,
	&subcommand_rm,
	&subcommand_rmi,
	&subcommand_prune,
	&subcommand_inspect,
	&subcommand_events,
	&subcommand_trace,
	&subcommand_check,
	&subcommand_config,
	&subcommand_explain,
	&subcommand_oci,
	&subcommand_version,
	&subcommand_help,
	NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
	}
	return NULL;
}
