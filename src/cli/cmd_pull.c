#include <fcntl.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/text.h"
#include "proto/cri.pb-c.h"

struct pull_options {
	const char *user;
	const char *password_file;
	bool quiet;
};

static const struct option_row pull_rows[] = {
	{ 'u', "user", "NAME", OPTION_TEXT, offsetof(struct pull_options, user), "log in to the registry as this user", 0, 0 },
	{ 0, "password-file", "FILE", OPTION_TEXT, offsetof(struct pull_options, password_file),
	  "the password, in a file so that it is in nobody's process list; /dev/stdin reads it from there", 0, 0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct pull_options, quiet), "print the image's id and nothing else", 0, 0 },
	NO_MORE_OPTIONS,
};

/* Nobody's password is longer (arbitrary); registry tokens are the longest at a few KiB. */
#define MAX_PASSWORD_BYTES 65536

/* The file without the line end that editors leave. */
static int read_password(struct cli *cli, const char *path, char **ret_password, struct error *err)
{
	_cleanup_buffer_ struct buffer file = BUFFER_INIT(MAX_PASSWORD_BYTES);

	if (io_read_file(AT_FDCWD, path, &file, err) < 0)
		return -1;
	*ret_password = arena_strndup(&cli->arena, file.len ? file.data : "", file.len);
	if (*ret_password)
		(*ret_password)[strcspn(*ret_password, "\r\n")] = '\0';
	explicit_bzero(file.data, file.len);
	return cli_check_memory(cli, err);
}

static int fill_auth(struct cli *cli, const struct pull_options *options, Cri__AuthConfig *auth, struct error *err)
{
	if (!options->user != !options->password_file)
		return cli_usage(err, "%s", "--user and --password-file go together");
	if (!options->user)
		return 0;
	auth->username = arena_strdup(&cli->arena, options->user);
	return read_password(cli, options->password_file, &auth->password, err) < 0 ? CLI_FAILED : 0;
}

static int run_pull(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct pull_options *options = opts;
	Cri__PullImageRequest request = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
	_cleanup_message_ Cri__PullImageResponse *reply = NULL;
	int64_t began_us = clock_monotonic_us();
	char took[TEXT_DURATION_SIZE];
	int status = fill_auth(cli, options, &auth, err);

	(void)n_args;
	if (status < 0)
		return status;
	spec.image = args[0];
	request.image = &spec;
	request.auth = options->user ? &auth : NULL;
	reply = (Cri__PullImageResponse *)cli_call(cli, "PullImage", &request.base, err);
	if (!reply)
		return CLI_FAILED;
	if (cli->json)
		return json_print_message(&reply->base, cli->out, err);
	text_duration(took, (uint64_t)(clock_monotonic_us() - began_us));
	if (options->quiet)
		(void)fprintf(cli->out, "%s\n", reply->image_ref);
	else
		(void)fprintf(cli->out, "pulled %s as %s in %s\n", args[0], reply->image_ref, took);
	return 0;
}

const struct command subcommand_pull = {
	.name = "pull",
	.arguments = "IMAGE",
	.summary = "fetch an image from its registry",
	.text = "Fetches IMAGE: a name with a tag or digest; busybox means docker.io/library/busybox:latest. Layers that are here "
		"already are not\n"
		"fetched again. The deadline is an hour unless --timeout says otherwise.",
	.options = pull_rows,
	.options_size = sizeof(struct pull_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_pull,
};
