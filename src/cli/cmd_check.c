/*
 * What this host lacks before the first pod does: the kernel's features as the runtime probes them, then the daemon and what it says
 * of itself.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"
#include "runtime/features.h"

/* Twice what there is to probe today. */
#define MAX_FEATURES 128

struct check {
	const char *name;
	bool ok;
	bool required;
	const char *detail;
	const char *needed_for;
	const char *how_to_mend;
};

struct checks {
	struct cli *cli;
	struct table table;
	cJSON *json;
	const char *advice; /* what to do about all that is missing */
	bool bad;           /* something required is missing */
};

static bool add_json(cJSON *list, const struct check *check)
{
	cJSON *item = cJSON_CreateObject();

	if (!item || !cJSON_AddItemToArray(list, item)) {
		cJSON_Delete(item);
		return false;
	}
	return cJSON_AddStringToObject(item, "name", check->name) && cJSON_AddBoolToObject(item, "ok", check->ok) &&
	       cJSON_AddBoolToObject(item, "required", check->required) && cJSON_AddStringToObject(item, "detail", check->detail) &&
	       cJSON_AddStringToObject(item, "neededFor", check->needed_for) &&
	       cJSON_AddStringToObject(item, "howToMend", check->how_to_mend);
}

static void add_advice(struct checks *c, const struct check *check)
{
	c->advice = arena_printf(&c->cli->arena, "%s\n%s is needed for %s.\n    To mend: %s.\n", c->advice, check->name,
				 check->needed_for, check->how_to_mend);
	if (!c->advice)
		c->advice = "";
}

static void put_check(struct checks *c, const struct check *check)
{
	c->bad = c->bad || (!check->ok && check->required);
	table_cell(&c->table, check->name);
	table_cell(&c->table, check->ok ? "ok" : check->required ? "MISSING" : "missing");
	table_cell(&c->table, check->detail);
	if (!check->ok)
		add_advice(c, check);
	if (c->json && !add_json(c->json, check)) {
		cJSON_Delete(c->json);
		c->json = NULL;
	}
}

static void check_host(struct checks *c)
{
	struct feature_result *found = arena_new_array(&c->cli->arena, struct feature_result, MAX_FEATURES);
	size_t n = found ? features_probe(found, MAX_FEATURES) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct check check = { found[i].name,   found[i].present,    found[i].required,
					     found[i].detail, found[i].needed_for, found[i].how_to_mend };

		put_check(c, &check);
	}
}

static void put_daemon(struct checks *c, const char *name, bool ok, const char *detail)
{
	const struct check check = { name, ok, true, detail, "everything", "start `monopod serve` and read its log" };

	put_check(c, &check);
}

static void check_conditions(struct checks *c)
{
	Cri__StatusRequest request = CRI__STATUS_REQUEST__INIT;
	struct error err = ERROR_INIT;
	_cleanup_message_ Cri__StatusResponse *reply = (Cri__StatusResponse *)cli_call(c->cli, "Status", &request.base, &err);

	if (!reply || !reply->status) {
		put_daemon(c, "daemon status", false, reply ? "the daemon reports no conditions" : err.text);
		return;
	}
	for (size_t i = 0; i < reply->status->n_conditions; i++) {
		const Cri__RuntimeCondition *condition = reply->status->conditions[i];

		put_daemon(c, condition->type, condition->status, condition->message);
	}
}

static void check_daemon(struct checks *c)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	struct error err = ERROR_INIT;
	_cleanup_message_ Cri__VersionResponse *reply = (Cri__VersionResponse *)cli_call(c->cli, "Version", &request.base, &err);

	if (!reply) {
		put_daemon(c, "daemon", false, err.text);
		return;
	}
	put_daemon(c, "daemon", true, arena_printf(&c->cli->arena, "%s %s", reply->runtime_name, reply->runtime_version));
	check_conditions(c);
}

