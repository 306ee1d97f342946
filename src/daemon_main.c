/* One program: the daemon, the command that talks to it, and the confined child in which the daemon unpacks images. */
#include <string.h>
#include <sys/prctl.h>

#include "cli/cli.h"
#include "image/unpack.h"
#include "serve.h"

int main(int argc, char **argv)
{
	/* what people look for: the name by which src/main.c was called */
	(void)prctl(PR_SET_NAME, "monopod");
	if (argc > 0 && !strcmp(argv[0], IMAGE_UNPACK_NAME))
		return image_unpack_main();
	return cli_main(argc, argv, serve_main);
}
