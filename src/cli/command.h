/*
 * The subcommands: one const row each, which the dispatcher runs and from which --help and the man pages are printed.
 */
#ifndef MONOPOD_CLI_COMMAND_H
#define MONOPOD_CLI_COMMAND_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/options.h"
#include "cli/cli.h"
#include "cli/rpc.h"

struct command;

/* One invocation. Memory that lives until its end comes from the arena. */
struct cli {
	const struct command *command;
	struct arena arena;
	FILE *out; /* results */
	cli_serve_fn *serve;
	struct rpc rpc;

	/* global options */
	const char *config; /* path of the daemon's configuration file */
	const char *socket;
	const char *output; /* "table" or "json" */
	int64_t timeout_ms;
	bool help;
	bool json; /* output, decided */
};

/* A command returns an exit code, or a negative number with the error set: CLI_FAILED (exit code 1) or CLI_USAGE (2, with the
 * synopsis printed). */
#define CLI_FAILED (-1)
#define CLI_USAGE (-2)

typedef int command_fn(struct cli *cli, const void *options, char **args, int n_args, struct error *err);

struct command {
	const char *name;
	const char *arguments;            /* synopsis after the options: "CONTAINER COMMAND [ARGUMENT...]" */
	const char *summary;              /* one line without full stop */
	const char *text;                 /* paragraphs, an empty line between them */
	const struct option_row *options; /* NULL: none of its own */
	size_t options_size;              /* of the struct that they fill, which starts zeroed */
	int min_args;
	int max_args;          /* -1: any number */
	bool stop_at_argument; /* what follows the first argument belongs to somebody else */
	int failure_exit_code; /* 0: CLI_EXIT_FAILURE */
	command_fn *run;
};

/* All rows in the order in which help lists them; NULL at the end. */
extern const struct command *const commands[];
extern const struct option_row global_options[];

/* NULL when there is no such command. */
const struct command *command_find(const char *name);

/* Opens the connection, if it is not open. The calls below do so on first use. */
int cli_connect(struct cli *cli, struct error *err);

/* As those of rpc.h. */
ProtobufCMessage *cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request, struct error *err);
ProtobufCMessage *cli_call_within(struct cli *cli, const char *method, const ProtobufCMessage *request, int64_t timeout_ms,
				  struct error *err);

int cli_stream(struct cli *cli, const char *method, const ProtobufCMessage *request, const struct rpc_stream *stream,
	       struct error *err);

/* Hands `fd` to the daemon with the first call, which then must say so; it stays the caller's. */
int cli_attach(struct cli *cli, int fd, struct error *err);

/* For `return cli_usage(err, ...)`. */
int cli_usage(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ERR_EXHAUSTED when the arena failed; for use at the end of building something large. */
int cli_check_memory(const struct cli *cli, struct error *err);

/* One row each, in cmd_NAME.c. */
extern const struct command subcommand_check, subcommand_config, subcommand_events, subcommand_exec, subcommand_explain,
	subcommand_help, subcommand_images, subcommand_import, subcommand_inspect, subcommand_logs, subcommand_oci, subcommand_pods,
	subcommand_prune, subcommand_ps, subcommand_pull, subcommand_rm, subcommand_rmi, subcommand_run, subcommand_serve,
	subcommand_stop, subcommand_trace, subcommand_version;

#endif