static int check_host_and_daemon(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { "WHAT", "STATE", "FOUND", NULL };
	struct checks checks = { .cli = cli, .advice = "", .json = cli->json ? cJSON_CreateArray() : NULL };

	table_init(&checks.table, &cli->arena, headings);
	check_host(&checks);
	check_daemon(&checks);
	if (cli->json && json_print(checks.json, cli->out, err) < 0)
		return CLI_FAILED;
	if (!cli->json) {
		table_print(&checks.table, cli->out);
		(void)fputs(checks.advice, cli->out);
	}
	if (cli_check_memory(cli, err) < 0)
		return CLI_FAILED;
	return checks.bad ? CLI_EXIT_FAILURE : CLI_EXIT_OK;
}

/* ---- images ---- */

struct check_options {
	bool images;
	bool repair;
};

static const struct option_row check_rows[] = {
	{ 'i', "images", NULL, OPTION_FLAG, offsetof(struct check_options, images),
	  "verify the image store instead: every manifest, configuration and file of every layer", 0, 0 },
	{ 0, "repair", NULL, OPTION_FLAG, offsetof(struct check_options, repair),
	  "with --images: remove the images that need what is damaged, unless a container runs on them", 0, 0 },
	NO_MORE_OPTIONS,
};

static void print_texts(struct cli *cli, const char *title, char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)fprintf(cli->out, "    %s%s\n", title, text_clean(&cli->arena, texts[i]));
}

static void print_damage(struct cli *cli, const Admin__ImageDamage *damage)
{
	(void)fprintf(cli->out, "%s is damaged:\n", damage->object);
	print_texts(cli, "", damage->details, damage->n_details);
	if (damage->more_details > 0)
		(void)fprintf(cli->out, "    and %u more\n", damage->more_details);
	print_texts(cli, "needed by ", damage->images, damage->n_images);
	(void)fprintf(cli->out, "    %s: %s\n", damage->repaired ? "repaired" : "to mend", damage->advice);
}

static void print_damages(struct cli *cli, const Admin__CheckImagesResponse *reply)
{
	char bytes[TEXT_BYTES_SIZE];

	for (size_t i = 0; i < reply->n_damages; i++)
		print_damage(cli, reply->damages[i]);
	text_bytes(bytes, reply->bytes);
	(void)fprintf(cli->out, "%u images, %u layers with %llu entries and %s: %zu damaged objects\n", reply->images,
		      reply->layers, (unsigned long long)reply->entries, bytes, reply->n_damages);
}

static int check_images(struct cli *cli, bool repair, struct error *err)
{
	Admin__CheckImagesRequest request = ADMIN__CHECK_IMAGES_REQUEST__INIT;
	_cleanup_message_ Admin__CheckImagesResponse *reply = NULL;
	int code = CLI_EXIT_OK;

	request.repair = repair;
	reply = (Admin__CheckImagesResponse *)cli_call(cli, "CheckImages", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	for (size_t i = 0; i < reply->n_damages; i++) {
		if (!reply->damages[i]->repaired)
			code = CLI_EXIT_FAILURE;
	}
	if (!cli->json)
		print_damages(cli, reply);
	else if (json_print_message(&reply->base, cli->out, err) < 0)
		return CLI_FAILED;
	return code;
}

static int run_check(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct check_options *options = opts;

	(void)args;
	(void)n_args;
	if (options->repair && !options->images)
		return cli_usage(err, "%s", "--repair goes with --images");
	return options->images ? check_images(cli, options->repair, err) : check_host_and_daemon(cli, err);
}

const struct command subcommand_check = {
	.name = "check",
	.arguments = "",
	.summary = "say what this host lacks to run pods",
	.text = "Probes what the kernel must offer, says what each thing is needed for and how to mend it, and asks the daemon how "
		"it is.\n"
		"The exit code is 1 when something that is required is missing.\n"
		"\n"
		"With --images asks the daemon to verify all that its image store holds, while it serves, and says of each damaged "
		"object "
		"which\n"
		"images need it and what to do. The exit code is 1 when something is damaged and was not repaired.",
	.options = check_rows,
	.options_size = sizeof(struct check_options),
	.run = run_check,
};
