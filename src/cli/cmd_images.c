#include "cli/command.h"
#include "cli/image_use.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "proto/cri.pb-c.h"

struct images_options {
	bool quiet;
	bool digests;
	bool full_ids;
};

static const struct option_row images_rows[] = {
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct images_options, quiet), "print ids and nothing else", 0, 0 },
	{ 0, "digests", NULL, OPTION_FLAG, offsetof(struct images_options, digests), "name images by digest instead of by tag", 0,
	  0 },
	{ 0, "no-trunc", NULL, OPTION_FLAG, offsetof(struct images_options, full_ids), "print ids in full", 0, 0 },
	NO_MORE_OPTIONS,
};

static void put_image(struct table *table, const Cri__Image *image, const char *name, size_t users, bool full_ids)
{
	char id[TEXT_SHORT_ID_SIZE];
	char size[TEXT_BYTES_SIZE];

	text_short_id(id, image->id);
	text_bytes(size, image->size);
	table_cell(table, name);
	table_cell(table, full_ids ? image->id : id);
	table_cell(table, size);
	table_cellf(table, "%zu%s", users, image->pinned ? " (pinned)" : "");
}

/* One row per name; an image without one has a row too. */
static void put_names(struct table *table, const Cri__Image *image, size_t users, const struct images_options *options)
{
	char **names = options->digests ? image->repo_digests : image->repo_tags;
	size_t n = options->digests ? image->n_repo_digests : image->n_repo_tags;

	for (size_t i = 0; i < n; i++)
		put_image(table, image, names[i], users, options->full_ids);
	if (n == 0)
		put_image(table, image, "", users, options->full_ids);
}

static int run_images(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	static const char *const headings[] = { "IMAGE", "ID", "SIZE", "USED BY", NULL };
	const struct images_options *options = opts;
	Cri__ListImagesRequest request = CRI__LIST_IMAGES_REQUEST__INIT;
	Cri__ImageFilter filter = CRI__IMAGE_FILTER__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__ListContainersRequest all = CRI__LIST_CONTAINERS_REQUEST__INIT;
	_cleanup_message_ Cri__ListImagesResponse *reply = NULL;
	_cleanup_message_ Cri__ListContainersResponse *containers = NULL;
	struct table table;

	if (n_args == 1) {
		spec.image = args[0];
		filter.image = &spec;
		request.filter = &filter;
	}
	reply = (Cri__ListImagesResponse *)cli_call(cli, "ListImages", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	for (size_t i = 0; options->quiet && i < reply->n_images; i++)
		(void)fprintf(cli->out, "%s\n", reply->images[i]->id);
	if (options->quiet)
		return 0;
	containers = (Cri__ListContainersResponse *)cli_call(cli, "ListContainers", &all.base, err);
	if (!containers)
		return CLI_FAILED;
	table_init(&table, &cli->arena, headings);
	for (size_t i = 0; i < reply->n_images; i++)
		put_names(&table, reply->images[i], image_users(containers, reply->images[i]->id, NULL), options);
	table_print(&table, cli->out);
	return cli_check_memory(cli, err);
}

const struct command subcommand_images = {
	.name = "images",
	.arguments = "[IMAGE]",
	.summary = "list images",
	.text = "Lists the images on this node, or the one that IMAGE names. SIZE is what the registry sends: compressed. "
		"USED BY\n"
		"is the number of containers that were made from it, running or not.",
	.options = images_rows,
	.options_size = sizeof(struct images_options),
	.max_args = 1,
	.run = run_images,
};
