/* The OCI runtime command, for help and man pages: src/main.c runs it before any option is read, since all that follows is its own. */
#include "cli/command.h"

static int run_oci(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	(void)cli;
	(void)opts;
	(void)args;
	(void)n_args;
	return cli_usage(err, "%s", "'oci' stands first: its options are its own");
}

const struct command subcommand_oci = {
	.name = "oci",
	.arguments = "[OPTION...] COMMAND [ARGUMENT...]",
	.summary = "be an OCI runtime for another engine",
	.text = "An engine that names a runtime by its path, as podman's --runtime does, takes monopod-oci, which\n"
		"is installed beside monopod and is the same. Its commands are create, start, state, kill, delete,\n"
		"run, exec, ps, pause, resume, update, events, features, spec. Its own --help says more.",
	.max_args = -1,
	.stop_at_argument = true,
	.run = run_oci,
};
