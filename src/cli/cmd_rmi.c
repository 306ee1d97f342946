#include "cli/cli.h"
#include "cli/command.h"
#include "cli/image_use.h"
#include "cli/text.h"
#include "proto/cri.pb-c.h"

struct rmi_options {
	bool force;
};

static const struct option_row rmi_rows[] = {
	{ 'f', "force", NULL, OPTION_FLAG, offsetof(struct rmi_options, force), "also an image that containers use", 0, 0 },
	NO_MORE_OPTIONS,
};

static int check_unused(struct cli *cli, const Cri__Image *image, const char *reference, struct error *err)
{
	Cri__ListContainersRequest all = CRI__LIST_CONTAINERS_REQUEST__INIT;
	_cleanup_message_ Cri__ListContainersResponse *containers =
		(Cri__ListContainersResponse *)cli_call(cli, "ListContainers", &all.base, err);
	const Cri__Container *first = NULL;
	char id[TEXT_SHORT_ID_SIZE];
	size_t n;

	if (!containers)
		return -1;
	n = image_users(containers, image->id, &first);
	if (n == 0)
		return 0;
	text_short_id(id, first->id);
	return error_set(
		err, ERR_STATE,
		"'%s' is used by %zu container%s, %s (%s) among them: remove these first, or take only its names away with "
		"--force",
		reference, n, n == 1 ? "" : "s", first->metadata ? first->metadata->name : "", id);
}

static int remove_image(struct cli *cli, char *reference, bool force, struct error *err)
{
	Cri__ImageStatusRequest lookup = CRI__IMAGE_STATUS_REQUEST__INIT;
	Cri__RemoveImageRequest request = CRI__REMOVE_IMAGE_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	_cleanup_message_ Cri__ImageStatusResponse *before = NULL;
	_cleanup_message_ ProtobufCMessage *reply = NULL;

	spec.image = reference;
	lookup.image = &spec;
	request.image = &spec;
	/* The CRI removes what is not there successfully; a person would rather know. */
	before = (Cri__ImageStatusResponse *)cli_call(cli, "ImageStatus", &lookup.base, err);
	if (!before)
		return -1;
	if (!before->image)
		return error_set(err, ERR_NOT_FOUND, "there is no image '%s'", reference);
	if (!force && check_unused(cli, before->image, reference, err) < 0)
		return -1;
	reply = cli_call(cli, "RemoveImage", &request.base, err);
	return reply ? 0 : -1;
}

/* One that cannot be removed does not keep the others; the last failure is the command's. */
static int run_rmi(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct rmi_options *options = opts;
	struct error last = ERROR_INIT;

	for (int i = 0; i < n_args; i++) {
		struct error failure = ERROR_INIT;

		if (remove_image(cli, args[i], options->force, &failure) == 0) {
			(void)fprintf(cli->out, "%s\n", args[i]);
			continue;
		}
		if (last.code != ERR_NONE)
			(void)fprintf(stderr, "monopod rmi: %s\n", last.text);
		last = failure;
	}
	if (last.code == ERR_NONE)
		return 0;
	*err = last;
	return CLI_FAILED;
}

const struct command subcommand_rmi = {
	.name = "rmi",
	.arguments = "IMAGE...",
	.summary = "remove images",
	.text = "Removes images by name or id. By one of its names an image loses all of them. One that a container was made from "
		"is "
		"refused,\n"
		"unless --force is given: then its names go at once, and its layers with the last such container. What can be "
		"removed is "
		"removed;\n"
		"the exit code is 1 when something could not be.",
	.options = rmi_rows,
	.options_size = sizeof(struct rmi_options),
	.min_args = 1,
	.max_args = -1,
	.run = run_rmi,
};
