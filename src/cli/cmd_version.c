#include "cli/command.h"
#include "cli/json.h"
#include "proto/cri.pb-c.h"

struct version_options {
	bool client;
};

static const struct option_row version_rows[] = {
	{ 'c', "client", NULL, OPTION_FLAG, offsetof(struct version_options, client), "do not ask the daemon", 0, 0 },
	NO_MORE_OPTIONS,
};

static int print_json(struct cli *cli, const Cri__VersionResponse *daemon, struct error *err)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *reply = daemon ? json_of_message(&daemon->base) : NULL;

	if (!json || !cJSON_AddStringToObject(json, "client", MONOPOD_VERSION) ||
	    (daemon && (!reply || !cJSON_AddItemToObject(json, "daemon", reply)))) {
		cJSON_Delete(json);
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	return json_print(json, cli->out, err);
}

static int run_version(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct version_options *options = opts;
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	_cleanup_message_ Cri__VersionResponse *reply = NULL;

	(void)args;
	(void)n_args;
	if (!cli->json)
		(void)fprintf(cli->out, "client   monopod %s\n", MONOPOD_VERSION);
	if (!options->client) {
		reply = (Cri__VersionResponse *)cli_call(cli, "Version", &request.base, err);
		if (!reply)
			return CLI_FAILED;
	}
	if (cli->json)
		return print_json(cli, reply, err);
	if (reply)
		(void)fprintf(cli->out, "daemon   %s %s\nCRI      %s\n", reply->runtime_name, reply->runtime_version,
			      reply->runtime_api_version);
	return 0;
}

const struct command subcommand_version = {
	.name = "version",
	.arguments = "",
	.summary = "print the versions of client and daemon",
	.text = "Prints the version of this command, and of the daemon that answers on the socket.",
	.options = version_rows,
	.options_size = sizeof(struct version_options),
	.run = run_version,
};
