#include "cli/command.h"
#include "proto/cri.pb-c.h"

static int remove_image(struct cli *cli, char *reference, struct error *err)
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
	reply = cli_call(cli, "RemoveImage", &request.base, err);
	return reply ? 0 : -1;
}

static int run_rmi(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	(void)opts;
	for (int i = 0; i < n_args; i++) {
		if (remove_image(cli, args[i], err) < 0)
			return -1;
		(void)fprintf(cli->out, "%s\n", args[i]);
	}
	return 0;
}

const struct command subcommand_rmi = {
	.name = "rmi",
	.arguments = "IMAGE...",
	.summary = "remove images",
	.text = "Removes images by name or id. By one of its names an image loses all of them. Layers that a container still needs "
		"go with the\n"
		"container.",
	.min_args = 1,
	.max_args = -1,
	.run = run_rmi,
};
