#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/grpc_client.h"
#include "cli/help.h"

const struct option_row global_options[] = {
	{ 0, "socket", "PATH", OPTION_TEXT, offsetof(struct cli, socket),
	  "the daemon's socket; else that of --config, the environment variable MONOPOD_SOCKET, the built-in default", 0, 0 },
	{ 0, "config", "FILE", OPTION_TEXT, offsetof(struct cli, config), "the configuration file that the daemon was started with",
	  0, 0 },
	{ 'o', "output", "FORMAT", OPTION_TEXT, offsetof(struct cli, output), "table, for people, or json, for programs", 0, 0 },
	{ 0, "timeout", "TIME", OPTION_DURATION, offsetof(struct cli, timeout_ms),
	  "give up on a call after this time (30, 500ms, 2m); the default depends on the call", 0, 0 },
	{ 'h', "help", NULL, OPTION_FLAG, offsetof(struct cli, help), "show what the command does and its options", 0, 0 },
	NO_MORE_OPTIONS,
};

int cli_usage(struct error *err, const char *fmt, ...)
{
	char text[ERROR_TEXT_SIZE];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)error_set(err, ERR_INVALID, "%s", text);
	return CLI_USAGE;
}

int cli_check_memory(const struct cli *cli, struct error *err)
{
	return arena_failed(&cli->arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

/* --socket, --config, the environment, the default: the first that is given. A configuration that is named must be right. */
static int choose_socket(struct cli *cli, struct error *err)
{
	const char *from_environment = getenv("MONOPOD_SOCKET");
	struct config config = { 0 };
	int status;

	if (!cli->socket && !cli->config && from_environment && from_environment[0])
		cli->socket = from_environment;
	if (cli->socket && !cli->config)
		return 0;
	if (config_init(&config, err) < 0)
		return -1;
	status = cli->config ? config_read(&config, cli->config, err) : 0;
	if (status == 0 && !cli->socket)
		cli->socket = arena_strdup(&cli->arena, config.socket);
	config_release(&config);
	return status < 0 ? -1 : cli_check_memory(cli, err);
}

int cli_connect(struct cli *cli, struct error *err)
{
	struct error cause = ERROR_INIT;

	if (cli->rpc.client)
		return 0;
	if (choose_socket(cli, err) < 0)
		return -1;
	cli->rpc.timeout_ms = cli->timeout_ms;
	if (grpc_client_open(cli->socket, &cli->rpc.client, &cause) < 0)
		return error_set(err, cause.code, "%s (is `monopod serve` running?)", cause.text);
	return 0;
}

int cli_attach(struct cli *cli, int fd, struct error *err)
{
	if (cli_connect(cli, err) < 0)
		return -1;
	grpc_client_attach(cli->rpc.client, fd);
	return 0;
}

ProtobufCMessage *cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request, struct error *err)
{
	return cli_connect(cli, err) < 0 ? NULL : rpc_call(&cli->rpc, method, request, err);
}

ProtobufCMessage *cli_call_within(struct cli *cli, const char *method, const ProtobufCMessage *request, int64_t timeout_ms,
				  struct error *err)
{
	return cli_connect(cli, err) < 0 ? NULL : rpc_call_within(&cli->rpc, method, request, timeout_ms, err);
}

int cli_stream(struct cli *cli, const char *method, const ProtobufCMessage *request, const struct rpc_stream *stream,
	       struct error *err)
{
	return cli_connect(cli, err) < 0 ? -1 : rpc_stream(&cli->rpc, method, request, stream, err);
}

static int decide_output(struct cli *cli, struct error *err)
{
	if (!cli->output || strcmp(cli->output, "table") == 0)
		return 0;
	if (strcmp(cli->output, "json") != 0)
		return cli_usage(err, "--output is 'table' or 'json', not '%s'", cli->output);
	cli->json = true;
	return 0;
}

static int check_arguments(const struct command *command, int n_args, struct error *err)
{
	if (n_args < command->min_args)
		return cli_usage(err, "%s", "an argument is missing");
	if (command->max_args >= 0 && n_args > command->max_args)
		return cli_usage(err, "%s", "there are too many arguments");
	return 0;
}

/* The options before the command's name. Returns the index of that name, argc when there is none. */
static int parse_globals(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct option_table table = { global_options, cli };
	const struct option_rules rules = { &table, 1, true };
	char **args = arena_new_array(&cli->arena, char *, (size_t)argc + 1);
	int n_args = 0;

	if (!args)
		return cli_check_memory(cli, err);
	if (options_parse(&rules, argc - 1, argv + 1, &cli->arena, args, &n_args, err) < 0)
		return CLI_USAGE;
	return argc - n_args;
}

static int run_command(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct command *command = cli->command;
	void *options = arena_alloc(&cli->arena, command->options_size + 1);
	char **args = arena_new_array(&cli->arena, char *, (size_t)argc + 1);
	const struct option_table tables[] = { { command->options, options }, { global_options, cli } };
	const struct option_rules rules = { tables, ARRAY_SIZE(tables), command->stop_at_argument };
	int n_args = 0;

	if (cli_check_memory(cli, err) < 0)
		return CLI_FAILED;
	if (options_parse(&rules, argc, argv, &cli->arena, args, &n_args, err) < 0)
		return CLI_USAGE;
	if (cli->help)
		return help_command(command, cli->out);
	if (decide_output(cli, err) < 0 || check_arguments(command, n_args, err) < 0)
		return CLI_USAGE;
	return command->run(cli, options, args, n_args, err);
}

static int dispatch(struct cli *cli, int argc, char **argv, struct error *err)
{
	int at = parse_globals(cli, argc, argv, err);

	if (at < 0)
		return at;
	if (cli->help && at == argc)
		return help_overview(cli->out);
	if (at == argc)
		return cli_usage(err, "%s", "a command is missing");
	cli->command = command_find(argv[at]);
	if (!cli->command)
		return cli_usage(err, "'%s' is not a command", argv[at]);
	return run_command(cli, argc - at - 1, argv + at + 1, err);
}

static int report(const struct cli *cli, int status, const struct error *err)
{
	const struct command *command = cli->command;

	if (status >= 0)
		return status;
	(void)fprintf(stderr, "monopod%s%s: %s\n", command ? " " : "", command ? command->name : "", err->text);
	if (status == CLI_USAGE) {
		help_synopsis(command, stderr);
		return CLI_EXIT_USAGE;
	}
	return command && command->failure_exit_code ? command->failure_exit_code : CLI_EXIT_FAILURE;
}

int cli_main(int argc, char **argv, cli_serve_fn *serve)
{
	struct cli cli = { .out = stdout, .serve = serve };
	struct error err = ERROR_INIT;
	int code = report(&cli, dispatch(&cli, argc, argv, &err), &err);

	grpc_client_close(cli.rpc.client);
	arena_release(&cli.arena);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		(void)fputs("monopod: standard output does not take all that was to be written\n", stderr);
		return code ? code : CLI_EXIT_FAILURE;
	}
	return code;
}
