/*
 * The `monopod` command: `serve`, of which only the command line is read here, and a client of the daemon's socket that an operator
 * debugs a node with.
 *
 * Exit codes are stable: 0 success, 1 failure, 2 a command line that makes no sense. `exec` and `run` give back the exit code of
 * the command they ran, and 125 when they could not run it.
 */
#ifndef MONOPOD_CLI_CLI_H
#define MONOPOD_CLI_CLI_H

#define CLI_EXIT_OK 0
#define CLI_EXIT_FAILURE 1
#define CLI_EXIT_USAGE 2
#define CLI_EXIT_NOT_RUN 125 /* exec, run: the failure is ours, not the command's */

struct config;
struct error;

/* The daemon, from its configuration to its last signal. */
typedef int cli_serve_fn(struct config *config, struct error *err);

/* argv[0] is the program. Writes to stdout and stderr; returns the exit code. */
int cli_main(int argc, char **argv, cli_serve_fn *serve);

#endif
