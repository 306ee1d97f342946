#include <string.h>

#include "base/config.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/command.h"

struct serve_options {
	const char *log_level;
	struct text_list set;
};

static const struct option_row serve_rows[] = {
	{ 0, "set", "SECTION.KEY=VALUE", OPTION_LIST, offsetof(struct serve_options, set),
	  "set one option over the configuration file; may be given again", 0, 0 },
	{ 0, "log-level", "LEVEL", OPTION_TEXT, offsetof(struct serve_options, log_level),
	  "error, warn, info or debug; as --set server.log_level=LEVEL", 0, 0 },
	NO_MORE_OPTIONS,
};

static int set_option(struct config *config, const char *assignment, struct error *err)
{
	const char *equals = strchr(assignment, '=');
	_cleanup_free_
	char *name = NULL;

	if (!equals)
		return error_set(err, ERR_INVALID, "--set %s: must be SECTION.KEY=VALUE", assignment);
	name = strndup(assignment, (size_t)(equals - assignment));
	if (!name)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return config_set(config, name, equals + 1, err);
}

static int set_options(const struct cli *cli, const struct serve_options *options, struct config *config, struct error *err)
{
	for (size_t i = 0; i < options->set.n; i++) {
		if (set_option(config, options->set.items[i], err) < 0)
			return CLI_USAGE;
	}
	if (options->log_level && config_set(config, "server.log_level", options->log_level, err) < 0)
		return CLI_USAGE;
	return cli->socket && config_set(config, "server.socket", cli->socket, err) < 0 ? CLI_USAGE : 0;
}

/* The file first: the command line is meant to be stronger. */
static int configure(const struct cli *cli, const struct serve_options *options, struct config *config, struct error *err)
{
	if (config_init(config, err) < 0 || (cli->config && config_read(config, cli->config, err) < 0))
		return CLI_FAILED;
	return set_options(cli, options, config, err);
}

static int run_serve(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	struct config config = { 0 };
	int status = configure(cli, opts, &config, err);

	(void)args;
	(void)n_args;
	if (status == 0)
		status = cli->serve(&config, err) < 0 ? CLI_FAILED : CLI_EXIT_OK;
	config_release(&config);
	return status;
}

const struct command subcommand_serve = {
	.name = "serve",
	.arguments = "",
	.summary = "run the daemon",
	.text = "Serves the Container Runtime Interface on a unix socket until SIGTERM or SIGINT. Containers go on running when "
		"the\n"
		"daemon ends; the next one takes them over.\n\n"
		"--config names the file to read over the defaults, --socket the socket to listen on; --output and --timeout mean "
		"nothing\n"
		"here.",
	.options = serve_rows,
	.options_size = sizeof(struct serve_options),
	.run = run_serve,
};
