/*
 * `monopod`, the command: the OCI runtime itself, and for everything else an exec of monopod-daemon, beside it.
 *
 * `monopod oci` is started several times for each container of another engine. The daemon, and the command that talks to it, is linked
 * with what a registry needs, fifty libraries, and takes longer to start than a container does to run.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci/oci.h"

static int exec_daemon(char **argv)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-daemon"));

	if (n > 0) {
		(void)snprintf(path + n, sizeof(path) - (size_t)n, "-daemon");
		(void)execv(path, argv);
	}
	(void)fprintf(stderr, "monopod: exec %s: %s (it is installed beside monopod)\n", n > 0 ? path : "/proc/self/exe",
		      strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "oci"))
		return oci_main(argc - 1, argv + 1);
	return exec_daemon(argv);
}
