#include <string.h>

#include "cli/cli.h"
#include "cli/command.h"
#include "cli/find.h"
#include "cli/json.h"
#include "proto/cri.pb-c.h"

/* Without a limit of its own a command may run as long as a day: the call needs some deadline (arbitrary). */
#define NO_LIMIT_MS ((int64_t)24 * 3600 * 1000)

/* What the daemon may add to the command's own time: starting it, ending it. */
#define MARGIN_MS 15000

struct exec_options {
	int64_t limit_ms;
};

static const struct option_row exec_rows[] = {
	{ 't', "limit", "TIME", OPTION_DURATION, offsetof(struct exec_options, limit_ms),
	  "kill the command after this time (rounded up to seconds)", 0, 0 },
	NO_MORE_OPTIONS,
};

static void put_bytes(const ProtobufCBinaryData *bytes, FILE *out)
{
	if (bytes->len)
		(void)fwrite(bytes->data, 1, bytes->len, out);
}

static int run_exec(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct exec_options *options = opts;
	Cri__ExecSyncRequest request = CRI__EXEC_SYNC_REQUEST__INIT;
	_cleanup_message_ Cri__ExecSyncResponse *reply = NULL;
	int first = n_args > 2 && strcmp(args[1], "--") == 0 ? 2 : 1;
	int64_t seconds = (options->limit_ms + 999) / 1000;
	int64_t deadline_ms = cli->timeout_ms ? cli->timeout_ms : (seconds ? seconds * 1000 : NO_LIMIT_MS) + MARGIN_MS;
	const char *id = NULL;

	if (find_container(cli, args[0], &id, err) < 0)
		return CLI_FAILED;
	request.container_id = arena_strdup(&cli->arena, id);
	request.cmd = args + first;
	request.n_cmd = (size_t)(n_args - first);
	request.timeout = seconds;
	if (cli_check_memory(cli, err) < 0)
		return CLI_FAILED;
	reply = (Cri__ExecSyncResponse *)cli_call_within(cli, "ExecSync", &request.base, deadline_ms, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err) < 0 ? CLI_FAILED : reply->exit_code;
	put_bytes(&reply->stdout, cli->out);
	(void)fflush(cli->out);
	put_bytes(&reply->stderr, stderr);
	return reply->exit_code;
}

const struct command subcommand_exec = {
	.name = "exec",
	.arguments = "CONTAINER COMMAND [ARGUMENT...]",
	.summary = "run a command in a container",
	.text = "Runs COMMAND inside the running container, without a terminal and without input, and prints what it wrote when it "
		"has ended\n"
		"(at most 16 MiB of each stream).\n\n"
		"The exit code is the command's; 128 and the signal's number when a signal ended it; 125 when it could not be run.",
	.options = exec_rows,
	.options_size = sizeof(struct exec_options),
	.min_args = 2,
	.max_args = -1,
	.stop_at_argument = true,
	.failure_exit_code = CLI_EXIT_NOT_RUN,
	.run = run_exec,
};
