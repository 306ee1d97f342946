/* One binary: the daemon, and the command that talks to it. */
#include <string.h>

#include "cli/cli.h"
#include "serve.h"

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "serve"))
		return serve_main(argc, argv);
	return cli_main(argc, argv);
}
