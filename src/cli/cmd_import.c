#include <errno.h>
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
	  "what to call the image when the archive has no name for it", 0, 0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct import_options, quiet), "print the image's id and nothing else", 0, 0 },
	NO_MORE_OPTIONS,
};

/* The daemon opens the file by itself, so it needs a path that means the same to it; our standard input has one in /proc while this
 * command waits. */
static const char *path_for_daemon(struct cli *cli, const char *file, struct error *err)
{
	_cleanup_free_
	char *absolute = NULL;
	const char *path;

	if (strcmp(file, "-") == 0) {
		path = arena_printf(&cli->arena, "/proc/%ld/fd/0", (long)getpid());
	} else {
		absolute = realpath(file, NULL);
		if (!absolute) {
			(void)error_sys(err, errno, "%s", file);
			return NULL;
		}
		path = arena_strdup(&cli->arena, absolute);
	}
	return cli_check_memory(cli, err) < 0 ? NULL : path;
}

static int run_import(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct import_options *options = opts;
	Admin__ImportImageRequest request = ADMIN__IMPORT_IMAGE_REQUEST__INIT;
	_cleanup_message_ Admin__ImportImageResponse *reply = NULL;
	const char *path = path_for_daemon(cli, args[0], err);

	(void)n_args;
	if (!path)
		return CLI_FAILED;
	request.path = arena_strdup(&cli->arena, path);
	request.name = arena_strdup(&cli->arena, options->name ? options->name : "");
	if (cli_check_memory(cli, err) < 0)
		return CLI_FAILED;
	reply = (Admin__ImportImageResponse *)cli_call(cli, "ImportImage", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	(void)fprintf(cli->out, "%s", reply->image_id);
	for (size_t i = 0; !options->quiet && i < reply->n_repo_tags; i++)
		(void)fprintf(cli->out, " %s", reply->repo_tags[i]);
	(void)fputc('\n', cli->out);
	return 0;
}

const struct command subcommand_import = {
	.name = "import",
	.arguments = "FILE|-",
	.summary = "take an image from an archive",
	.text = "Reads an OCI archive, an OCI layout in a tar file, or what `docker save` writes, from FILE or from standard "
		"input. Prints the id\n"
		"and the names of the image.",
	.options = import_rows,
	.options_size = sizeof(struct import_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_import,
};
