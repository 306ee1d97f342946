#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/json.h"
#include "proto/admin.pb-c.h"

struct import_options {
	const char *name;
	bool quiet;
};

static const struct option_row import_rows[] = {
	{ 'n', "name", "IMAGE", OPTION_TEXT, offsetof(struct import_options, name),
	  "what to call the image: when the archive has no name for it, or another one is wanted", 0, 0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct import_options, quiet), "print the images' ids and nothing else", 0, 0 },
	NO_MORE_OPTIONS,
};

/* The archive is opened here and handed over, so that it is ours to read, wherever the daemon lives and whatever its paths mean. */
static int open_archive(struct cli *cli, const char *file, char **ret_path, struct error *err)
{
	_cleanup_free_
	char *absolute = NULL;
	int fd;

	if (strcmp(file, "-") == 0) {
		*ret_path = arena_strdup(&cli->arena, "/dev/stdin");
		return STDIN_FILENO;
	}
	fd = open(file, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	absolute = fd < 0 ? NULL : realpath(file, NULL);
	if (fd < 0 || !absolute)
		return error_sys(err, errno, "%s", file);
	*ret_path = arena_strdup(&cli->arena, absolute);
	return fd;
}

static void print_images(const struct cli *cli, const Admin__ImportImageResponse *reply, bool quiet)
{
	for (size_t i = 0; i < reply->n_images; i++) {
		(void)fprintf(cli->out, "%s", reply->images[i]->image_id);
		for (size_t j = 0; !quiet && j < reply->images[i]->n_repo_tags; j++)
			(void)fprintf(cli->out, " %s", reply->images[i]->repo_tags[j]);
		(void)fputc('\n', cli->out);
	}
}

static int run_import(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct import_options *options = opts;
	Admin__ImportImageRequest request = ADMIN__IMPORT_IMAGE_REQUEST__INIT;
	_cleanup_message_ Admin__ImportImageResponse *reply = NULL;
	int fd = open_archive(cli, args[0], &request.path, err);

	if (fd < 0)
		return CLI_FAILED;
	request.name = arena_strdup(&cli->arena, options->name ? options->name : "");
	request.only = args + 1;
	request.n_only = (size_t)n_args - 1;
	request.attached = true;
	if (cli_check_memory(cli, err) < 0 || cli_attach(cli, fd, err) < 0)
		return CLI_FAILED;
	reply = (Admin__ImportImageResponse *)cli_call(cli, "ImportImage", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	print_images(cli, reply, options->quiet);
	return 0;
}

const struct command subcommand_import = {
	.name = "import",
	.arguments = "FILE|DIRECTORY|- [IMAGE...]",
	.summary = "take images from an archive",
	.text = "Reads what `skopeo copy`, `podman save`, `ctr images export` and `docker save` write: an OCI archive, an OCI "
		"layout in "
		"a directory\n"
		"or a tar file, or a docker archive, plain or compressed with gzip or zstd; from FILE, from DIRECTORY, or from "
		"standard "
		"input.\n"
		"Takes all images of the archive that are for this machine and have a name, or those that IMAGE names, and prints "
		"the id "
		"and\n"
		"the names of each. With --name one image is taken and called so; of several, IMAGE says which, as it is called in "
		"the "
		"archive,\n"
		"be it a tag alone. An import that is interrupted leaves nothing but the images that came before.",
	.options = import_rows,
	.options_size = sizeof(struct import_options),
	.min_args = 1,
	.max_args = -1,
	.run = run_import,
};
