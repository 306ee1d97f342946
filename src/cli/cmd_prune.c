#include "cli/command.h"
#include "cli/json.h"
#include "cli/text.h"
#include "proto/admin.pb-c.h"

struct prune_options {
	bool all;
	bool dry_run;
	bool quiet;
	int64_t older_than_ms;
};

static const struct option_row prune_rows[] = {
	{ 'a', "all", NULL, OPTION_FLAG, offsetof(struct prune_options, all),
	  "every image that nothing uses, not only those without a tag", 0, 0 },
	{ 0, "older-than", "TIME", OPTION_DURATION, offsetof(struct prune_options, older_than_ms),
	  "only images that came longer ago (90m, 48h)", 0, 0 },
	{ 'n', "dry-run", NULL, OPTION_FLAG, offsetof(struct prune_options, dry_run), "say what would go, and remove nothing", 0,
	  0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct prune_options, quiet), "print ids and nothing else", 0, 0 },
	NO_MORE_OPTIONS,
};

static void print(const struct cli *cli, const Admin__PruneImagesResponse *reply, const struct prune_options *options)
{
	char bytes[TEXT_BYTES_SIZE];

	for (size_t i = 0; i < reply->n_images; i++) {
		const Admin__ImportedImage *image = reply->images[i];

		(void)fprintf(cli->out, "%s%s%s\n", image->image_id, !options->quiet && image->n_repo_tags ? " " : "",
			      !options->quiet && image->n_repo_tags ? image->repo_tags[0] : "");
	}
	if (options->quiet)
		return;
	text_bytes(bytes, reply->freed_bytes);
	(void)fprintf(cli->out, "%zu image%s, %s %s\n", reply->n_images, reply->n_images == 1 ? "" : "s", bytes,
		      options->dry_run ? "would be freed" : "freed");
}

static int run_prune(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct prune_options *options = opts;
	Admin__PruneImagesRequest request = ADMIN__PRUNE_IMAGES_REQUEST__INIT;
	_cleanup_message_ Admin__PruneImagesResponse *reply = NULL;

	(void)args;
	(void)n_args;
	request.all = options->all;
	request.dry_run = options->dry_run;
	request.min_age_seconds = (options->older_than_ms + 999) / 1000;
	reply = (Admin__PruneImagesResponse *)cli_call(cli, "PruneImages", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	print(cli, reply, options);
	return 0;
}

const struct command subcommand_prune = {
	.name = "prune",
	.arguments = "",
	.summary = "remove images that nothing uses",
	.text = "Removes the images without a tag that no container uses, left behind when their tag moved on; with --all every "
		"image "
		"that no\n"
		"container uses. Prints the id and the name of each, and how much of the disk was given back: "
		"layers "
		"that\n"
		"another image needs stay and are not counted.",
	.options = prune_rows,
	.options_size = sizeof(struct prune_options),
	.run = run_prune,
};
