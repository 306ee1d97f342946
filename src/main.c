/* One binary: the daemon, the command that talks to it, and the confined child in which the daemon unpacks images. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "image/unpack.h"
#include "serve.h"

/*
 * `monopod oci` is a program of its own beside this one, which takes a tenth of the time to start (src/oci_main.c): this only finds it.
 */
static int exec_oci(char **argv)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-oci"));

	if (n > 0) {
		(void)snprintf(path + n, sizeof(path) - (size_t)n, "-oci");
		(void)execv(path, argv);
	}
	(void)fprintf(stderr, "monopod oci: exec %s: %s (it is installed beside monopod)\n", n > 0 ? path : "monopod-oci",
		      strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], IMAGE_UNPACK_NAME))
		return image_unpack_main();
	if (argc > 1 && !strcmp(argv[1], "oci"))
		return exec_oci(argv + 1);
	return cli_main(argc, argv, serve_main);
}
