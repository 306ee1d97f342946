/* `monopod serve`: the daemon's life from its command line to its last signal. */
#ifndef MONOPOD_SERVE_H
#define MONOPOD_SERVE_H

/* argv[1] is "serve". Returns the exit code: 0 after SIGTERM or SIGINT, 1 failure, 2 a command line that makes no sense. */
int serve_main(int argc, char **argv);

#endif
