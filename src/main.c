/*
 * `monopod`, the command: all it does is to find the program that is meant, beside itself, and exec it.
 *
 * `monopod oci` is started several times for each container of another engine, and is monopod-oci. Everything else, the daemon and the
 * command that talks to it, is monopod-daemon: linked with what a registry needs, fifty libraries, it takes longer to start than a
 * container does to run. So this one is linked with nothing.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int exec_beside(const char *end, char **argv)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-daemon"));

	if (n > 0) {
		(void)snprintf(path + n, sizeof(path) - (size_t)n, "%s", end);
		(void)execv(path, argv);
	}
	(void)fprintf(stderr, "monopod: exec %s: %s (it is installed beside monopod)\n", n > 0 ? path : "/proc/self/exe",
		      strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "oci"))
		return exec_beside("-oci", argv + 1);
	return exec_beside("-daemon", argv);
}
