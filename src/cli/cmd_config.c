#include <string.h>

#include "base/config.h"
#include "cli/command.h"

static int run_config(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	struct config config = { 0 };
	int status;

	(void)opts;
	if (strcmp(args[0], "default") != 0 && strcmp(args[0], "check") != 0)
		return cli_usage(err, "'%s' is neither default nor check", args[0]);
	if ((args[0][0] == 'c') != (n_args == 2))
		return cli_usage(err, "%s", args[0][0] == 'c' ? "name the file to check" : "default takes no file");
	if (config_init(&config, err) < 0)
		return CLI_FAILED;
	status = n_args == 2 ? config_read(&config, args[1], err) : 0;
	if (status == 0 && config_print(&config, cli->out) < 0)
		status = error_set(err, ERR_INTERNAL, "write the configuration");
	config_release(&config);
	return status;
}

const struct command subcommand_config = {
	.name = "config",
	.arguments = "default | check FILE",
	.summary = "print or check a configuration",
	.text = "`default` prints the configuration file with every option, its meaning and its default. `check` reads FILE as "
		"`serve --config`\n"
		"would and prints what then holds.",
	.min_args = 1,
	.max_args = 2,
	.run = run_config,
};
