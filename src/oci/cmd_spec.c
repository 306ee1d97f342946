/* spec: a configuration to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "oci/command.h"
#include "oci/config.h"
#include "oci/template.h"

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct option_row rows[] = {
	{ 'b', "bundle", "DIR", OPTION_TEXT, offsetof(struct spec_options, bundle), "where config.json is written; here", 0, 0 },
	{ 0, "rootless", NULL, OPTION_FLAG, offsetof(struct spec_options, rootless), "refused: this runtime needs root", 0, 0 },
	NO_MORE_OPTIONS,
};

static int run_spec(struct oci *oci, const void *opts, char **args, int n_args, struct error *err)
{
	const struct spec_options *options = opts;
	const char *path = arena_printf(&oci->arena, "%s/config.json", options->bundle ? options->bundle : ".");
	_cleanup_fd_ int fd = -1;

	(void)args, (void)n_args;
	if (!path)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (options->rootless)
		return error_set(err, ERR_UNIMPLEMENTED, "--rootless is not supported: this runtime needs root");
	/* never over somebody's file */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_sys(err, errno, "write %s", path);
	return io_write_all(fd, spec_template, strlen(spec_template), path, err);
}

const struct oci_command oci_spec = {
	.name = "spec",
	.arguments = "",
	.summary = "write a config.json to begin with",
	.options = rows,
	.options_size = sizeof(struct spec_options),
	.run = run_spec,
};
