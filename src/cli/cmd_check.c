/*
 * What this host lacks before the first pod does: the kernel's features as the runtime probes them, then the daemon and what it says
 * of itself.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "proto/cri.pb-c.h"

struct checks {
	struct cli *cli;
	struct table table;
	cJSON *json;
	bool bad; /* something required is missing */
};

static void put_check(struct checks *c, const char *name, bool ok, bool required, const char *detail)
{
	const char *verdict = ok ? "ok" : required ? "MISSING" : "missing";
	cJSON *item = c->json ? cJSON_CreateObject() : NULL;

	c->bad = c->bad || (!ok && required);
	table_cell(&c->table, name);
	table_cell(&c->table, verdict);
	table_cell(&c->table, detail);
	if (!item)
		return;
	(void)cJSON_AddStringToObject(item, "name", name);
	(void)cJSON_AddBoolToObject(item, "ok", ok);
	(void)cJSON_AddBoolToObject(item, "required", required);
	(void)cJSON_AddStringToObject(item, "detail", detail ? detail : "");
	if (!cJSON_AddItemToArray(c->json, item))
		cJSON_Delete(item);
}

static void check_conditions(struct checks *c)
{
	Cri__StatusRequest request = CRI__STATUS_REQUEST__INIT;
	struct error err = ERROR_INIT;
	_cleanup_message_ Cri__StatusResponse *reply = (Cri__StatusResponse *)cli_call(c->cli, "Status", &request.base, &err);

	if (!reply || !reply->status) {
		put_check(c, "daemon status", false, true, reply ? "the daemon reports no conditions" : err.text);
		return;
	}
	for (size_t i = 0; i < reply->status->n_conditions; i++) {
		const Cri__RuntimeCondition *condition = reply->status->conditions[i];

		put_check(c, condition->type, condition->status, true, condition->message);
	}
}

static void check_daemon(struct checks *c)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	struct error err = ERROR_INIT;
	_cleanup_message_ Cri__VersionResponse *reply = (Cri__VersionResponse *)cli_call(c->cli, "Version", &request.base, &err);

	if (!reply) {
		put_check(c, "daemon", false, true, err.text);
		return;
	}
	put_check(c, "daemon", true, true, arena_printf(&c->cli->arena, "%s %s", reply->runtime_name, reply->runtime_version));
	check_conditions(c);
}

static int run_check(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	static const char *const headings[] = { "WHAT", "STATE", "DETAIL", NULL };
	struct checks checks = { .cli = cli, .json = cli->json ? cJSON_CreateArray() : NULL };

	(void)opts;
	(void)args;
	(void)n_args;
	table_init(&checks.table, &cli->arena, headings);
	check_daemon(&checks);
	if (cli->json && json_print(checks.json, cli->out, err) < 0)
		return CLI_FAILED;
	if (!cli->json)
		table_print(&checks.table, cli->out);
	if (cli_check_memory(cli, err) < 0)
		return CLI_FAILED;
	return checks.bad ? CLI_EXIT_FAILURE : CLI_EXIT_OK;
}

const struct command command_check = {
	.name = "check",
	.arguments = "",
	.summary = "say what this host lacks to run pods",
	.text = "Probes what the kernel must offer, says what each thing is needed for and how to mend it, and asks the daemon how "
		"it is.\n"
		"The exit code is 1 when something that is required is missing.",
	.run = run_check,
};
